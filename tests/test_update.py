"""One whole iteration: the stages put together, and what holds after each of its outcomes."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest
import reference
from agents import (
    DISTRIBUTIONS,
    O,
    World,
    bits,
    collect,
    every_distribution,
    rollout_settings,
    samples_of,
    settings,
    shaken,
)
from tolerances import DENSE, SOLVED, assert_close

OK, REJECTED, ZERO_GRADIENT, NO_CURVATURE = range(4)
RECORD = [
    "outcome",
    "rejected",
    "n_samples",
    "surr_gain",
    "surr_gain_predicted",
    "surr_gain_tried",
    "kl",
    "kl_predicted",
    "kl_tried",
    "target_kl",
    "entropy",
    "std",
    "grad_norm",
    "step_norm",
    "curvature",
    "cg_damping",
    "cg_steps",
    "cg_residual",
    "line_search_steps",
    "explained_variance",
    "value_loss_before",
    "value_loss",
    "seconds",
]
TYPES = dict.fromkeys(("outcome", "n_samples", "cg_steps", "line_search_steps"), int)
TYPES |= {"rejected": str, "seconds": dict}
STAGES = ["advantages", "gradient", "solve", "line_search", "critic"]


def search(twin, s, x, curvature):
    """The line search once more, with the twin's own evaluations: theta, trials, its answers."""
    beta, theta = np.sqrt(2 * s.target_kl / curvature), twin.theta
    for j in range(s.line_search_max_iter):
        trial = theta + beta * s.line_search_shrinking_factor**j * x
        surr, kl, entropy = twin.evaluate(trial)
        if kl <= s.target_kl and surr > twin.evaluate(theta)[0]:
            return beta, trial, j + 1, surr - twin.evaluate(theta)[0], kl, entropy
    raise AssertionError("nothing was accepted")


@every_distribution
@pytest.mark.parametrize("preconditioner", ["kfac", "none"])
@pytest.mark.parametrize("world", [dict(), dict(next_step=False), dict(gaps=True)], ids=str)
def test_update_is_the_stages_one_after_the_other(
    implementation, distribution, preconditioner, world
):
    s = rollout_settings(distribution=distribution, preconditioner=preconditioner)
    agent, twin = shaken(implementation, s), shaken(implementation, s)
    log = collect(agent, World(5, **world), 20)
    samples = samples_of(log, s)
    twin.load_batch(*samples)
    theta, grad = twin.theta, twin.gradient()
    x, info = twin.solve()
    beta, trial, trials, gain, kl, entropy = search(twin, s, x, info["curvature"])
    record = agent.update()
    assert (record["outcome"], record["line_search_steps"]) == (OK, trials)
    assert_close(agent.theta - theta, trial - theta, SOLVED)
    expected = {
        "n_samples": (~log.skip).sum(),
        "surr_gain": gain,
        "surr_gain_predicted": beta * grad @ x,
        "surr_gain_tried": gain,
        "kl": kl,
        "kl_tried": kl,
        "target_kl": s.target_kl,
        "cg_damping": s.cg_damping,
        "kl_predicted": beta**2 / 2 * x @ twin.fisher_product(x),
        "entropy": entropy,
        "grad_norm": np.linalg.norm(grad),
        "step_norm": np.linalg.norm(trial - theta),
        "explained_variance": 1 - np.var(samples.ret - log.val[~log.skip]) / np.var(samples.ret),
        "value_loss_before": np.mean((twin.value(samples.obs) - samples.ret) ** 2),
        "value_loss": np.mean((agent.value(samples.obs) - samples.ret) ** 2),
    } | info
    for key, value in expected.items():
        assert record[key] == pytest.approx(value, rel=SOLVED), key
    assert record["value_loss"] < record["value_loss_before"]
    assert agent.n_recorded == 0
    assert agent.state()["counters"][4] == 1


def test_the_record_has_its_names_in_order(implementation):
    agent = shaken(implementation, rollout_settings())
    collect(agent, World(5), 24)
    record = agent.update()
    assert list(record) == RECORD
    for name, value in record.items():
        assert type(value) is TYPES.get(name, float), name
    assert list(record["seconds"]) == STAGES


@every_distribution
@pytest.mark.parametrize("hidden", [(), (6,)])
@pytest.mark.parametrize("target_kl", [0.5, 0.01, 1e-5])
def test_the_trust_region_holds(implementation, distribution, hidden, target_kl):
    """After every accepted update, by a KL computed another way."""
    s = rollout_settings(
        hidden=hidden, distribution=distribution, target_kl=target_kl, cg_damping=1e-3
    )
    agent, world, dense = shaken(implementation, s), World(5), reference.DensePolicy(s)
    accepted = 0
    for _ in range(6):
        before, log = agent.theta, collect(agent, world, 24)
        record, obs = agent.update(), log.obs[~log.skip]
        kl = dense.kl(before, agent.theta, obs)
        if record["outcome"] == OK:
            accepted += 1
            assert 0 < kl <= target_kl * (1 + 1e-6)
            assert record["kl"] == pytest.approx(kl, rel=1e-6)
            assert record["surr_gain"] > 0
        else:
            assert agent.theta.tobytes() == before.tobytes()
    assert accepted >= 3


@every_distribution
@pytest.mark.parametrize("target_kl", [1e-7, 1e-4])
def test_small_steps_spend_the_predicted_kl(implementation, distribution, target_kl):
    """The quadratic model is that of the KL: within a per cent, and nearer the smaller the step."""
    s = rollout_settings(distribution=distribution, target_kl=target_kl, cg_damping=1e-3)
    agent = shaken(implementation, s)
    collect(agent, World(5), 24)
    record, relative = agent.update(), 10 * math.sqrt(target_kl)
    assert (record["outcome"], record["line_search_steps"]) == (OK, 1)
    assert record["kl"] == pytest.approx(record["kl_predicted"], rel=relative)
    assert record["surr_gain"] == pytest.approx(record["surr_gain_predicted"], rel=relative)
    assert record["kl_predicted"] <= target_kl


def test_damping_is_inside_the_step_size_and_not_in_the_predicted_kl(implementation):
    predicted = []
    for damping in (1e-6, 1.0):
        agent = shaken(implementation, rollout_settings(cg_damping=damping, target_kl=1e-6))
        collect(agent, World(5), 24)
        predicted.append(agent.update()["kl_predicted"])
    assert predicted[0] == pytest.approx(1e-6, rel=1e-2)
    assert predicted[1] < 0.9e-6


@pytest.mark.parametrize("k", [1, 3])
def test_linear_gaussian_follows_the_exact_natural_gradient(implementation, k):
    """Update after update: one CG step, and theta on the line that dense algebra gives."""
    s = rollout_settings(hidden=(), cg_max_steps=10, sub_sampling_factor=k)
    agent, world, dense = shaken(implementation, s), World(5, gaps=True), reference.DensePolicy(s)
    for _ in range(4):
        before, samples = agent.theta, samples_of(collect(agent, world, 24), s)
        g = dense.gradient(before, *samples[:3], samples.logp)
        F = dense.fisher(before, samples.obs[::k])
        exact = np.linalg.solve(F + s.cg_damping * np.eye(len(F)), g)
        record = agent.update()
        assert (record["outcome"], record["cg_steps"]) == (OK, 1)
        beta = math.sqrt(2 * s.target_kl / (exact @ g))
        scale = beta * s.line_search_shrinking_factor ** (record["line_search_steps"] - 1)
        assert_close(agent.theta - before, scale * exact, SOLVED)


# -- what an update tells, and what may change between two of them ---------------------------------


@every_distribution
def test_std_is_the_mean_over_components_after_the_step(implementation, distribution):
    agent = shaken(implementation, rollout_settings(distribution=distribution))
    collect(agent, World(5), 24)
    record = agent.update()
    assert record["outcome"] == OK
    if distribution[0] == "gaussian":
        assert record["std"] == pytest.approx(np.mean(np.exp(agent.theta[-2:])), rel=DENSE)
    else:
        assert math.isnan(record["std"])


def test_every_stage_takes_its_time(implementation):
    """And together they take no more than the update."""
    agent = shaken(implementation, rollout_settings())
    collect(agent, World(5), 24)
    began = time.perf_counter()
    seconds = agent.update()["seconds"]
    assert all(value > 0 for value in seconds.values())
    assert sum(seconds.values()) <= time.perf_counter() - began


def test_a_new_target_kl_holds_from_the_next_update_on(implementation):
    agent = shaken(implementation, rollout_settings())
    twin = shaken(implementation, rollout_settings(target_kl=1e-4))
    assert agent.target_kl == 0.01
    agent.target_kl = 1e-4
    assert agent.target_kl == 1e-4
    for one in (agent, twin):
        collect(one, World(5), 24)
    records = [one.update() | {"seconds": None} for one in (agent, twin)]
    assert records[0] == records[1]
    assert records[0]["target_kl"] == 1e-4
    assert 0 < records[0]["kl"] <= 1e-4
    assert bits(agent) == bits(twin)


def test_a_new_learning_rate_holds_from_the_next_update_on(implementation):
    agent = shaken(implementation, rollout_settings(critic="adam"))
    twin = shaken(implementation, rollout_settings(critic="adam", learning_rate=0.05))
    other = shaken(implementation, rollout_settings(critic="adam"))
    agent.learning_rate = 0.05
    assert agent.learning_rate == 0.05
    for one in (agent, twin, other):
        collect(one, World(5), 24)
        one.update()
    assert bits(agent) == bits(twin)
    assert not np.array_equal(agent.value_theta, other.value_theta)


@pytest.mark.parametrize("name", ["target_kl", "learning_rate"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan, "linear", None, True])
def test_a_new_value_out_of_range_changes_nothing(implementation, name, value):
    agent = implementation.agent(rollout_settings())
    before = getattr(agent, name)
    with pytest.raises(ValueError, match=rf"^{name} must be a number > 0, got {value!r}$"):
        setattr(agent, name, value)
    assert getattr(agent, name) == before


# -- outcomes that leave the policy alone ---------------------------------------------------------


def test_rejected_update_leaves_theta_bitwise(implementation):
    """The step is too far for a quadratic, and may not shrink enough; the critic learns."""
    s = rollout_settings(target_kl=1.0, cg_damping=1e-6, line_search_max_iter=2)
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
    """An update on random observations and rewards() (5,)."""
    draw, no = np.random.default_rng(0), np.zeros(5, bool)
    for _ in range(24):
        agent.act(draw.normal(size=(5, O)))
        agent.push(rewards(), no, no, np.zeros((5, O)))
    return agent.update()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_distribution
def test_constant_advantages_move_nothing(implementation, dtype, distribution):
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
def test_advantages_that_differ_by_rounding_move_nothing(implementation, dtype):
    """Rewards of 10, give or take the last digit, and no values."""
    agent, draw = implementation.agent(rollout_settings(gamma=0.0), dtype), np.random.default_rng(0)
    agent.value_theta = np.zeros_like(agent.value_theta)
    before = agent.theta
    record = learn_from(agent, lambda: 10 + draw.integers(-1, 2, 5) * np.spacing(10.0))
    assert record["outcome"] == ZERO_GRADIENT
    assert agent.theta.tobytes() == before.tobytes()


def test_no_advantage_anywhere_is_a_zero_gradient(implementation):
    """Without normalisation too; the variance of returns that do not vary is nothing."""
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
def test_no_curvature_is_an_outcome(implementation, preconditioner, size):
    """Observations so large that p'Fp overflows: no step, no NaN left behind."""
    s = settings((), DISTRIBUTIONS["one part"], n_steps=24, preconditioner=preconditioner)
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


def test_one_row_is_a_rollout(implementation):
    agent = shaken(implementation, settings(normalize_advantage=False))
    agent.act(np.ones((1, O)))
    agent.push([1.0], [True], [False], np.ones((1, O)))
    record = agent.update()
    assert (record["outcome"], record["n_samples"]) == (OK, 1)


def test_a_rollout_of_skipped_rows_changes_nothing(implementation):
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


def test_float32_follows_float64(implementation):
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


def test_constant_advantages_move_nothing_without_normalisation_either(implementation):
    agent = shaken(implementation, rollout_settings(normalize_advantage=False))
    no = np.zeros(5, bool)
    agent.value_theta = np.zeros_like(agent.value_theta)
    before = agent.theta
    for _ in range(3):
        agent.act(np.ones((5, O)))
        agent.push(np.full(5, 0.1), ~no, no, np.ones((5, O)))
    assert agent.update()["outcome"] == ZERO_GRADIENT
    assert agent.theta.tobytes() == before.tobytes()


@pytest.mark.parametrize("critic", ["kfac", "gauss_newton", "adam", "ridge"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_huge_numbers_never_reach_the_state(implementation, critic, dtype):
    """Finite numbers whose squares are not: whatever the iteration makes of them, it can go on."""
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


def test_rewards_that_do_not_vary_are_not_scaled(implementation):
    """The first rollouts of a task with sparse rewards: V stays as large as it was."""
    s = rollout_settings(normalize_rewards=True)
    agent, no = implementation.agent(s), np.zeros(5, bool)
    for _ in range(2):
        for _ in range(6):
            agent.act(np.random.default_rng(1).normal(size=(5, O)))
            agent.push(np.zeros(5), no, no, np.ones((5, O)))
        record = agent.update()
    assert record["value_loss_before"] < 1.0


def test_a_stride_longer_than_the_batch_is_one_fisher_row(implementation):
    s = rollout_settings(sub_sampling_factor=2**24)
    agent = shaken(implementation, s)
    collect(agent, World(5), 3)
    assert agent.update()["outcome"] in (OK, REJECTED)
