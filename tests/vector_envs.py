"""What tests of vector environments share."""

from __future__ import annotations

import numpy as np
from gymnasium.vector import AutoresetMode


def play(env, n, seed=0):
    """n steps of random actions, resetting where that is the caller's: the answers, in a row."""
    env.action_space.seed(seed)
    answers = []
    for _ in range(n):
        answers.append(env.step(env.action_space.sample()))
        ended = answers[-1][2] | answers[-1][3]
        if env.metadata["autoreset_mode"] is AutoresetMode.DISABLED and ended.any():
            env.reset(options={"reset_mask": ended})
    return answers


def same(a, b):
    """The same bits, infos aside."""
    pairs = [pair for p, q in zip(a, b, strict=True) for pair in zip(p[:4], q[:4], strict=True)]
    return all(np.array_equal(x, y) for x, y in pairs)
