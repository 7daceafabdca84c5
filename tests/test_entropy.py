"""The surrogate with entropy, E[(ratio - 1) A] + ent_coef E[H]: its gradient and steps."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from agents import (
    N,
    O,
    World,
    collect,
    every_distribution,
    loaded,
    random_batch,
    rollout_settings,
    settings,
    shaken,
)
from tables import table
from tolerances import DENSE, DIFFERENCES, ROUNDING, assert_close

C = 0.3
DTYPES = {"float32": 1e-6, "float64": ROUNDING}


def dense_surrogate(dense, batch, coefficient=C):
    """The surrogate with entropy as a function of theta, by its formula."""

    def surrogate(theta):
        gain = dense.surrogate(theta, batch.obs, batch.act, batch.adv, batch.logp)
        return gain + coefficient * dense.entropy(theta, batch.obs)

    return surrogate


@every_distribution
@table("n", [1, 64, 65, 257, 700])
def test_surrogate_and_gradient_equal_the_formulas(implementation, distribution, n):
    s = settings((4,), distribution, n_steps=700, ent_coef=C)
    agent, batch = loaded(implementation, s, n, off_policy=True)
    surrogate = dense_surrogate(reference.dense_policy(s), batch)
    trial = agent.theta + 0.2 * np.random.default_rng(8).normal(size=agent.theta.size)
    assert agent.theory.evaluate(trial)[0] == pytest.approx(surrogate(trial), rel=DENSE)
    expected = reference.derivative(surrogate, agent.theta)
    assert_close(agent.theory.gradient(), expected, DENSE)


@pytest.mark.parametrize("parts", [(4,), (2, 3), (1, 3)])
def test_with_masks_the_entropy_is_that_of_the_allowed_choices(implementation, parts):
    s = settings((4,), ("categorical", parts), ent_coef=C)
    agent, batch = shaken(implementation, s), random_batch(s)
    mask = np.random.default_rng(1).random((N, sum(parts))) < 0.5
    starts = np.cumsum(parts) - parts
    np.put_along_axis(mask, starts + batch.act.astype(int), values=True, axis=1)
    dense = reference.dense_policy(s, mask)
    batch = batch._replace(logp=dense.logp(agent.theta, batch.obs, batch.act) + 0.1)
    agent.theory.load_batch(*batch, mask)
    expected = reference.derivative(dense_surrogate(dense, batch), agent.theta)
    assert_close(agent.theory.gradient(), expected, DENSE)
    numeric = reference.differences(
        lambda t: np.array(agent.theory.evaluate(t)[0]), agent.theta, 1e-4
    )
    assert_close(agent.theory.gradient(), numeric, DIFFERENCES)


@pytest.mark.parametrize("dtype", DTYPES)
def test_forbidden_choices_have_no_gradient(implementation, dtype):
    """The gradient is exactly 0, also for a part's only allowed choice."""
    s = settings((), ("categorical", (2, 3)), ent_coef=C)
    agent, batch = shaken(implementation, s, dtype=dtype), random_batch(s)
    mask, act = np.ones((N, 5), bool), np.zeros((N, 2))
    mask[:, [1, 3]] = False
    agent.theory.load_batch(batch.obs, act, batch.adv, mask=mask)
    columns = agent.theory.gradient().reshape(O + 1, 5)
    assert not columns[:, [0, 1, 3]].any()
    assert columns[:, [2, 4]].any()


@every_distribution
@table("dtype", DTYPES)
def test_gradient_is_linear_in_the_coefficient(implementation, distribution, dtype):
    def gradient(coefficient):
        s = settings((4,), distribution, ent_coef=coefficient)
        agent, batch = shaken(implementation, s, dtype=dtype), random_batch(s)
        agent.theory.load_batch(*batch)
        return agent.theory.gradient()

    none, one = gradient(0.0), gradient(0.1)
    assert not np.allclose(none, one)
    assert_close(gradient(0.2), none + 2 * (one - none), DTYPES[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_entropy_of_a_gaussian_depends_on_log_std_only(implementation, dtype):
    s = settings(ent_coef=0.25)
    agent, batch = shaken(implementation, s, dtype=dtype), random_batch(s)
    agent.theory.load_batch(batch.obs, batch.act, np.zeros(N))
    assert not agent.theory.gradient()[:-2].any()
    assert (agent.theory.gradient()[-2:] == 0.25).all()


@every_distribution
@table("dtype", DTYPES)
def test_without_advantages_the_entropy_grows(implementation, distribution, dtype):
    """The gradient is not zero, and the reported gain is the entropy's."""
    s = rollout_settings(distribution=distribution, ent_coef=C, gamma=0.0, target_kl=1e-4)
    agent, world = shaken(implementation, s, scale=0.3, dtype=dtype), World(s.n_envs)
    agent.value_theta = np.zeros_like(agent.value_theta)
    for _ in range(s.n_steps):
        act, _, _ = agent.act(world.obs)
        next_obs = world.step(act)[3]
        agent.push(np.zeros(s.n_envs), *np.zeros((2, s.n_envs), bool), next_obs)
    record = agent.update()
    assert record["outcome"] == 0
    assert record["kl"] <= 1e-4
    assert record["surr_gain"] == pytest.approx(record["surr_gain_predicted"], rel=0.05)
    assert record["surr_gain"] > 0


def test_a_zero_gradient_includes_the_entropy(implementation):
    """Equal choices without advantages: the entropy is maximal, so there is no step."""
    s = rollout_settings(hidden=(), distribution=("categorical", (2, 4)), ent_coef=C)
    agent = implementation.agent(s)
    agent.theta, agent.value_theta = 0 * agent.theta, 0 * agent.value_theta
    obs = np.ones((s.n_envs, O))
    for _ in range(s.n_steps):
        agent.act(obs)
        agent.push(np.zeros(s.n_envs), *np.zeros((2, s.n_envs), bool), obs)
    record = agent.update()
    assert record["rejected"] == "zero gradient"
    assert not agent.theta.any()


@every_distribution
def test_a_small_step_gains_as_predicted(implementation, distribution):
    s = rollout_settings(distribution=distribution, ent_coef=C, target_kl=1e-8)
    agent = shaken(implementation, s, scale=0.3)
    collect(agent, World(s.n_envs), s.n_steps)
    record = agent.update()
    assert record["outcome"] == 0
    assert record["surr_gain"] == pytest.approx(record["surr_gain_predicted"], rel=1e-2)


@every_distribution
def test_a_larger_coefficient_keeps_the_entropy_higher(implementation, distribution):
    """In a task that rewards the same action everywhere."""

    def entropy(coefficient):
        s = rollout_settings(
            hidden=(), distribution=distribution, gamma=0.0, ent_coef=coefficient, target_kl=0.2
        )
        agent, obs = implementation.agent(s), np.zeros((s.n_envs, O))
        for _ in range(6):
            for _ in range(s.n_steps):
                act, _, _ = agent.act(obs)
                rew = -np.square(act - 1).sum(axis=1)
                agent.push(rew, np.ones(s.n_envs, bool), np.zeros(s.n_envs, bool), obs)
            record = agent.update()
        return record["entropy"]

    found = [entropy(coefficient) for coefficient in (0.0, 0.3, 3.0)]
    assert found[0] < found[1] < found[2]
