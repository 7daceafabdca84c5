"""The Fisher-vector product against the dense matrix and against the KL's curvature."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from agents import every_distribution, every_policy, loaded, settings
from tables import table
from tolerances import DENSE, ROUNDING, SECOND_DIFFERENCES, assert_close

# Around the core's tiles of 64 rows, chunks of 256, and 32 blocks (two chunks each above 8192).
ROWS = (1, 63, 64, 65, 255, 257, 700, 8200)


@every_policy
def test_product_equals_the_dense_matrix(implementation, hidden, distribution, activation):
    s = settings(hidden, distribution, activation)
    agent, batch = loaded(implementation, s)
    F = reference.matrix(agent.theory.fisher_product, agent.theta.size)
    assert_close(F, reference.dense_policy(s).fisher(agent.theta, batch.obs), DENSE)


@every_policy
def test_product_is_the_second_difference_of_the_kl(
    implementation, hidden, distribution, activation
):
    agent, _ = loaded(implementation, settings(hidden, distribution, activation))
    v, h = np.random.default_rng(1).normal(size=agent.theta.size), 1e-4
    kl = [agent.theory.evaluate(agent.theta + sign * h * v)[1] for sign in (1, -1)]
    assert min(kl) > 0
    curvature = v @ agent.theory.fisher_product(v)
    assert sum(kl) / h**2 == pytest.approx(curvature, rel=SECOND_DIFFERENCES)


@every_distribution
@table("n", ROWS)
def test_product_over_any_number_of_rows(implementation, distribution, n):
    s = settings((2,), distribution, n_steps=max(ROWS))
    agent, batch = loaded(implementation, s, n)
    v = np.random.default_rng(1).normal(size=agent.theta.size)
    F = reference.dense_policy(s).fisher(agent.theta, batch.obs)
    assert_close(agent.theory.fisher_product(v), F @ v, DENSE)


@table("k", [2, 5, 12, 13, 100])
def test_sub_sampling_uses_every_kth_row_for_the_product_only(implementation, k):
    s = settings(sub_sampling_factor=k)
    agent, batch = loaded(implementation, s)
    F = reference.matrix(agent.theory.fisher_product, agent.theta.size)
    assert_close(F, reference.dense_policy(s).fisher(agent.theta, batch.obs[::k]), DENSE)
    full, _ = loaded(implementation, settings())
    assert np.array_equal(agent.theory.gradient(), full.theory.gradient())
    trial = agent.theta + 0.1
    assert agent.theory.evaluate(trial) == full.theory.evaluate(trial)
    value = reference.matrix(agent.theory.value_product, agent.value_theta.size)
    assert_close(value, reference.matrix(full.theory.value_product, len(value)), ROUNDING)


@pytest.mark.parametrize("k", [1, 5])
def test_product_follows_the_parameters(implementation, k):
    """A loaded batch uses the new theta when theta is set."""
    s = settings(sub_sampling_factor=k)
    agent, batch = loaded(implementation, s)
    agent.theta = agent.theta + 0.2
    F = reference.matrix(agent.theory.fisher_product, agent.theta.size)
    assert_close(F, reference.dense_policy(s).fisher(agent.theta, batch.obs[::k]), DENSE)


def test_value_product_equals_the_dense_matrix(implementation):
    s = settings()
    agent, batch = loaded(implementation, s)
    sizes = (s.obs_size, *s.value_hidden, 1)
    J = reference.network_jacobian(agent.value_theta, sizes, "tanh", batch.obs)[:, 0]
    product = reference.matrix(agent.theory.value_product, agent.value_theta.size)
    assert_close(product, J.T @ J / len(J), DENSE)
