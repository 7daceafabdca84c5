"""The random numbers of an environment: `trpo_env_random` of trpo_env.h, bit for bit.

    words (3)   seed, number of draws so far, number of the environment (and a half for C)

Numba compiles these functions too (numba_types.py). Constants are uint64, so that Numba and the
interpreter compute alike.
"""

from __future__ import annotations

import math

import numpy as np

from fasttrpo.envs.python.elementary import cos, log

MULTIPLIER_0, MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL_0, WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
LOW, HALF, ELEVEN, ONE = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(11), np.uint64(1)
STREAM = np.uint64(6)  # TRPO_ENV_STREAM
UNITS = 9007199254740992.0  # 2^53


def philox(
    c0: np.uint64, c1: np.uint64, c2: np.uint64, c3: np.uint64, k0: np.uint64, k1: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Philox4x32-10 of a counter and a key: four words. All hold 32 bits."""
    for _ in range(10):
        p0, p1 = MULTIPLIER_0 * c0, MULTIPLIER_1 * c2
        c0, c2 = (p1 >> HALF) ^ c1 ^ k0, (p0 >> HALF) ^ c3 ^ k1
        c1, c3 = p1 & LOW, p0 & LOW
        k0, k1 = (k0 + WEYL_0) & LOW, (k1 + WEYL_1) & LOW
    return c0, c1, c2, c3


def draw(words: np.ndarray) -> tuple[float, float]:
    """The next draw: two numbers of 53 random bits, as floats."""
    seed, count, env = words[0], words[1], words[2] & LOW
    words[1] = count + ONE
    a, b, c, d = philox(count & LOW, env, count >> HALF, STREAM, seed & LOW, seed >> HALF)
    return float((a << HALF | b) >> ELEVEN), float((c << HALF | d) >> ELEVEN)


def uniform(words: np.ndarray, low: float, high: float) -> float:
    """A number in [low, high): trpo_env_uniform."""
    return low + (high - low) * (draw(words)[0] / UNITS)


def normal(words: np.ndarray, mean: float, std: float) -> float:
    """A normally distributed number, by Box-Muller: trpo_env_normal."""
    first, second = draw(words)
    radius = math.sqrt(-2.0 * log((first + 1.0) / UNITS))
    return mean + std * (radius * cos(2.0 * math.pi * (second / UNITS)))


def integers(words: np.ndarray, low: int, high: int) -> int:
    """An integer from low to high - 1."""
    return low + int((high - low) * (draw(words)[0] / UNITS))


class Random:
    """An environment's own random stream, as its functions see it; each call is one draw.

    Runs are reproducible only if all randomness comes from here, not from `np.random`.
    """

    def __init__(self, words: np.ndarray) -> None:
        self.words = words

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high)."""
        return uniform(self.words, low, high)

    def normal(self, mean: float = 0.0, std: float = 1.0) -> float:
        """A normally distributed number."""
        return normal(self.words, mean, std)

    def integers(self, low: int, high: int) -> int:
        """An integer from low to high - 1."""
        return integers(self.words, low, high)


METHODS = ("uniform", "normal", "integers")
