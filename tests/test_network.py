"""The networks: their outputs and their initial parameters."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import reference
from agents import SEED, every_policy, loaded, random_batch, rollout_settings, settings, shaken
from tables import table
from tolerances import DENSE, ROUNDING, assert_close

# Around the core's tiles of 64 rows, and sizes that are no multiple of four.
ROWS = (1, 2, 63, 64, 65, 130)
WIDTHS = ((1,), (5,), (9, 2), (1, 7, 6))


@every_policy
def test_outputs_are_those_of_the_layers_in_order(implementation, hidden, distribution, activation):
    s = settings(hidden, distribution, activation)
    agent, batch = loaded(implementation, s)
    expected = reference.dense_policy(s).outputs(agent.theta, batch.obs)
    assert_close(agent.theory.outputs(), expected, ROUNDING)


@table("hidden", WIDTHS)
@table("obs_size", [1, 4, 5])
def test_outputs_are_right_for_any_number_of_rows_and_columns(implementation, hidden, obs_size):
    s = replace(settings(hidden, n_steps=max(ROWS)), obs_size=obs_size)
    agent = shaken(implementation, s)
    for n in ROWS:
        obs, act, adv, _, _ = random_batch(s, n)
        agent.theory.load_batch(obs, act, adv)
        expected = reference.dense_policy(s).outputs(agent.theta, obs)
        assert_close(agent.theory.outputs(), expected, ROUNDING)
        assert_close(agent.predict(obs, True), expected, ROUNDING)
        assert_close(agent.outputs(obs), expected, ROUNDING)


@table("activation", ["tanh", "relu", "identity"])
@table("n", [1, 12, 150])
def test_values_are_those_of_the_value_network(implementation, activation, n):
    s = settings(activation=activation, value_hidden=(4, 3))
    agent, obs = shaken(implementation, s), random_batch(s, n).obs
    expected = reference.forward(agent.value_theta, (s.obs_size, 4, 3, 1), activation, obs)[1]
    assert_close(agent.value(obs), expected[:, 0], ROUNDING)


def test_the_ridge_critic_is_linear_in_the_observations_and_their_squares(implementation):
    s = settings(critic="ridge", value_hidden=(4, 3), n_steps=150)
    agent, obs = shaken(implementation, s), random_batch(s, 150).obs
    features = reference.with_one(np.hstack([obs, obs**2]))
    assert_close(agent.value(obs), features @ agent.value_theta, ROUNDING)


def test_relu_has_slope_zero_at_zero(implementation):
    """With layer 1's outputs 0, layer 2's inputs are exactly 0."""
    s = settings((4,), activation="relu")
    agent, _ = loaded(implementation, s)
    theta = agent.theta
    first = slice(0, (s.obs_size + 1) * 4)
    theta[first] = 0
    agent.theta = theta
    assert not agent.theory.gradient()[first].any()
    agent_tanh, _ = loaded(implementation, settings((4,)))
    agent_tanh.theta = theta
    assert agent_tanh.theory.gradient()[first].any()


def test_parameters_are_copied_in_and_out(implementation):
    agent = implementation.agent(settings())
    before = agent.theta
    given = before + 1
    agent.theta = given
    given[:] = 0
    agent.theta[:] = 0
    assert np.array_equal(agent.theta, before + 1)
    assert agent.theta.dtype == agent.value_theta.dtype == np.float64


def gram_schmidt(lines):
    """Orthonormalises each line against the previous ones, keeping the sign of the remainder."""
    done = []
    for line in lines:
        rest = line - sum(q * (q @ line) for q in done)
        done.append(rest / np.linalg.norm(rest))
    return np.stack(done)


def expected_weights(first_count, sizes, gains):
    """Orthonormal columns where a layer has fewer outputs than inputs, otherwise rows; biases 0."""
    vectors = []
    for layer, (_, K, M) in enumerate(reference.layers(sizes)):
        stream = (SEED, reference.INIT, first_count + layer)
        G = reference.normals(stream, range(K), M)
        W = gram_schmidt(G.T).T if K >= M else gram_schmidt(G)
        vectors += [gains[layer] * W.ravel(), np.zeros(M)]
    return np.concatenate(vectors)


@pytest.mark.parametrize("hidden", [(), (5, 2), (2, 6, 3)])
def test_initial_weights_are_orthogonal_times_gain(implementation, hidden):
    s = settings(hidden, log_std_init=-0.5, value_hidden=hidden)
    agent, root2 = implementation.agent(s), math.sqrt(2)
    gains = [root2] * len(hidden)
    policy = expected_weights(0, (s.obs_size, *hidden, 2), [*gains, 0.01])
    critic = expected_weights(1000, (s.obs_size, *hidden, 1), [*gains, 1.0])
    assert_close(agent.theta[:-2], policy, DENSE)
    assert agent.theta[-2:].tolist() == [-0.5, -0.5]
    assert_close(agent.value_theta, critic, DENSE)


def uniform_weights(first_count, sizes):
    """Weights and biases within +-1 / sqrt(inputs), row by row: the bias is the last one."""
    vectors = []
    for layer, (_, K, M) in enumerate(reference.layers(sizes)):
        stream = (SEED, reference.INIT, first_count + layer)
        u = [reference.uniform(stream, k, 4 * m) for k in range(K + 1) for m in range(M)]
        vectors.append((2 * np.array(u) - 1) / math.sqrt(K))
    return np.concatenate(vectors)


@pytest.mark.parametrize("hidden", [(), (5, 2)])
def test_without_ortho_init_weights_and_biases_are_uniform(implementation, hidden):
    s = settings(hidden, log_std_init=-0.5, value_hidden=hidden, ortho_init=False)
    agent = implementation.agent(s)
    assert_close(agent.theta[:-2], uniform_weights(0, (s.obs_size, *hidden, 2)), ROUNDING)
    assert agent.theta[-2:].tolist() == [-0.5, -0.5]
    assert_close(agent.value_theta, uniform_weights(1000, (s.obs_size, *hidden, 1)), ROUNDING)


@pytest.mark.parametrize("ortho_init", [True, False])
def test_a_ridge_critic_starts_at_zero(implementation, ortho_init):
    s = rollout_settings(critic="ridge", ortho_init=ortho_init)
    assert not implementation.agent(s).value_theta.any()
