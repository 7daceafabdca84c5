"""Curves of one column over steps or seconds: one per run, averaged over a group's seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fasttrpo.report.groups import Group
from fasttrpo.report.runs import Run
from fasttrpo.report.statistics import band, iqm

AXES = ("steps", "seconds")
GRID = 200
BINS = 100
_STANDSTILL = 1e-200  # steps per second; seconds would overflow


class Curve(NamedTuple):
    """The finite values of one run's column: x ascending, (G,) each."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Average:
    """A group's curve over `x` (G,): mean, interquartile mean and band (`statistics.band`: the 95 %
    interval, or the range of few seeds; None for a single run). `curves` are those of its runs.

    stopped  the unfinished run that ends the average although other runs are longer, or None
    """

    x: np.ndarray
    mean: np.ndarray
    iqm: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None
    curves: tuple[Curve, ...]
    stopped: Run | None = None


def axis(run: Run, name: str) -> np.ndarray:
    """Environment steps, or wall-clock seconds of training, at each record's end.

    Seconds are summed from each iteration's steps and steps per second, so that they include the
    time before an interruption but not the interruption. An iteration without a speed counts as
    0 seconds; if all lack it, seconds are NaN.
    """
    steps = run.column("num_timesteps")
    if name == "steps":
        return steps
    speed = run.column("steps_per_second")
    known = np.isfinite(speed) & (speed > _STANDSTILL)
    if not known.any():
        return np.full(len(steps), np.nan)
    return np.cumsum(np.diff(steps, prepend=0.0) / np.where(known, speed, np.inf))


def curve(run: Run, column: str, x: str = "steps") -> Curve:
    """The run's curve, without rows that have no finite value, such as those before the end of the
    first episode.
    """
    at, values = axis(run, x), run.column(column)
    keep = np.isfinite(values) & np.isfinite(at)
    return Curve(at[keep], values[keep])


def evaluation_curve(run: Run) -> Curve:
    """The mean returns of the evaluations during training, over steps."""
    columns = run.evaluations
    if not {"num_timesteps", "mean_reward"} <= set(columns):
        return Curve(np.empty(0), np.empty(0))
    keep = np.isfinite(columns["mean_reward"])
    return Curve(columns["num_timesteps"][keep], columns["mean_reward"][keep])


def average(group: Group, column: str, x: str = "steps") -> Average | None:
    """The group's curve, or None if no run has a value.

    Runs have records at different x, so each is interpolated linearly on a common grid, which
    starts where all have a value. A finished run keeps its last value, as its policy no longer
    changes. How an interrupted, failed or running run continues is unknown, so the average ends
    where the first of them ends, and every point averages all runs. Ignores runs without values.
    """
    key = column, x
    if key not in group.cache:
        group.cache[key] = _average(group, column, x)
    return group.cache[key]


def _average(group: Group, column: str, x: str) -> Average | None:
    found = [(run, curve(run, column, x)) for run in group.runs]
    found = [(run, c) for run, c in found if len(c.x)]
    curves = tuple(c for _, c in found)
    if not curves:
        return None
    if len(curves) == 1:
        only = curves[0]
        return Average(only.x, only.y, only.y, None, None, curves)
    total = max(run.steps for run, _ in found)
    open_ended = [(c.x[-1], i) for i, (run, c) in enumerate(found) if not is_final(run, total)]
    last = max(c.x[-1] for c in curves)
    stop, i = min(open_ended, default=(last, 0))
    grid = common_grid(curves, stop)
    rows = np.stack([np.interp(grid, c.x, c.y) for c in curves])
    drawn = np.isfinite(rows).all(axis=0)  # interpolation fails where two points have the same x
    grid, rows = grid[drawn], rows[:, drawn]
    low, high = band(rows)
    stopped = found[i][0] if stop < last else None
    return Average(grid, rows.mean(axis=0), iqm(rows), low, high, curves, stopped)


def is_final(run: Run, most: int) -> bool:
    """Whether the run has ended. If config.json lacks the total steps, it has ended if it has
    `most` steps, as many as the longest run.
    """
    is_done = run.is_done if "total_timesteps" in run.config else run.steps >= most
    return is_done or bool(run.ended and not run.error)


def common_grid(curves: Sequence[Curve], stop: float, size: int = GRID) -> np.ndarray:
    """Evenly spaced points from where all curves have values to `stop`; empty if that is before."""
    start = max(c.x[0] for c in curves)
    if start > stop:
        return np.empty(0)
    return np.linspace(start, stop, size) if start < stop else np.array([start])


class Binned(NamedTuple):
    """A column over steps, with the iterations of all runs: the median and the 10th and 90th
    percentile of each non-empty bin; (B,) each.
    """

    x: np.ndarray
    median: np.ndarray
    low: np.ndarray
    high: np.ndarray


def bin_column(group: Group, column: str, bins: int = BINS) -> Binned | None:
    """The group's column in at most `bins` equal bins of steps; None if it has no values."""
    curves = [c for c in (curve(run, column) for run in group.runs) if len(c.x)]
    if not curves:
        return None
    x, y = (np.concatenate(parts) for parts in zip(*curves, strict=True))
    count = min(bins, max(len(c.x) for c in curves))
    edges = np.linspace(x.min(), x.max(), count + 1)
    bin_of = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, count - 1)
    order = np.lexsort((y, bin_of))
    x, y, bin_of = x[order], y[order], bin_of[order]
    first = np.flatnonzero(np.diff(bin_of, prepend=-1))
    sizes = np.diff(first, append=len(x))
    median, low, high = (_percentile(y, first, sizes, share) for share in (0.5, 0.1, 0.9))
    return Binned(np.add.reduceat(x, first) / sizes, median, low, high)


def _percentile(y: np.ndarray, first: np.ndarray, sizes: np.ndarray, share: float) -> np.ndarray:
    """np.percentile of each segment of y (N,), sorted from its index in `first` on."""
    place = share * (sizes - 1)
    below = np.floor(place).astype(int)
    lower, upper = y[first + below], y[first + np.minimum(below + 1, sizes - 1)]
    return lower + (place - below) * (upper - lower)
