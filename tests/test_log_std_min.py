"""The bounds of log_std: never crossed, held where a step would cross, free to return."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from agents import (
    Implementation,
    World,
    collect,
    needs_extension,
    random_batch,
    rollout_settings,
    settings,
)
from helpers import small_model
from tolerances import ROUNDING, assert_close

OK, REJECTED, ZERO_GRADIENT = 0, 1, 2


class Quiet(World):
    """Rewards small actions, so log_std falls; with `loud`, large ones."""

    loud = False

    def step(self, act):
        rew, *rest = super().step(act)
        size = np.square(act).sum(axis=1)
        return np.where(np.isnan(rew), rew, size if self.loud else -size), *rest


FLOOR = -0.3


def make_bounded(implementation, log_std, adv_of_far, **more):
    """A linear policy with the given log_std and a batch whose actions at two standard deviations
    have the advantage `adv_of_far`, the others 0.
    """
    bounds = more or dict(log_std_min=FLOOR)
    s = settings((), ("gaussian", (1, 1)), **bounds)
    agent = implementation.agent(s)
    theta = agent.theta
    theta[-2:] = log_std
    agent.theta = theta
    batch = random_batch(s)
    agent.theory.load_batch(batch.obs, batch.act, batch.adv)
    noise = np.array([[2.0, 0.1], [-2.0, -0.1], [0.1, 0.1], [-0.1, -0.1]] * 3)
    act = agent.theory.outputs() + np.exp(agent.theta[-2:]) * noise
    agent.theory.load_batch(batch.obs, act, np.tile([adv_of_far, adv_of_far, 0.0, 0.0], 3))
    return agent


def test_only_a_log_std_at_the_floor_is_held(implementation):
    """Far actions of the first component were bad. The second component's actions were all near,
    so its gradient points up, away from the floor.
    """
    agent = make_bounded(implementation, [FLOOR, FLOOR], -1.0)
    free = make_bounded(implementation, [FLOOR + 1e-9, FLOOR + 1e-9], -1.0)
    held, plain = agent.theory.gradient(), free.theory.gradient()
    assert plain[-2] < -0.1
    assert plain[-1] > 0.1
    assert held[-2] == 0
    assert_close(held[-1], plain[-1], 1e-6)
    assert_close(held[:-2], plain[:-2], 1e-6)
    x, _ = agent.theory.solve()
    assert x[-2] == 0


def test_a_log_std_at_the_floor_can_rise_again(implementation):
    """A saturated clamp does not zero the gradient."""
    agent = make_bounded(implementation, [FLOOR, FLOOR], 1.0)
    g = agent.theory.gradient()
    assert g[-2] > 0.1
    x, _ = agent.theory.solve()
    assert x[-2] > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_log_std_falls_to_the_floor_and_rises_from_it(implementation, dtype):
    """The adopted policy is the evaluated one: the KL is the clamped policy's."""
    s = rollout_settings(
        hidden=(), log_std_min=FLOOR, target_kl=0.2, cg_damping=1e-3, normalize_observations=False
    )
    agent, world = implementation.agent(s, dtype), Quiet(5)
    dense, n_at_floor = reference.dense_policy(s), 0
    for _ in range(12):
        before, log = agent.theta, collect(agent, world, 24)
        record, after = agent.update(), agent.theta
        assert (after[-2:] >= FLOOR).all()
        n_at_floor += (after[-2:] == FLOOR).any()
        assert record["std"] == pytest.approx(np.mean(np.exp(after[-2:])))
        assert record["step_norm"] == pytest.approx(np.linalg.norm(after - before), rel=ROUNDING)
        if record["outcome"] == OK:
            kl = dense.kl(before, after, log.obs[~log.skip])
            assert record["kl"] == pytest.approx(kl, rel=1e-6 if dtype == "float64" else 1e-2)
    assert n_at_floor >= 3
    world.loud = True
    for _ in range(6):
        collect(agent, world, 24)
        agent.update()
    assert (agent.theta[-2:] > FLOOR).all()


def test_a_log_std_at_the_ceiling_is_held_and_can_fall_again(implementation):
    """Far actions of the first component were good, then bad; the second's were all near."""
    s = dict(log_std_max=FLOOR, log_std_init=FLOOR)
    good = make_bounded(implementation, [FLOOR, FLOOR], 1.0, **s)
    assert good.theory.gradient()[-2] == 0
    assert good.theory.gradient()[-1] < -0.1
    assert good.theory.solve()[0][-2] == 0
    bad = make_bounded(implementation, [FLOOR, FLOOR], -1.0, **s)
    assert bad.theory.gradient()[-2] < -0.1


def test_log_std_rises_to_the_ceiling_and_falls_from_it(implementation):
    s = rollout_settings(hidden=(), log_std_max=0.2, target_kl=0.2, cg_damping=1e-3)
    agent, world = implementation.agent(s), Quiet(5)
    world.loud = True
    highest = []
    for _ in range(12):
        collect(agent, world, 24)
        record = agent.update()
        highest.append(agent.theta[-2:].max())
        assert record["std"] == pytest.approx(np.mean(np.exp(agent.theta[-2:])))
    assert max(highest) == 0.2
    world.loud = False
    for _ in range(6):
        collect(agent, world, 24)
        agent.update()
    assert (agent.theta[-2:] < 0.2).all()


def test_a_state_above_the_ceiling_is_lowered_to_it(implementation):
    high = implementation.agent(settings(log_std_init=5.0))
    agent = implementation.agent(settings(log_std_max=1.0))
    agent.load_state(high.state())
    assert agent.theta[-2:].tolist() == [1.0, 1.0]
    assert np.array_equal(agent.theta[:-2], high.theta[:-2])


def test_a_state_below_the_floor_is_raised_to_it(implementation):
    low = implementation.agent(settings(log_std_init=-5.0))
    agent = implementation.agent(settings(log_std_min=-1.0))
    agent.load_state(low.state())
    assert agent.theta[-2:].tolist() == [-1.0, -1.0]
    assert np.array_equal(agent.theta[:-2], low.theta[:-2])
    agent.theta = low.theta
    assert agent.theta[-2:].tolist() == [-1.0, -1.0]


@needs_extension
def test_saved_bytes_of_the_core_below_the_floor_are_raised_to_it():
    low, agent = (
        Implementation("compiled").agent(settings(**more))
        for more in (dict(log_std_init=-5.0), dict(log_std_min=-1.0))
    )
    agent.load_bytes(low.save_bytes())
    assert agent.theta[-2:].tolist() == [-1.0, -1.0]


def test_a_model_starts_at_its_floor_and_never_falls_below():
    kwargs = dict(net_arch=[4], log_std_init=-0.5, log_std_min=-0.5)
    model = small_model("Pendulum-v1", policy_kwargs=kwargs, target_kl=0.5)
    model.learn(200)
    assert (model.theta[-1:] >= -0.5).all()
