"""The K-FAC preconditioner against its explicitly formed matrix."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from agents import (
    DISTRIBUTIONS,
    HIDDEN,
    SEED,
    every_distribution,
    loaded,
    random_batch,
    settings,
    shaken,
)
from tables import table
from tolerances import SOLVED, assert_close

from fasttrpo import TRPO


def dense_preconditioner(agent, s, obs, n_updates=0):
    """The matrix M; obs are the Fisher rows."""
    dense, theta = reference.dense_policy(s), agent.theta
    stream, N = (SEED, reference.KFAC, n_updates), len(obs)
    rows = reference.permutation(stream, N, min(N, max(256, -(-N // 10))))
    scores = reference.scores(dense, theta, obs[rows], stream)
    of_rows = dense.of.metric(*dense.parameters(theta, obs))
    metric = np.diag(of_rows[0]) if dense.of.log_std_curvature > 0 else None  # constant over rows
    M = reference.kronecker_matrix(
        theta, dense.sizes, s.activation, obs[rows], scores, s.cg_damping, metric
    )
    n = dense.log_std(theta).size
    M[len(M) - n :, len(M) - n :] = (dense.of.log_std_curvature + s.cg_damping) * np.eye(n)
    return M


def assert_inverse(agent, M):
    r = np.random.default_rng(2).normal(size=agent.theta.size)
    assert_close(agent.theory.precondition(r), np.linalg.solve(M, r), SOLVED)


@every_distribution
@table("depth", ["depth 1", "depth 3"])
@table("activation", ["tanh", "relu", "identity"])
def test_preconditioner_is_the_dense_kronecker_matrix(
    implementation, distribution, depth, activation
):
    s = settings(HIDDEN[depth], distribution, activation, n_steps=270, cg_damping=0.03)
    agent, batch = loaded(implementation, s, 270)
    assert_inverse(agent, dense_preconditioner(agent, s, batch.obs))


@every_distribution
@table("n", [5, 3000])
def test_factors_use_a_tenth_of_the_rows_but_at_least_256(implementation, distribution, n):
    s = settings((2,), distribution, n_steps=n)
    agent, batch = loaded(implementation, s, n)
    assert_inverse(agent, dense_preconditioner(agent, s, batch.obs))


def test_factors_use_rows_of_the_fisher_product(implementation):
    s = settings((4,), n_steps=900, sub_sampling_factor=3)
    agent, batch = loaded(implementation, s, 900)
    assert_inverse(agent, dense_preconditioner(agent, s, batch.obs[::3]))


def test_sampled_rows_differ_between_updates(implementation):
    s = settings((), DISTRIBUTIONS["several categoricals"], n_steps=30)
    agent, batch = loaded(implementation, s, 30)
    for n_updates in (1, 2**32 + 1):
        state = agent.state()
        state["counters"][4] = n_updates
        agent.load_state(state)
        agent.theory.load_batch(*batch)
        assert_inverse(agent, dense_preconditioner(agent, s, batch.obs, n_updates))


@pytest.mark.parametrize("n", [12, 3000])
@pytest.mark.parametrize("k", [1, 3])
def test_linear_gaussian_block_is_the_damped_fisher_matrix(implementation, n, k):
    """It uses all rows, whatever their number, so that CG ends after one step."""
    s = settings((), n_steps=n, sub_sampling_factor=k)
    agent, batch = loaded(implementation, s, n)
    F = reference.dense_policy(s).fisher(agent.theta, batch.obs[::k])
    assert_inverse(agent, F + s.cg_damping * np.eye(len(F)))


def test_factors_follow_the_parameters(implementation):
    s = settings((4,))
    agent, batch = loaded(implementation, s)
    agent.theory.precondition(agent.theta)
    agent.theta = agent.theta + 0.1
    assert_inverse(agent, dense_preconditioner(agent, s, batch.obs))
    agent.theory.load_batch(*batch._replace(obs=2 * batch.obs))
    assert_inverse(agent, dense_preconditioner(agent, s, 2 * batch.obs))


def test_a_direction_without_curvature_gets_no_step(implementation):
    """Without damping: an input that is always 0, and one that duplicates another."""
    s = settings((), cg_damping=0.0)
    agent, batch = shaken(implementation, s), random_batch(s)
    obs = batch.obs.copy()
    obs[:, 1], obs[:, 2] = 0, obs[:, 0]
    agent.theory.load_batch(obs, batch.act, batch.adv)
    r = np.random.default_rng(2).normal(size=agent.theta.size)
    z = agent.theory.precondition(r)
    W = z[:-2].reshape(s.obs_size + 1, 2)
    assert not W[1:3].any()
    F = reference.dense_policy(s).fisher(agent.theta, obs)
    kept = np.flatnonzero(z)
    assert_close(z[kept], np.linalg.solve(F[np.ix_(kept, kept)], r[kept]), SOLVED)


@pytest.mark.parametrize("damping", [0.0, 0.1])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_dead_units_keep_steps_finite(implementation, damping, activation):
    """A hidden layer whose outputs are all 0 has zero second moments in its factors."""
    s = settings((4, 3), DISTRIBUTIONS["categorical"], activation, cg_damping=damping)
    agent, batch = loaded(implementation, s)
    theta = agent.theta
    theta[: (s.obs_size + 1) * 4] = 0
    agent.theta = theta
    agent.theory.load_batch(*batch)
    assert np.isfinite(agent.theory.precondition(np.ones(theta.size))).all()
    x, info = agent.theory.solve()
    assert np.isfinite(x).all()
    assert np.isfinite(list(info.values())).all()


@pytest.mark.parametrize("damping", [1e-4, 1e-12, 0.0])
def test_estimated_factors_have_a_minimum_damping(implementation, damping):
    """It is 1e-3, bit for bit, except for log_std, whose block is exact."""
    r = np.random.default_rng(2).normal(size=shaken(implementation, settings()).theta.size)
    small, least = (
        loaded(implementation, settings(cg_damping=each))[0].theory.precondition(r)
        for each in (damping, 1e-3)
    )
    assert small[:-2].tobytes() == least[:-2].tobytes()
    assert_close(small[-2:], r[-2:] / (2 + damping), SOLVED)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("damping", [1e-6, 1e-12, 0.0])
def test_steps_are_accepted_with_little_damping(implementation, dtype, damping):
    """A regression test: the line search rejected all of them."""
    keywords = dict(n_envs=8, n_steps=64, seed=0, dtype=dtype, backend=implementation.name)
    model = TRPO("MlpPolicy", "Pendulum-v1", cg_damping=damping, **keywords).learn(5 * 512)
    assert [record["outcome"] for record in model.records] == [0] * 5
    assert {record["cg_damping"] for record in model.records} == {damping}


def test_without_a_preconditioner_precondition_raises(implementation):
    agent, _ = loaded(implementation, settings((4,), preconditioner="none"))
    with pytest.raises(RuntimeError, match="preconditioner='none'"):
        agent.theory.precondition(np.ones(agent.theta.size))
    x, _ = agent.theory.solve()
    assert np.isfinite(x).all()
