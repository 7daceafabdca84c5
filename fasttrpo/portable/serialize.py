"""The state as named float64 vectors, and back."""

from __future__ import annotations

import numpy as np

from ..checks import arrays
from .normalizer import Moments
from .work import State

WORD = 2**32
COUNTERS = ("n_acts", "n_predicts", "n_updates", "n_critic_steps", "adam_t")


def pack(state):
    """State -> {name: vector}; the seed is stored as two words, which float64 holds exactly."""
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
        "damping_scale": [state.damping_scale],
    }
    if len(state.features):
        vectors["features"] = state.features
    return {name: np.array(value, np.float64) for name, value in vectors.items()}


def unpack(vectors, like):
    """{name: vector} -> State. ValueError if names and sizes differ from those of state `like`."""
    v = arrays.state_fields(vectors, pack(like))
    low, high, *counts = (int(value) for value in v["counters"])
    return State(
        theta=v["theta"],
        value_theta=v["value_theta"],
        observations=Moments(float(v["obs_count"][0]), v["obs_mean"], v["obs_m2"]),
        rewards=Moments(float(v["rew_count"][0]), v["rew_mean"], v["rew_m2"]),
        rew_running=v["rew_running"],
        adam_m=v["adam_m"],
        adam_v=v["adam_v"],
        features=v.get("features", like.features),
        seed=low + WORD * high,
        damping_scale=float(v["damping_scale"][0]),
        **dict(zip(COUNTERS, counts, strict=True)),
    )
