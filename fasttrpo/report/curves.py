"""Curves of one column over steps or seconds: one per run, averaged over a group's seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fasttrpo.report.runs import Group, Run
from fasttrpo.report.statistics import iqm, stratified_bootstrap

AXES = ("steps", "seconds")
GRID = 200
BINS = 100


class Curve(NamedTuple):
    """One run's column where it has a value: x rising, (G,) each."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Average:
    """A group's curve: over `x` (G,) the mean, the interquartile mean, and the 95 % band of the
    latter, None for a single run. `curves` are those of its runs.
    """

    x: np.ndarray
    mean: np.ndarray
    iqm: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None
    curves: tuple[Curve, ...]


def axis(run: Run, name: str) -> np.ndarray:
    """Environment steps, or wall-clock seconds since training began, at each record's end.

    Seconds are added up from each iteration's steps and its steps per second, so that those
    before an interruption count, and those of the interruption do not.
    """
    steps = run.column("num_timesteps")
    if name == "steps":
        return steps
    taken = np.diff(steps, prepend=0.0)
    return np.cumsum(taken / run.column("steps_per_second"))


def curve(run: Run, column: str, x: str = "steps") -> Curve:
    """The run's curve; rows without a finite value, as before the first episode's end, are left
    out.
    """
    at, values = axis(run, x), run.column(column)
    keep = np.isfinite(values) & np.isfinite(at)
    return Curve(at[keep], values[keep])


def average(group: Group, column: str, x: str = "steps") -> Average | None:
    """The group's curve, or None where no run has a value.

    Runs have their records at different x, so each is interpolated linearly between its own, on a
    grid from the last first one to the first last one: nothing is extrapolated, and all runs count
    everywhere. Runs without a value do not count.
    """
    curves = tuple(c for c in (curve(run, column, x) for run in group.runs) if len(c.x))
    if not curves:
        return None
    if len(curves) == 1:
        only = curves[0]
        return Average(only.x, only.y, only.y, None, None, curves)
    grid = common_grid(curves)
    rows = np.stack([np.interp(grid, c.x, c.y) for c in curves])
    low, high = stratified_bootstrap([rows])
    return Average(grid, rows.mean(axis=0), iqm(rows), low, high, curves)


def common_grid(curves: Sequence[Curve], size: int = GRID) -> np.ndarray:
    """Even points where every curve has values; empty where there are none such."""
    start, stop = max(c.x[0] for c in curves), min(c.x[-1] for c in curves)
    if start > stop:
        return np.empty(0)
    return np.linspace(start, stop, size) if start < stop else np.array([start])


class Binned(NamedTuple):
    """A column over steps, all runs' iterations together: in each bin the median, and the 10th and
    90th percentile; (B,) each. Bins without a value are left out.
    """

    x: np.ndarray
    median: np.ndarray
    low: np.ndarray
    high: np.ndarray


def binned(group: Group, column: str, bins: int = BINS) -> Binned | None:
    """The group's column in at most `bins` equal bins of steps; None where there is no value."""
    curves = [c for c in (curve(run, column) for run in group.runs) if len(c.x)]
    if not curves:
        return None
    x, y = (np.concatenate(parts) for parts in zip(*curves, strict=True))
    count = min(bins, max(len(c.x) for c in curves))
    edges = np.linspace(x.min(), x.max(), count + 1)
    bin_of = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, count - 1)
    rows = []
    for b in np.unique(bin_of):
        here = bin_of == b
        rows.append((x[here].mean(), *np.percentile(y[here], (50, 10, 90))))
    return Binned(*np.array(rows).T)
