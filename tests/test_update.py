"""One complete iteration composed of the stages; `test_update_outcomes` has its failures."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import reference
from agents import (
    World,
    bits,
    collect,
    every_distribution,
    rollout_settings,
    samples_of,
    shaken,
)
from tables import table
from tolerances import DENSE, SOLVED, assert_close

OK = 0
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
    """The line search by hand with the twin's evaluations: (beta, theta, trials, results...)."""
    beta, theta = np.sqrt(2 * s.target_kl / curvature), twin.theta
    for j in range(s.line_search_max_iter):
        trial = theta + beta * s.line_search_shrinking_factor**j * x
        surr, kl, entropy = twin.theory.evaluate(trial)
        if kl <= s.target_kl and surr > twin.theory.evaluate(theta)[0]:
            return beta, trial, j + 1, surr - twin.theory.evaluate(theta)[0], kl, entropy
    raise AssertionError("nothing was accepted")


@every_distribution
@table("preconditioner", ["kfac", "none"])
@table("world", [dict(), dict(next_step=False), dict(gaps=True)], ids=str)
def test_an_update_equals_its_stages_in_order(implementation, distribution, preconditioner, world):
    s = rollout_settings(distribution=distribution, preconditioner=preconditioner)
    agent, twin = shaken(implementation, s), shaken(implementation, s)
    log = collect(agent, World(5, **world), 20)
    samples = samples_of(log, s)
    twin.theory.load_batch(*samples)
    theta, grad = twin.theta, twin.theory.gradient()
    x, info = twin.theory.solve()
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
        "kl_predicted": beta**2 / 2 * x @ twin.theory.fisher_product(x),
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
@table("hidden", [(), (6,)])
@table("target_kl", [0.5, 0.01, 1e-5])
def test_the_trust_region_holds(implementation, distribution, hidden, target_kl):
    """After every accepted update, measured by the reference's KL."""
    s = rollout_settings(
        hidden=hidden, distribution=distribution, target_kl=target_kl, cg_damping=1e-3
    )
    agent, world, dense = shaken(implementation, s), World(5), reference.dense_policy(s)
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
@table("target_kl", [1e-7, 1e-4])
def test_small_steps_have_the_predicted_kl(implementation, distribution, target_kl):
    """The quadratic model approximates the KL, the better the smaller the step."""
    s = rollout_settings(distribution=distribution, target_kl=target_kl, cg_damping=1e-3)
    agent = shaken(implementation, s)
    collect(agent, World(5), 24)
    record, relative = agent.update(), 10 * math.sqrt(target_kl)
    assert (record["outcome"], record["line_search_steps"]) == (OK, 1)
    assert record["kl"] == pytest.approx(record["kl_predicted"], rel=relative)
    assert record["surr_gain"] == pytest.approx(record["surr_gain_predicted"], rel=relative)
    assert record["kl_predicted"] <= target_kl


def test_damping_limits_the_step_and_is_not_part_of_the_predicted_kl(implementation):
    predicted = []
    for damping in (1e-6, 1.0):
        agent = shaken(implementation, rollout_settings(cg_damping=damping, target_kl=1e-6))
        collect(agent, World(5), 24)
        predicted.append(agent.update()["kl_predicted"])
    assert predicted[0] == pytest.approx(1e-6, rel=1e-2)
    assert predicted[1] < 0.9e-6


@pytest.mark.parametrize("k", [1, 3])
def test_linear_gaussian_follows_the_exact_natural_gradient(implementation, k):
    """Each update takes one CG step and follows the direction of dense algebra."""
    s = rollout_settings(hidden=(), cg_max_steps=10, sub_sampling_factor=k)
    agent, world, dense = shaken(implementation, s), World(5, gaps=True), reference.dense_policy(s)
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


# -- records and changed settings ------------------------------------------------------------------


@every_distribution
def test_std_is_the_mean_over_components_after_the_step(implementation, distribution):
    s = rollout_settings(distribution=distribution)
    agent = shaken(implementation, s)
    collect(agent, World(5), 24)
    record = agent.update()
    assert record["outcome"] == OK
    log_std = reference.dense_policy(s).log_std(agent.theta)
    if log_std.size > 0:
        assert record["std"] == pytest.approx(np.mean(np.exp(log_std)), rel=DENSE)
    else:
        assert math.isnan(record["std"])


def test_every_stage_is_timed(implementation):
    """Together they take no longer than the update."""
    agent = shaken(implementation, rollout_settings())
    collect(agent, World(5), 24)
    start = time.perf_counter()
    seconds = agent.update()["seconds"]
    assert all(value > 0 for value in seconds.values())
    assert sum(seconds.values()) <= time.perf_counter() - start


def test_a_new_target_kl_applies_from_the_next_update(implementation):
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


def test_a_new_learning_rate_applies_from_the_next_update(implementation):
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


@table("name", ["target_kl", "learning_rate"])
@table("value", [0.0, -1.0, math.inf, math.nan, "linear", None, True])
def test_an_invalid_new_value_changes_nothing(implementation, name, value):
    agent = implementation.agent(rollout_settings())
    before = getattr(agent, name)
    with pytest.raises(ValueError, match=rf"^{name} must be a number > 0, got {value!r}$"):
        setattr(agent, name, value)
    assert getattr(agent, name) == before
