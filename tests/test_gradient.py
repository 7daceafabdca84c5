"""The surrogate's gradient against differences and an independent derivative."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from agents import every_distribution, every_policy, loaded, settings
from tables import table
from tolerances import DENSE, DIFFERENCES, assert_close

ROWS = (1, 63, 64, 65, 255, 257, 700, 8200)  # as in test_fisher.py


@every_policy
def test_gradient_is_the_4th_order_difference_of_the_surrogate(
    implementation, hidden, distribution, activation
):
    agent, _ = loaded(implementation, settings(hidden, distribution, activation), off_policy=True)
    h = 1e-6 if activation == "relu" else 1e-4  # steps must not cross a kink
    numeric = reference.differences(lambda t: np.array(agent.theory.evaluate(t)[0]), agent.theta, h)
    assert_close(agent.theory.gradient(), numeric, DIFFERENCES)


@every_policy
def test_gradient_is_the_mean_of_weighted_scores(implementation, hidden, distribution, activation):
    s = settings(hidden, distribution, activation)
    agent, batch = loaded(implementation, s, off_policy=True)
    obs, act, adv, _, logp = batch
    expected = reference.dense_policy(s).gradient(agent.theta, obs, act, adv, logp)
    assert_close(agent.theory.gradient(), expected, DENSE)


@every_distribution
@table("n", ROWS)
def test_gradient_over_any_number_of_rows(implementation, distribution, n):
    s = settings((2,), distribution, n_steps=max(ROWS))
    agent, (obs, act, adv, _, logp) = loaded(implementation, s, n, off_policy=True)
    expected = reference.dense_policy(s).gradient(agent.theta, obs, act, adv, logp)
    assert_close(agent.theory.gradient(), expected, DENSE)


def test_gradient_follows_the_parameters(implementation):
    """The recorded log-probabilities remain those of the acting policy."""
    s = settings()
    agent, (obs, act, adv, ret, _) = loaded(implementation, s)
    logp = reference.dense_policy(s).logp(agent.theta, obs, act)
    agent.theory.load_batch(obs, act, adv, ret)
    agent.theta = agent.theta + 0.2
    expected = reference.dense_policy(s).gradient(agent.theta, obs, act, adv, logp)
    assert_close(agent.theory.gradient(), expected, DENSE)


@table("activation", ["tanh", "identity"])
@table("n", [1, 65, 257, 700])
def test_value_gradient_equals_the_derivative(implementation, activation, n):
    s = settings(activation=activation, n_steps=700)
    agent, batch = loaded(implementation, s, n)
    sizes = (s.obs_size, *s.value_hidden, 1)

    def half_mean_square(w):
        V = reference.forward(w, sizes, activation, batch.obs)[1][..., 0]
        return 0.5 * np.mean((V - batch.ret) ** 2, axis=-1)

    expected = reference.derivative(half_mean_square, agent.value_theta)
    assert_close(agent.theory.value_gradient(), expected, DENSE)


def test_value_gradient_needs_returns(implementation):
    agent, batch = loaded(implementation, settings())
    agent.theory.load_batch(batch.obs, batch.act, batch.adv)
    with pytest.raises(RuntimeError, match="the batch has no returns: give load_batch ret"):
        agent.theory.value_gradient()
