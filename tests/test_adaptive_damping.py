"""Adaptive damping follows how well the surrogate's gain is predicted."""

from __future__ import annotations

import numpy as np
import pytest
from agents import (
    O,
    World,
    bits,
    collect,
    random_batch,
    rollout_settings,
    settings,
    shaken,
)
from helpers import insides, same_state, small_model
from tolerances import ROUNDING

OK, REJECTED, ZERO_GRADIENT = 0, 1, 2


def updated(agent, seed=1, T=24):
    """Collect a rollout and update: (log, parameters before the update, record)."""
    log = collect(agent, World(5, seed), T)
    return log, agent.theta, agent.update()


def scale_after(scale, record):
    """The expected scale, by an independent implementation of the rule."""
    if record["outcome"] == ZERO_GRADIENT:
        return scale
    gain, predicted = record["surr_gain"], record["surr_gain_predicted"]
    if gain < predicted / 4:
        return scale * 1.5
    return scale / 1.5 if gain > predicted * 3 / 4 else scale


@pytest.mark.parametrize(("target_kl", "grows"), [(1e-6, -1), (2.0, 1)])
def test_damping_follows_how_well_gains_are_predicted(implementation, target_kl, grows):
    s = rollout_settings(
        adaptive_damping=True, target_kl=target_kl, cg_damping=0.01, line_search_max_iter=2
    )
    agent, world, scale = shaken(implementation, s), World(5), 1.0
    for _ in range(5):
        damping = agent.cg_damping
        collect(agent, world, 24)
        record = agent.update()
        assert record["cg_damping"] == damping
        scale = scale_after(scale, record)
        assert agent.state()["damping_scale"] == pytest.approx(scale, rel=ROUNDING)
        assert agent.cg_damping == pytest.approx(0.01 * scale, rel=ROUNDING)
    assert (scale - 1) * grows > 0


def test_every_stage_uses_the_adapted_damping(implementation):
    """Damping adapted to 0.02 gives the same bits as `cg_damping=0.02`."""
    fixed = shaken(implementation, rollout_settings(cg_damping=0.02))
    adapted = shaken(implementation, rollout_settings(cg_damping=0.01, adaptive_damping=True))
    adapted.load_state(adapted.state() | {"damping_scale": np.array([2.0])})
    v = np.random.default_rng(0).normal(size=len(fixed.theta))
    for agent in (fixed, adapted):
        agent.theory.load_batch(*random_batch(settings()))
    assert np.array_equal(fixed.theory.precondition(v), adapted.theory.precondition(v))
    assert np.array_equal(fixed.theory.solve()[0], adapted.theory.solve()[0])
    _, _, one = updated(fixed)
    _, _, two = updated(adapted)
    assert one | {"seconds": None} == two | {"seconds": None}
    assert fixed.theta.tobytes() == adapted.theta.tobytes()


@pytest.mark.parametrize(("scale", "target_kl"), [(1e-7, 1e-6), (1e4, 1e3)])
def test_the_damping_stays_within_bounds(implementation, scale, target_kl):
    s = rollout_settings(
        adaptive_damping=True, target_kl=target_kl, cg_damping=0.1, line_search_max_iter=1
    )
    agent = shaken(implementation, s)
    agent.load_state(agent.state() | {"damping_scale": np.array([scale])})
    _, _, record = updated(agent)
    assert scale_after(scale, record) != scale
    assert agent.state()["damping_scale"] == scale


def test_a_zero_gradient_leaves_the_scale_unchanged(implementation):
    agent = implementation.agent(rollout_settings(adaptive_damping=True, gamma=0.0))
    agent.value_theta = np.zeros_like(agent.value_theta)
    no = np.zeros(5, bool)
    for _ in range(3):
        agent.act(np.ones((5, O)))
        agent.push(np.ones(5), no, no, np.ones((5, O)))
    assert agent.update()["outcome"] == ZERO_GRADIENT
    assert agent.state()["damping_scale"] == 1


def test_without_adaptive_damping_the_scale_is_unchanged(implementation):
    agent = shaken(implementation, rollout_settings())
    agent.load_state(agent.state() | {"damping_scale": np.array([2.0])})
    _, _, record = updated(agent)
    assert record["cg_damping"] == agent.cg_damping == 0.1
    assert agent.state()["damping_scale"] == 2


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_state_with_an_impossible_scale_is_refused(implementation, value):
    agent = implementation.agent(settings())
    before = bits(agent)
    with pytest.raises(ValueError, match=r"^damping_scale is not positive$"):
        agent.load_state(agent.state() | {"damping_scale": np.array([value])})
    assert bits(agent) == before


def test_a_loaded_model_keeps_its_damping(tmp_path):
    model = small_model("Pendulum-v1", adaptive_damping=True, cg_damping=0.01)
    model.learn(256)
    assert model.snapshot().state["damping_scale"] != 1
    model.save(tmp_path / "model.npz")
    again = type(model).load(tmp_path / "model.npz")
    assert same_state(model, again)
    assert insides(again).agent.cg_damping == insides(model).agent.cg_damping
