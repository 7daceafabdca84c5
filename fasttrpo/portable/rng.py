"""Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random
numbers: as easy as 1, 2, 3", SC 2011).

A number is a function of (seed, stream, count, item, index) and of nothing else: not of the order
of the calls, the number of environments, or where a run was interrupted.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .jit import jit

INIT, ACTION, PREDICT, CRITIC, KFAC, KFAC_CRITIC = range(6)

# 32-bit words travel in uint64, so that a product of two of them and a sum never overflow.
MULTIPLIER_0, MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL_0, WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
LOW, SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)


class Stream(NamedTuple):
    """Which numbers: the agent's seed, the purpose, and how often that purpose came up before."""

    seed: int
    purpose: int
    count: int


@jit
def philox(c0, c1, c2, c3, k0, k1):
    """Ten rounds on the counters c0..c3, each (n,) uint64 holding 32 bits; key k0, k1.

    One round:  (c0, c1, c2, c3) <- (hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^ k1, lo(M0 c0))
    Returns the four lanes, (n, 4) uint64.
    """
    for _ in range(10):
        p0, p1 = MULTIPLIER_0 * c0, MULTIPLIER_1 * c2
        c0, c2 = (p1 >> SHIFT) ^ c1 ^ k0, (p0 >> SHIFT) ^ c3 ^ k1
        c1, c3 = p1 & LOW, p0 & LOW
        k0, k1 = (k0 + WEYL_0) & LOW, (k1 + WEYL_1) & LOW
    lanes = np.empty((len(c0), 4), np.uint64)
    lanes[:, 0], lanes[:, 1], lanes[:, 2], lanes[:, 3] = c0, c1, c2, c3
    return lanes


def words(stream, items, n_words):
    """Words 0..n_words-1 of each item: word i is lane i % 4 of block i // 4.

    items (n,) int. Returns (n, n_words rounded up to whole blocks) uint64.
    """
    seed, purpose, count = stream
    n_blocks = -(-n_words // 4)
    item = np.repeat(np.asarray(items, np.uint64), n_blocks)
    block = np.tile(np.arange(n_blocks, dtype=np.uint64), len(items))
    low = np.full(len(item), count & 0xFFFFFFFF, np.uint64)
    high = np.full(len(item), purpose + 256 * (count >> 32), np.uint64)
    key = np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32)
    return philox(block, item, low, high, *key).reshape(len(items), 4 * n_blocks)


@jit
def uniforms(word):
    """(word + 1/2) 2^-32, strictly inside (0, 1); float64, any shape."""
    return (word.astype(np.float64) + 0.5) * 2.0**-32


@jit
def normals(word):
    """Box and Muller (1958) on neighbouring words: (n, 2m) words -> (n, 2m) standard normals.

    r = sqrt(-2 ln u0);  normal_0 = r cos(2 pi u1),  normal_1 = r sin(2 pi u1)
    """
    u = (word.astype(np.float64) + 0.5) * 2.0**-32
    radius, angle = np.sqrt(-2.0 * np.log(u[:, 0::2])), 2.0 * np.pi * u[:, 1::2]
    out = np.empty_like(u)
    out[:, 0::2] = radius * np.cos(angle)
    out[:, 1::2] = radius * np.sin(angle)
    return out


@jit
def shuffle(word, n):
    """The first len(word) entries of a random permutation of 0..n-1 (Fisher and Yates).

    j = i + floor(word_i (n - i) / 2^32), then entries i and j change places.
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
    return shuffle(words(stream, [0], k)[0, :k], n)
