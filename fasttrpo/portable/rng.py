"""Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random
numbers: as easy as 1, 2, 3", SC 2011).

A draw is a function of (seed, stream, count, item, word) alone: it is independent of the order of
draws, of the number of environments, and of where a run was interrupted.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .jit import elementwise, jit
from .math import QUARTER, log, sin

INIT, ACTION, PREDICT, CRITIC, KFAC, KFAC_CRITIC = range(6)
FEATURES = 7  # 6 belongs to the environments (csrc/include/trpo_env.h)

# 32-bit words are stored in uint64, so that products and sums never overflow.
MULTIPLIER_0, MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL_0, WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
LOW, SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)


class Stream(NamedTuple):
    """The agent's seed, the stream's purpose, and the number of its earlier uses."""

    seed: int
    purpose: int
    count: int  # type: ignore[assignment]  # a tuple has a method of that name


@elementwise
def philox(lane, c0, c1, c2, c3, k0, k1):
    """Lane 0..3 of the block with counter c0..c3 and key k0, k1: ten rounds of

    (c0, c1, c2, c3) <- (hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^ k1, lo(M0 c0))
    All uint64, holding 32 bits (the lane: 2).
    """
    for _ in range(10):
        p0, p1 = MULTIPLIER_0 * c0, MULTIPLIER_1 * c2
        c0, c2 = (p1 >> SHIFT) ^ c1 ^ k0, (p0 >> SHIFT) ^ c3 ^ k1
        c1, c3 = p1 & LOW, p0 & LOW
        k0, k1 = (k0 + WEYL_0) & LOW, (k1 + WEYL_1) & LOW
    return (lane == 0) * c0 | (lane == 1) * c1 | (lane == 2) * c2 | (lane == 3) * c3


def words(stream, items, n_words):
    """Words 0..n_words-1 of each item (n,): word i is lane i % 4 of block i // 4. (n, n_words)."""
    seed, purpose, count = stream
    i, item = np.arange(n_words, dtype=np.uint64), np.asarray(items, np.uint64)[:, None]
    counter = [count & 0xFFFFFFFF, purpose + 256 * (count >> 32)]
    key = [seed & 0xFFFFFFFF, seed >> 32]
    return philox(i % np.uint64(4), i // np.uint64(4), item, *map(np.uint64, counter + key))


def uniforms(word):
    """(word + 1/2) 2^-32, strictly inside (0, 1); float64, any shape."""
    return (word + 0.5) * 2.0**-32


def normals(stream, items, n_normals):
    """Normals 0..n_normals-1 of each item (n,), float64: Box and Muller (1958) on pairs of words.

    r = sqrt(-2 ln u0);  normal_0 = r cos(2 pi u1),  normal_1 = r sin(2 pi u1)
    """
    u = uniforms(words(stream, items, n_normals + n_normals % 2))
    radius, angle = np.sqrt(-2.0 * log(u[:, 0::2])), 2.0 * np.pi * u[:, 1::2]
    pairs = np.stack([radius * sin(angle, QUARTER), radius * sin(angle, 0)], axis=2)
    return pairs.reshape(len(u), -1)[:, :n_normals]


@jit
def shuffle(word, n):
    """The first len(word) entries of a random permutation of 0..n-1 (Fisher and Yates).

    j = i + floor(word_i (n - i) / 2^32), then entries i and j are swapped.
    """
    order = np.arange(n)
    for i in range(len(word)):
        j = i + np.int64((word[i] * np.uint64(n - i)) >> SHIFT)
        held = order[i]
        order[i] = order[j]
        order[j] = held
    return order[: len(word)].copy()


def permute(stream, n, k):
    """The first k entries of the stream's permutation of 0..n-1; words of item 0."""
    return shuffle(words(stream, [0], k)[0], n)
