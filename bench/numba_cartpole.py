"""CartPole-v1 in Python for `bench.envs`, operation by operation as csrc/envs/cartpole.c."""

from __future__ import annotations

import math

import numpy as np
from gymnasium.spaces import Box, Discrete

from fasttrpo.envs import NumbaEnvironment

TILTED = 0.20943951023931953  # 12 degrees
HIGH = np.array([4.8, np.inf, 2 * TILTED, np.inf], np.float32)


def reset(state, random):
    """At rest, nearly upright."""
    for i in range(4):
        state[i] = random.uniform(-0.05, 0.05)


def step(state, action):
    """The equations of csrc/envs/cartpole.c."""
    x, speed, angle, spin = state[0], state[1], state[2], state[3]
    cosine, sine = math.cos(angle), math.sin(angle)
    force = 10.0 if action == 1 else -10.0
    p = (force + 0.05 * (spin * spin) * sine) / 1.1
    spin_up = (9.8 * sine - cosine * p) / (0.5 * (4.0 / 3.0 - 0.1 * (cosine * cosine) / 1.1))
    speed_up = p - 0.05 * spin_up * cosine / 1.1
    state[0], state[1] = x + 0.02 * speed, speed + 0.02 * speed_up
    state[2], state[3] = angle + 0.02 * spin, spin + 0.02 * spin_up
    return 1.0, abs(state[0]) > 2.4 or abs(state[2]) > TILTED


cart = NumbaEnvironment(
    name="CartPole-v1",
    state_size=4,
    observation_space=Box(-HIGH, HIGH),
    action_space=Discrete(2),
    max_episode_steps=500,
    reset=reset,
    step=step,
)
