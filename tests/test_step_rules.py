"""How far a step may go: acceptance rules, the KL's direction, slack and reduction."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import reference
from agents import (
    DISTRIBUTIONS,
    Implementation,
    O,
    World,
    collect,
    every_distribution,
    loaded,
    needs_extension,
    rollout_settings,
    samples_of,
    settings,
    shaken,
)
from helpers import Pointer, same_state, small_model
from pairs import pairwise
from tables import table
from tolerances import DENSE, SECOND_DIFFERENCES, SOLVED, UPDATES, assert_close

from fasttrpo.settings import ACCEPTANCES, KL_DIRECTIONS, make_settings
from fasttrpo.settings.agent import averaged, resolve
from fasttrpo.settings.peers import expand

OK, REJECTED, ZERO_GRADIENT = 0, 1, 2
every_rule = pytest.mark.parametrize("acceptance", ACCEPTANCES)
every_direction = pytest.mark.parametrize("kl_direction", KL_DIRECTIONS)


class Quiet(World):
    """Rewards small actions, so that log_std falls; with `loud`, large ones."""

    loud = False

    def step(self, act):
        rew, *rest = super().step(act)
        size = np.square(act).sum(axis=1)
        return np.where(np.isnan(rew), rew, size if self.loud else -size), *rest


def updated(agent, seed=1, T=24):
    """A rollout of a world, the parameters before the update, and the update's record."""
    log = collect(agent, World(5, seed), T)
    return log, agent.theta, agent.update()


# -- acceptance -----------------------------------------------------------------------------------


def passes(s, surr, kl, surr_old):
    within, better = kl <= s.kl_slack * s.target_kl, surr > surr_old
    return {"improvement": within and better, "kl": within, "always": True}[s.acceptance]


def first_accepted(twin, s, x, curvature):
    """The line search by hand with the twin's evaluations: (theta, trials, gain, KL), or None."""
    beta, theta = np.sqrt(2 * s.target_kl / curvature), twin.theta
    surr_old = twin.theory.evaluate(theta)[0]
    for j in range(s.line_search_max_iter):
        trial = theta + beta * s.line_search_shrinking_factor**j * x
        surr, kl, _ = twin.theory.evaluate(trial)
        if passes(s, surr, kl, surr_old):
            return trial, j + 1, surr - surr_old, kl
    return None


@every_distribution
@every_rule
@every_direction
@table("kl_slack", [1.0, 1.5])
def test_the_first_trial_that_satisfies_the_rule_is_taken(
    implementation, distribution, acceptance, kl_direction, kl_slack
):
    """Trust regions from small to far beyond the quadratic range."""
    for target_kl in (0.01, 0.3, 3.0):
        s = rollout_settings(
            distribution=distribution,
            acceptance=acceptance,
            kl_direction=kl_direction,
            kl_slack=kl_slack,
            target_kl=target_kl,
            cg_damping=1e-3,
        )
        agent, twin = shaken(implementation, s), shaken(implementation, s)
        samples = samples_of(collect(agent, World(5), 24), s)
        twin.theory.load_batch(*samples)
        x, info = twin.theory.solve()
        expected = first_accepted(twin, s, x, info["curvature"])
        record = agent.update()
        assert (record["outcome"] == OK) == (expected is not None)
        if expected is None:
            continue
        trial, trials, gain, kl = expected
        assert record["line_search_steps"] == trials
        assert_close(agent.theta - twin.theta, trial - twin.theta, SOLVED)
        assert record["surr_gain"] == pytest.approx(gain, rel=1e-6)
        assert record["kl"] == pytest.approx(kl, rel=1e-6)


def test_the_rules_differ_on_a_long_step(implementation):
    """Each rule accepts another trial, and slack accepts an earlier one."""
    s = rollout_settings(
        distribution=DISTRIBUTIONS["categorical"], target_kl=0.5, cg_damping=1e-6, cg_max_steps=9
    )
    taken = {}
    for acceptance, slack in [("always", 1.0), ("kl", 1.5), ("kl", 1.0), ("improvement", 1.0)]:
        agent = shaken(implementation, replace(s, acceptance=acceptance, kl_slack=slack))
        _, _, record = updated(agent)
        taken[acceptance, slack] = record
        assert record["outcome"] == OK
    steps = [record["line_search_steps"] for record in taken.values()]
    assert steps == [1, 1, 2, 3]
    assert 0.5 < taken["kl", 1.5]["kl"] <= 0.75
    assert taken["kl", 1.0]["surr_gain"] < 0 < taken["improvement", 1.0]["surr_gain"]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@every_rule
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_step_that_is_not_finite_is_never_taken(implementation, acceptance, dtype):
    """A step so long that log_std falls to its floor, where the KL overflows."""
    s = rollout_settings(acceptance=acceptance, target_kl=1e300, line_search_max_iter=2)
    agent = shaken(implementation, s, dtype=dtype)
    before = agent.theta
    collect(agent, Quiet(5), 24)
    record = agent.update()
    assert (record["outcome"], record["rejected"]) == (REJECTED, "not finite")
    assert record["line_search_steps"] == (1 if acceptance == "always" else 2)
    assert agent.theta.tobytes() == before.tobytes()
    assert (record["kl"], record["surr_gain"], record["step_norm"]) == (0, 0, 0)


# -- the KL's direction ---------------------------------------------------------------------------


@every_distribution
@table("hidden", [(), (4, 3)])
def test_the_reverse_kl_swaps_its_arguments(implementation, distribution, hidden):
    s = settings(hidden, distribution, kl_direction="reverse")
    agent, batch = loaded(implementation, s)
    dense, theta = reference.dense_policy(s), agent.theta
    trial = theta + 0.3 * np.random.default_rng(2).normal(size=len(theta))
    reverse, forward = dense.kl(trial, theta, batch.obs), dense.kl(theta, trial, batch.obs)
    assert agent.theory.evaluate(trial)[1] == pytest.approx(reverse, rel=DENSE)
    assert abs(reverse - forward) > 1e-3 * forward


@every_distribution
@every_direction
def test_the_fisher_matrix_is_the_hessian_of_either_kl(implementation, distribution, kl_direction):
    """Second differences of the KL at the current parameters."""
    agent, _ = loaded(implementation, settings((4,), distribution, kl_direction=kl_direction))
    theta, h = agent.theta, 1e-3
    for seed in range(3):
        v = np.random.default_rng(seed).normal(size=len(theta))
        v /= np.linalg.norm(v)
        second = sum(agent.theory.evaluate(theta + step * v)[1] for step in (h, -h)) / h**2
        assert_close(second, v @ agent.theory.fisher_product(v), SECOND_DIFFERENCES)


# -- the reduction of the KL ----------------------------------------------------------------------


def test_a_mean_kl_scales_target_and_damping_by_the_components():
    mean = make_settings(
        "MlpPolicy", dict(kl_reduction="mean", target_kl=0.02, cg_damping=0.3, seed=1)
    )
    resolved = resolve(mean, 3, "gaussian", (1, 1, 1))
    assert (resolved.target_kl, resolved.cg_damping) == (3 * 0.02, 3 * 0.3)
    assert averaged(mean, "gaussian", (1, 1, 1)) == 3
    total = replace(mean, kl_reduction="sum")
    assert resolve(total, 3, "gaussian", (1, 1, 1)).cg_damping == 0.3


@table(
    ("distribution", "parts", "components"),
    [
        ("gaussian", (1, 1), 2),  # kl_divergence(Normal, Normal).mean(), of (n, D)
        ("bernoulli", (1, 1, 1), 3),  # kl_divergence(Bernoulli, Bernoulli).mean(), of (n, D)
        ("categorical", (5,), 1),  # kl_divergence(Categorical, Categorical).mean(), of (n,)
        ("categorical", (2, 3), 1),  # th.stack([...], dim=1).sum(dim=1) before .mean()
    ],
)
def test_a_mean_kl_averages_over_the_components_of_sb3(distribution, parts, components):
    """stable_baselines3 2.9, common/distributions.py, kl_divergence; sb3-contrib's trpo.py."""
    for given in (dict(kl_reduction="mean"), expand("MlpPolicy", dict(preset="sb3"))):
        resolved = resolve(make_settings("MlpPolicy", given), 3, distribution, parts)
        assert resolved.target_kl == pytest.approx(components * 0.01)
        assert resolved.cg_damping == pytest.approx(components * 0.1)


def test_a_mean_kl_gives_the_step_of_the_averaged_matrix(implementation):
    """Dense algebra with F/D, and the KL divided by D."""
    D, delta, damping = 3, 0.002, 0.05
    given = make_settings(
        "LinearPolicy", dict(kl_reduction="mean", target_kl=delta, cg_damping=damping, n_envs=5)
    )
    s = replace(resolve(given, O, "gaussian", (1,) * D), n_steps=24, cg_max_steps=10, seed=7)
    agent, dense = shaken(implementation, s), reference.dense_policy(s)
    log, before, record = updated(agent)
    samples = samples_of(log, s)
    g = dense.gradient(before, *samples[:3], samples.logp)
    H = dense.fisher(before, samples.obs) / D + damping * np.eye(len(g))
    y = np.linalg.solve(H, g)
    step = np.sqrt(2 * delta / (y @ H @ y)) * y
    shrunk = s.line_search_shrinking_factor ** (record["line_search_steps"] - 1)
    assert record["outcome"] == OK
    assert_close(agent.theta - before, shrunk * step, SOLVED)
    assert dense.kl(before, agent.theta, samples.obs) / D <= delta


def test_a_scheduled_target_is_reduced_like_a_constant():
    """With two action components, the mean's trust region is twice the sum's in every update."""
    targets = {}
    for reduction in ("sum", "mean"):
        model = small_model(Pointer(), target_kl="linear_0.02", kl_reduction=reduction)
        model.learn(48)
        targets[reduction] = np.array([record["target_kl"] for record in model.records])
    assert len(set(targets["sum"])) == 3
    assert np.array_equal(targets["mean"], 2 * targets["sum"])


# -- both backends, any number of threads ---------------------------------------------------------

RULES = [
    dict(acceptance=acceptance, kl_direction=direction, kl_slack=1.5, adaptive_damping=True)
    for acceptance, direction in itertools.product(ACCEPTANCES, KL_DIRECTIONS)
]


@needs_extension
@table(
    ("rule", "distribution", "dtype"),
    pairwise(RULES, DISTRIBUTIONS.values(), ["float32", "float64"]),
)
def test_both_backends_take_the_same_steps(rule, distribution, dtype):
    """Four updates, with a log_std_min that is reached."""
    s = rollout_settings(
        distribution=distribution, n_steps=60, target_kl=0.1, log_std_min=-0.2, **rule
    )
    runs = []
    for name in ("compiled", "portable"):
        agent, world = shaken(Implementation(name), s, 0.1, dtype), Quiet(5, gaps=True)
        records = []
        for _ in range(4):
            collect(agent, world, 60)
            records.append(agent.update())
        runs.append((records, agent.state()))
    for one, two in zip(*(records for records, _ in runs), strict=True):
        for name in ("outcome", "rejected", "line_search_steps"):
            assert one[name] == two[name]
        for name in ("kl", "kl_tried", "surr_gain_tried", "cg_damping", "std", "step_norm"):
            assert_close(one[name], two[name], 10 * UPDATES[dtype], name)
    for name in ("theta", "damping_scale"):
        assert_close(runs[0][1][name], runs[1][1][name], 10 * UPDATES[dtype], name)
    if distribution[0] == "gaussian":
        assert (runs[0][1]["theta"][-2:] == -0.2).any()


@needs_extension
def test_the_number_of_threads_changes_no_bit_under_any_rule():
    kwargs = dict(net_arch=[8], log_std_min=-0.1)
    models = [
        small_model(
            "Pendulum-v1",
            n_steps=300,
            n_threads=n,
            seed=0,
            policy_kwargs=kwargs,
            target_kl=0.2,
            **RULES[-1],
        ).learn(2400)
        for n in (1, 3)
    ]
    assert same_state(*models)
