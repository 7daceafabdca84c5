"""The performance of a method from a few seeds: interquartile mean and bootstrap interval. For
fewer than five seeds the range is used, because most resamples would repeat each other.

Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical
Precipice". Letters: n runs, G points of a curve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

N_RESAMPLES = 2000
CONFIDENCE = 0.95
MIN_SEEDS = 5
"""Seeds needed for a bootstrap interval; with three it would be little more than their range."""


def iqm(values: np.ndarray) -> np.ndarray:
    """The interquartile mean over the first axis, (n, ...) -> (...): the mean without the lowest
    and highest n // 4 values. The mean of fewer than four values.
    """
    values = np.sort(values, axis=0)
    cut = len(values) // 4
    return values[cut : len(values) - cut].mean(axis=0)


def band(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(low, high), (G,) each, of curves (n, G): the bootstrap interval of their interquartile mean,
    or the range of fewer than `MIN_SEEDS` curves.
    """
    if len(rows) < MIN_SEEDS:
        return rows.min(axis=0), rows.max(axis=0)
    return stratified_bootstrap([rows])


def band_name(n: int) -> str:
    """The name of the band of n seeds."""
    return "range of the seeds" if n < MIN_SEEDS else f"{CONFIDENCE:.0%} band"


def centre_name(sizes: Sequence[int]) -> str:
    """The name of the central line of groups of these sizes."""
    if max(sizes) < 4:  # no value is excluded
        return "mean"
    return "interquartile mean" + (" (of fewer than four, mean)" if min(sizes) < 4 else "")


def stratified_bootstrap(
    strata: Sequence[np.ndarray],
    statistic: Callable[[np.ndarray], np.ndarray] = iqm,
    n_resamples: int = N_RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """The bootstrap percentile interval (low, high) of `statistic` over the runs of all strata.

    strata     one array (n_i, ...) per task; n_i complete runs (curves, for example) are drawn
               from each with replacement
    statistic  function of all drawn runs (sum n_i, ...) over the first axis

    The same seed gives the same interval.
    """
    draw, found = np.random.default_rng(seed), []
    for _ in range(n_resamples):
        drawn = [runs[draw.integers(len(runs), size=len(runs))] for runs in strata]
        found.append(statistic(np.concatenate(drawn)))
    tail = (1 - confidence) / 2
    low, high = np.quantile(found, (tail, 1 - tail), axis=0)
    return low, high
