"""Helpers for tests of vector environments."""

from __future__ import annotations

import numpy as np
from gymnasium.vector import AutoresetMode


def play(env, n, seed=0):
    """The results of n steps of random actions; resets where the caller must."""
    env.action_space.seed(seed)
    answers = []
    for _ in range(n):
        answers.append(env.step(env.action_space.sample()))
        ended = answers[-1][2] | answers[-1][3]
        if env.metadata["autoreset_mode"] is AutoresetMode.DISABLED and ended.any():
            env.reset(options={"reset_mask": ended})
    return answers


def same(a, b):
    """Whether the results are bit-identical, ignoring infos."""
    pairs = [pair for p, q in zip(a, b, strict=True) for pair in zip(p[:4], q[:4], strict=True)]
    return all(np.array_equal(x, y) for x, y in pairs)
