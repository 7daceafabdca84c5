"""Environments in Python for the tests, written as a user would."""

from __future__ import annotations

import math

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete

from fasttrpo.envs import NumbaEnvironment

# -- CartPole, in the order of operations of csrc/envs/cartpole.c ----------------------------------

ANGLE = 0.20943951023931953
HIGH = np.array([4.8, np.inf, 2 * ANGLE, np.inf], np.float32)


def cart_reset(state, random):
    for i in range(4):
        state[i] = random.uniform(-0.05, 0.05)


def cart_step(state, action, options):
    x, speed, angle, spin = state[0], state[1], state[2], state[3]
    cosine, sine = math.cos(angle), math.sin(angle)
    force = options.force if action == 1 else -options.force
    p = (force + 0.05 * (spin * spin) * sine) / 1.1
    spin_up = (9.8 * sine - cosine * p) / (0.5 * (4.0 / 3.0 - 0.1 * (cosine * cosine) / 1.1))
    speed_up = p - 0.05 * spin_up * cosine / 1.1
    state[0], state[1] = x + 0.02 * speed, speed + 0.02 * speed_up
    state[2], state[3] = angle + 0.02 * spin, spin + 0.02 * spin_up
    return 1.0, has_fallen(state)


def has_fallen(state):
    return abs(state[0]) > 2.4 or abs(state[2]) > ANGLE


cart = NumbaEnvironment(
    name="CartPole-v1",
    state_size=4,
    observation_space=Box(-HIGH, HIGH),
    action_space=Discrete(2),
    max_episode_steps=500,
    reward_threshold=475,
    options={"force": 10.0},
    reset=cart_reset,
    step=cart_step,
)

# -- the remaining features: noise, several actions, an observation function ----------------------


def noise_reset(state, random):
    state[0] = random.normal()
    state[1] = random.integers(-3, 4)


def noise_step(random, state, action):
    state[0] = random.normal(action[0], 0.5) + action[1]
    state[2] += 1
    return -(state[0] ** 2), random.uniform() < 0.1


def noise_observe(obs, state):
    obs[0] = state[1]
    obs[1] = math.tanh(state[0])


noise = NumbaEnvironment(
    name="Noise",
    state_size=3,
    observation_space=Box(-4, 4, (2,), np.float64),
    action_space=Box(-1, 1, (2,)),
    reset=noise_reset,
    step=noise_step,
    observe=noise_observe,
)


def pick_step(state, action):
    state[action[1]] += action[0]
    return float(action[0]), False


pick = NumbaEnvironment(
    name="Pick",
    state_size=3,
    observation_space=Box(-np.inf, np.inf, (3,)),
    action_space=MultiDiscrete([2, 3]),
    max_episode_steps=7,
    reset=noise_reset,
    step=pick_step,
)

ALL = {"CartPole-v1": cart, "Noise": noise, "Pick": pick}
