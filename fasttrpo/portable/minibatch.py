"""Minibatches of the critic: rows in random order, some of them at a time."""

from __future__ import annotations

from . import network, rng


def shuffled(state, N):
    """N rows in the random order of this critic step."""
    return rng.permute(rng.Stream(state.seed, rng.CRITIC, state.n_critic_steps), N, N)


def full(order, size):
    """The rows of each minibatch of an epoch: `size` each, but for the last."""
    return [order[start : start + size] for start in range(0, len(order), size)]


def equal(order, size):
    """The same for sizes that differ by 1 at most: a small last minibatch would make a step of
    noise alone.
    """
    N = len(order)
    n_parts = -(-N // size)
    return [order[i * N // n_parts : (i + 1) * N // n_parts] for i in range(n_parts)]


def value_at(model, state, inputs):
    """The value network's forward pass on some rows' inputs, at the state's parameters."""
    return network.forward(model.value, model.value_weights(state.value_theta), inputs)
