"""The state as named float64 vectors, and back."""

from __future__ import annotations

import numpy as np

from .. import checks
from .normalizer import Moments
from .work import State

WORD = 2**32
COUNTERS = ("n_acts", "n_predicts", "n_updates", "n_critic_steps", "adam_t")


def pack(state):
    """State -> {name: vector}; the seed travels as two words, so that float64 holds it exactly."""
    seed = [state.seed % WORD, state.seed // WORD]
    vectors = {
        "theta": state.theta,
        "value_theta": state.value_theta,
        "obs_count": [state.observations.count],
        "obs_mean": state.observations.mean,
        "obs_m2": state.observations.m2,
        "rew_count": [state.rewards.count],
        "rew_mean": state.rewards.mean,
        "rew_m2": state.rewards.m2,
        "rew_running": state.rew_running,
        "adam_m": state.adam_m,
        "adam_v": state.adam_v,
        "counters": seed + [getattr(state, name) for name in COUNTERS],
    }
    return {name: np.array(value, np.float64) for name, value in vectors.items()}


def unpack(vectors, like):
    """{name: vector} -> State; ValueError unless names and sizes are those of the state `like`."""
    expected = pack(like)
    for name in sorted(expected.keys() ^ dict(vectors).keys()):
        raise ValueError(f"the state {'lacks' if name in expected else 'has an unknown'} {name!r}")
    v = {
        name: checks.finite_vector(name, vectors[name], len(value))
        for name, value in expected.items()
    }
    low, high, *counts = whole_numbers(v["counters"])
    return State(
        theta=v["theta"],
        value_theta=v["value_theta"],
        observations=Moments(float(v["obs_count"][0]), v["obs_mean"], v["obs_m2"]),
        rewards=Moments(float(v["rew_count"][0]), v["rew_mean"], v["rew_m2"]),
        rew_running=v["rew_running"],
        adam_m=v["adam_m"],
        adam_v=v["adam_v"],
        seed=low + WORD * high,
        **dict(zip(COUNTERS, counts, strict=True)),
    )


def whole_numbers(counters):
    """The counters as ints; ValueError for one that is none, or for a seed word above 32 bits."""
    numbers = [int(value) for value in counters]
    if min(numbers) < 0 or numbers != list(counters) or max(numbers[:2]) >= WORD:
        raise ValueError("counters are not whole numbers in their range")
    return numbers
