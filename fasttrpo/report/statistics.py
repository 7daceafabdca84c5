"""What a few seeds say of a method: the interquartile mean, with a band by the bootstrap. Of very
few, whose resamples are mostly repetitions, there is no interval, only their range.

Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical
Precipice". Letters: n runs, G points of a curve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

N_RESAMPLES = 2000
CONFIDENCE = 0.95
FEWEST = 5
"""Seeds that a bootstrap interval takes: of three, it would be their range under another name."""


def iqm(values: np.ndarray) -> np.ndarray:
    """The interquartile mean over the first axis: a quarter of the n values, rounded down, is left
    out at either end, and the others are averaged; (n, ...) -> (...). Of fewer than four, the mean.
    """
    values = np.sort(values, axis=0)
    cut = len(values) // 4
    return values[cut : len(values) - cut].mean(axis=0)


def band(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(low, high), (G,) each, of curves (n, G): the bootstrap interval of their interquartile mean,
    or, of fewer than `FEWEST`, their range.
    """
    if len(rows) < FEWEST:
        return rows.min(axis=0), rows.max(axis=0)
    return stratified_bootstrap([rows])


def band_name(n: int) -> str:
    """What the band of n seeds is."""
    return "range of the seeds" if n < FEWEST else f"{CONFIDENCE:.0%} band"


def centre_name(sizes: Sequence[int]) -> str:
    """What the line through groups of so many seeds is."""
    if max(sizes) < 4:  # of which none is left out
        return "mean"
    return "interquartile mean" + (" (of fewer than four, mean)" if min(sizes) < 4 else "")


def stratified_bootstrap(
    strata: Sequence[np.ndarray],
    statistic: Callable[[np.ndarray], np.ndarray] = iqm,
    n_resamples: int = N_RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """The percentile interval (low, high) of `statistic` over all strata's runs.

    strata     one array (n_i, ...) per task: whole runs, curves say, are drawn with replacement
               within each, as many as there are, so that a run's points stay together
    statistic  of all drawn runs (sum n_i, ...), over the first axis

    The same seed gives the same interval.
    """
    draw, found = np.random.default_rng(seed), []
    for _ in range(n_resamples):
        drawn = [runs[draw.integers(len(runs), size=len(runs))] for runs in strata]
        found.append(statistic(np.concatenate(drawn)))
    tail = (1 - confidence) / 2
    low, high = np.quantile(found, (tail, 1 - tail), axis=0)
    return low, high
