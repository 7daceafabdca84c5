"""Updates that leave the policy unchanged: their causes, records and side effects."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from agents import (
    DISTRIBUTIONS,
    O,
    World,
    bits,
    collect,
    every_distribution,
    rollout_settings,
    settings,
    shaken,
)
from tables import table
from tolerances import DENSE, assert_close

from fasttrpo.settings.critics import CRITICS

OK, REJECTED, ZERO_GRADIENT, NO_CURVATURE = range(4)


def test_a_rejected_update_keeps_theta_bit_for_bit(implementation):
    """The step is too long for the quadratic model and may not shrink enough; the critic trains."""
    s = rollout_settings(target_kl=0.3, cg_damping=1e-6, cg_max_steps=30, line_search_max_iter=2)
    s = replace(s, distribution="categorical", parts=(2, 3))
    agent = shaken(implementation, s)
    obs = collect(agent, World(5), 24).obs[0]
    before, value_before, predicted = agent.theta, agent.value_theta, agent.predict(obs, True)
    record = agent.update()
    assert (record["outcome"], record["line_search_steps"]) == (REJECTED, 2)
    assert (record["kl"], record["surr_gain"], record["step_norm"]) == (0, 0, 0)
    assert record["kl_predicted"] > 0.1
    assert record["rejected"] == "kl"
    assert record["kl_tried"] > s.target_kl
    assert record["surr_gain_tried"] != 0
    assert agent.theta.tobytes() == before.tobytes()
    assert np.array_equal(agent.predict(obs, True), predicted)
    assert not np.array_equal(agent.value_theta, value_before)
    assert agent.state()["counters"][4] == 1
    assert agent.n_recorded == 0


def numbers(record):
    """The record's numbers by name."""
    return [(k, v) for k, v in record.items() if k not in ("rejected", "seconds")]


def learn_from(agent, rewards):
    """An update on random observations with rewards() (5,) per step."""
    draw, no = np.random.default_rng(0), np.zeros(5, bool)
    for _ in range(24):
        agent.act(draw.normal(size=(5, O)))
        agent.push(rewards(), no, no, np.zeros((5, O)))
    return agent.update()


@table("dtype", ["float32", "float64"])
@every_distribution
def test_constant_advantages_change_no_parameter(implementation, dtype, distribution):
    s = rollout_settings(distribution=distribution, gamma=0.0, normalize_advantage=True)
    agent = implementation.agent(s, dtype)
    agent.value_theta = np.zeros_like(agent.value_theta)
    agent.theta = before = agent.theta + 0.1
    record = learn_from(agent, lambda: np.full(5, 0.1))
    assert (record["outcome"], record["cg_steps"], record["curvature"]) == (ZERO_GRADIENT, 0, 0)
    assert (record["rejected"], record["kl_tried"], record["surr_gain_tried"]) == (
        "zero gradient",
        0,
        0,
    )
    assert agent.theta.tobytes() == before.tobytes()
    assert {k for k, v in numbers(record) if not math.isfinite(v)} <= {"explained_variance", "std"}
    assert record["entropy"] > 0
    assert np.isfinite(np.concatenate(list(agent.state().values()))).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_advantages_that_differ_by_rounding_change_no_parameter(implementation, dtype):
    """Rewards of 10 up to the last digit, and values of zero."""
    agent, draw = implementation.agent(rollout_settings(gamma=0.0), dtype), np.random.default_rng(0)
    agent.value_theta = np.zeros_like(agent.value_theta)
    before = agent.theta
    record = learn_from(agent, lambda: 10 + draw.integers(-1, 2, 5) * np.spacing(10.0))
    assert record["outcome"] == ZERO_GRADIENT
    assert agent.theta.tobytes() == before.tobytes()


def test_zero_advantages_are_a_zero_gradient(implementation):
    """Also without normalisation; constant returns have no explained variance."""
    agent = implementation.agent(rollout_settings(normalize_advantage=False, critic="ridge"))
    before, no = agent.theta, np.zeros(5, bool)
    for _ in range(3):
        agent.act(np.ones((5, O)))
        agent.push(np.zeros(5), no, no, np.ones((5, O)))
    record = agent.update()
    assert (record["outcome"], record["grad_norm"], record["n_samples"]) == (ZERO_GRADIENT, 0, 15)
    assert math.isnan(record["explained_variance"])
    assert agent.theta.tobytes() == before.tobytes()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("preconditioner", "size"), [("none", 1e120), ("kfac", 1e200)])
def test_overflowing_curvature_is_reported_and_changes_nothing(
    implementation, preconditioner, size
):
    """Observations so large that p'Fp overflows: no step, and no NaN in the state."""
    s = settings((), DISTRIBUTIONS["categorical"], n_steps=24, preconditioner=preconditioner)
    agent = shaken(implementation, s)
    agent.theta = before = np.zeros_like(agent.theta)
    draw = np.random.default_rng(0)
    for _ in range(24):
        obs = size * draw.normal(size=(1, O))
        agent.act(obs)
        agent.push(draw.normal(size=1), [False], [False], obs)
    record = agent.update()
    assert (record["outcome"], record["curvature"]) == (NO_CURVATURE, 0)
    assert (record["rejected"], record["kl_tried"]) == ("no curvature", 0)
    assert (record["cg_steps"], record["line_search_steps"], record["kl"]) == (0, 0, 0)
    assert agent.theta.tobytes() == before.tobytes()
    assert np.isfinite(np.concatenate(list(agent.state().values()))).all()


def test_a_rollout_may_have_one_row(implementation):
    agent = shaken(implementation, settings(normalize_advantage=False))
    agent.act(np.ones((1, O)))
    agent.push([1.0], [True], [False], np.ones((1, O)))
    record = agent.update()
    assert (record["outcome"], record["n_samples"]) == (OK, 1)


def test_a_rollout_without_valid_rows_changes_nothing(implementation):
    agent, yes = shaken(implementation, rollout_settings(normalize_rewards=True)), np.ones(5, bool)
    agent.act(np.ones((5, O)))
    agent.push(np.full(5, np.nan), yes, yes, np.full((5, O), np.nan), yes)
    before = bits(agent)
    with pytest.raises(ValueError, match=r"^the rollout is empty$"):
        agent.update()
    assert bits(agent) == before
    assert agent.n_recorded == 1
    agent.discard()
    assert agent.n_recorded == 0


def test_float32_updates_approximate_float64(implementation):
    thetas = []
    for dtype in ("float32", "float64"):
        agent = implementation.agent(rollout_settings(), dtype)
        collect(agent, World(5), 24)
        agent.update()
        thetas.append(agent.theta)
        assert agent.theta.dtype == np.float64
        assert {a.dtype.name for a in agent.act(np.ones((5, O)))} == {agent.real.name} == {dtype}
    assert_close(*thetas, 1e-4)
    assert np.max(np.abs(thetas[0] - thetas[1])) > DENSE


def test_constant_advantages_change_no_parameter_without_normalisation(implementation):
    agent = shaken(implementation, rollout_settings(normalize_advantage=False))
    no = np.zeros(5, bool)
    agent.value_theta = np.zeros_like(agent.value_theta)
    before = agent.theta
    for _ in range(3):
        agent.act(np.ones((5, O)))
        agent.push(np.full(5, 0.1), ~no, no, np.ones((5, O)))
    assert agent.update()["outcome"] == ZERO_GRADIENT
    assert agent.theta.tobytes() == before.tobytes()


@table("critic", CRITICS)
@table("dtype", ["float32", "float64"])
def test_huge_numbers_never_reach_the_state(implementation, critic, dtype):
    """Finite numbers with infinite squares: the agent stays finite and can continue."""
    s = rollout_settings(critic=critic, normalize_observations=True, normalize_rewards=True)
    agent, no = implementation.agent(s, dtype), np.zeros(5, bool)
    huge = 1e30 if dtype == "float32" else 1e200
    with np.errstate(all="ignore"):
        for _ in range(2):
            for sign in (1, -1, 1):
                agent.act(np.full((5, O), sign * huge))
                agent.push(np.full(5, sign * 1e300), no, no, np.full((5, O), sign * huge))
            agent.update()
    assert np.isfinite(np.concatenate(list(agent.state().values()))).all()


def test_constant_rewards_are_not_scaled(implementation):
    """As in the first rollouts of a task with sparse rewards: V keeps its scale."""
    s = rollout_settings(normalize_rewards=True)
    agent, no = implementation.agent(s), np.zeros(5, bool)
    for _ in range(2):
        for _ in range(6):
            agent.act(np.random.default_rng(1).normal(size=(5, O)))
            agent.push(np.zeros(5), no, no, np.ones((5, O)))
        record = agent.update()
    assert record["value_loss_before"] < 1.0


def test_a_stride_beyond_the_batch_leaves_one_fisher_row(implementation):
    s = rollout_settings(sub_sampling_factor=2**24)
    agent = shaken(implementation, s)
    collect(agent, World(5), 3)
    assert agent.update()["outcome"] in (OK, REJECTED)
