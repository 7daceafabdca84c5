"""The compiled core against the portable twin: independent derivations of the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from agents import (
    CASES,
    DISTRIBUTIONS,
    FEATURES,
    Implementation,
    O,
    World,
    collect,
    needs_extension,
    random_batch,
    rollout_settings,
    settings,
    shaken,
)
from pairs import pairwise
from tables import table
from tolerances import FITTED, PASSES, ROUNDING, UPDATES, assert_close

from fasttrpo.settings.critics import CRITICS

pytestmark = needs_extension

DTYPES = ("float32", "float64")
# Residuals of solved systems are rounding noise; outcomes are compared exactly.
NOISE = {"cg_residual"}
EXACT = {"outcome", "n_samples", "cg_steps", "line_search_steps"}


def pair(s, dtype, scale=0.7):
    return [shaken(Implementation(name), s, scale, dtype) for name in ("compiled", "portable")]


def test_draws_are_identical():
    """With a mean of 0: a normal number times exp(log_std)."""
    s, obs, actions = settings((), ("gaussian", (1,) * 7), n_envs=300), np.zeros((300, O)), []
    for agent in pair(s, "float64", 0):
        state = agent.state()
        state["theta"][-7:] = np.linspace(-2, 1, 7)
        agent.load_state(state)
        actions.append(agent.act(obs)[0])
    assert np.array_equal(*actions)
    assert len(np.unique(actions[0])) == 2100


@table("dtype", DTYPES)
@table(("hidden", "distribution", "activation"), CASES)
def test_one_pass_over_a_batch_agrees(hidden, distribution, activation, dtype):
    s = settings(hidden, distribution, activation, n_steps=300, sub_sampling_factor=2)
    agents, batch = pair(s, dtype, 0.4), random_batch(s, 300)
    v = np.random.default_rng(1).normal(size=agents[0].theta.size)
    u = np.random.default_rng(2).normal(size=agents[0].value_theta.size)
    answers = []
    for agent in agents:
        agent.theory.load_batch(*batch)
        trial = agent.theory.evaluate(agent.theta + 0.2 * v)
        answers.append(
            [
                agent.theory.outputs(),
                agent.theory.gradient(),
                agent.theory.fisher_product(v),
                agent.theory.precondition(v),
                agent.theory.value_gradient(),
                agent.theory.value_product(u),
                *(np.array([number]) for number in trial),
            ]
        )
    for compiled, portable in zip(*answers, strict=True):
        assert_close(compiled, portable, PASSES[dtype])


def complete_runs():
    """Every pair of critic, distribution and depth, alternating the other options."""
    grid = pairwise(CRITICS, DISTRIBUTIONS.items(), ((), (16,), (12, 7)))
    for i, (critic, (name, distribution), hidden) in enumerate(grid):
        more = dict(
            critic=critic,
            distribution=distribution,
            hidden=hidden,
            value_hidden=hidden,
            preconditioner=("kfac", "kfac", "none")[i % 3] if hidden else "kfac",
            activation=("tanh", "relu", "tanh", "identity")[i % 4],
            sub_sampling_factor=1 + i % 2,
            normalize_observations=i % 5 != 0,
            normalize_rewards=i % 4 != 1,
            normalize_advantage=i % 7 != 2,
            ent_coef=(0.0, 0.02)[i // 2 % 2],
            n_critic_updates=1 + i % 2,
            batch_size=50,
        )
        if i % 2 and not hidden:
            more |= list(FEATURES.values())[i // 2 % 3]
        yield pytest.param(more, i, id=f"{critic}-{name}-{len(hidden)}")


@table("dtype", DTYPES)
@table(("more", "index"), list(complete_runs()))
def test_complete_updates_agree(more, index, dtype):
    """Three updates on self-collected rollouts with truncations, terminations, skips and gaps."""
    s, runs = rollout_settings(n_steps=60, **more), []
    for agent in pair(s, dtype, scale=0.1):
        world, logs, records = World(5, seed=index, next_step=index % 3 != 0, gaps=True), [], []
        for _ in range(3):
            logs.append(collect(agent, world, 60))
            records.append(agent.update())
        runs.append((logs, records, agent))
    (logs, records, compiled), (logs_2, records_2, portable) = runs
    for one, two in zip(logs, logs_2, strict=True):
        for name in ("act", "logp", "val"):
            assert_close(getattr(one, name), getattr(two, name), UPDATES[dtype], name)
    for one, two in zip(records, records_2, strict=True):
        assert list(one) == list(two)
        assert list(one["seconds"]) == list(two["seconds"])
        assert one["rejected"] == two["rejected"]
        for name in set(one) - NOISE - {"seconds", "rejected"}:
            tolerance = 0 if name in EXACT else UPDATES[dtype]
            origin = 1 if name == "explained_variance" else 0  # 1 - a ratio of variances
            assert_close(one[name] - origin, two[name] - origin, tolerance, name)
    states = compiled.state(), portable.state()
    assert list(states[0]) == list(states[1])
    solved = s.critic == "gauss_newton"
    for name, vector in states[0].items():
        tolerance = (FITTED if solved and name == "value_theta" else UPDATES)[dtype]
        assert_close(vector, states[1][name], tolerance, name)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_state_moves_between_backends(dtype):
    """A model saved with one backend continues with the other."""
    s = rollout_settings(normalize_observations=True, normalize_rewards=True, critic="adam")
    compiled, portable = pair(s, dtype)
    collect(compiled, World(5), 24)
    compiled.update()
    portable.load_state(compiled.state())
    obs = np.random.default_rng(0).normal(size=(5, O))
    for one, two in zip(compiled.act(obs), portable.act(obs), strict=True):
        assert_close(one, two, PASSES[dtype])


@table("critic", CRITICS)
def test_initial_parameters_agree(critic):
    s = settings((16, 9), DISTRIBUTIONS["several categoricals"], critic=critic)
    compiled, portable = (Implementation(n).agent(s) for n in ("compiled", "portable"))
    assert_close(compiled.theta, portable.theta, ROUNDING)
    assert_close(compiled.value_theta, portable.value_theta, ROUNDING)


def test_both_backends_have_the_same_methods():
    compiled, portable = (Implementation(n).agent(settings()) for n in ("compiled", "portable"))
    own = {"save_bytes", "load_bytes", "collect", "plain_rows"}  # compiled only
    public = [{n for n in dir(agent) if not n.startswith("_")} for agent in (compiled, portable)]
    assert public[0] - own == public[1]
