"""Minibatches of the critic: an epoch's rows in random order, divided into parts."""

from __future__ import annotations

from . import network, rng


def shuffled(state, N):
    """The N rows in this critic step's random order."""
    return rng.permute(rng.Stream(state.seed, rng.CRITIC, state.n_critic_steps), N, N)


def full(order, size):
    """The rows of each minibatch of an epoch: `size` each, except for the last."""
    return [order[start : start + size] for start in range(0, len(order), size)]


def equal(order, size):
    """The same with sizes that differ by at most 1: a small last minibatch would give a step of
    pure noise.
    """
    N = len(order)
    n_parts = -(-N // size)
    return [order[i * N // n_parts : (i + 1) * N // n_parts] for i in range(n_parts)]


def value_at(model, state, inputs):
    """The value network's forward pass on a minibatch's inputs, at the state's parameters."""
    return network.forward(model.value, model.value_weights(state.value_theta), inputs)
