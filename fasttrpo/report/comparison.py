"""Compares the settings of one environment: their returns, which is best, and how sure that is.

Source of the probability of improvement: Agarwal et al. 2021 (see `statistics`). Letters: n runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fasttrpo.report.curves import axis, curve, evaluation_curve, is_final
from fasttrpo.report.groups import Group
from fasttrpo.report.runs import Run
from fasttrpo.report.statistics import MIN_SEEDS, band, iqm, stratified_bootstrap
from fasttrpo.report.targets import Target

LATE = 0.95
"""An evaluation after this share of a run's steps is one at its end."""


class Reached(NamedTuple):
    """When the runs reached the target: median steps and seconds over all runs (inf if
    fewer than half reached it), and how many did.
    """

    steps: float
    seconds: float
    runs: int


class Odds(NamedTuple):
    """How often a run of one setting has a higher return than one of another: the share of the
    pairs, ties counting half, the number of pairs, and an interval if there are enough seeds.
    """

    share: float
    pairs: int
    interval: tuple[float, float] | None


@dataclass(frozen=True, eq=False)
class Entry:
    """One setting.

    scores        (n,) the returns of the runs that count
    left_out      the names of runs that do not, because they failed or have not ended
    beaten        the odds that a run of the best setting is better; None for the best, and without
                  scores
    reached       None without a target
    episodes      (failed, all) of episodes that report "is_success", or None
    """

    group: Group
    scores: np.ndarray
    left_out: tuple[str, ...]
    beaten: Odds | None = None
    reached: Reached | None = None
    episodes: tuple[float, int] | None = None

    @property
    def middle(self) -> float:
        """The interquartile mean of the scores; NaN without scores."""
        return float(iqm(self.scores)) if len(self.scores) else float("nan")

    @property
    def interval(self) -> tuple[float, float] | None:
        """`statistics.band` of the scores; None for fewer than two."""
        if len(self.scores) < 2:
            return None
        low, high = band(self.scores[:, None])
        return float(low[0]), float(high[0])


@dataclass(frozen=True, eq=False)
class Comparison:
    """The settings of one environment, best first.

    is_evaluation  whether scores are from evaluations; otherwise they are the mean return of the
                   last 100 episodes of training
    in_evaluations whether the target is reached in an evaluation during training, which every run
                   has; otherwise by the mean return of the last 100 episodes
    """

    env_id: str
    entries: tuple[Entry, ...]
    is_evaluation: bool
    in_evaluations: bool
    target: Target | None


def compare(groups: Sequence[Group], target: Target | None) -> Comparison:
    """Compares groups of the same environment."""
    counted = [_counted(group) for group in groups]
    is_evaluation = all(np.isfinite(evaluated(run)) for runs in counted for run in runs)
    runs = [run for group in groups for run in group.runs]
    in_evaluations = all(len(evaluation_curve(run).x) > 0 for run in runs)
    entries = [
        _entry(group, runs, is_evaluation, target, in_evaluations)
        for group, runs in zip(groups, counted, strict=True)
    ]
    entries.sort(key=_rank)
    best, *rest = entries
    others = [_with_odds(entry, best) for entry in rest]
    return Comparison(groups[0].env_id, (best, *others), is_evaluation, in_evaluations, target)


def _rank(entry: Entry) -> tuple[float, float, float]:
    """Sorts the highest return first; equal ones by the time to the target, and in training."""
    if not len(entry.scores):
        return np.inf, np.inf, np.inf
    training = [run.last("return_mean") for run in entry.group.runs]
    reached = np.inf if entry.reached is None else entry.reached.steps
    return -entry.middle, reached, -float(np.nan_to_num(np.mean(training), nan=-np.inf))


def _counted(group: Group) -> list[Run]:
    """The runs that have ended without an error; all of them if there are none."""
    most = max(run.steps for run in group.runs)
    ended = [run for run in group.runs if is_final(run, most) and not run.error]
    return ended or list(group.runs)


def evaluated(run: Run) -> float:
    """The mean return of the trained policy: in the evaluation after training, or in one at its
    end; NaN without any.
    """
    mean = (run.evaluation or {}).get("mean_return")
    if mean is not None:
        return float(mean)
    found = evaluation_curve(run)
    is_late = len(found.x) > 0 and found.x[-1] >= LATE * run.steps
    return float(found.y[-1]) if is_late else float("nan")


def _entry(
    group: Group,
    counted: Sequence[Run],
    is_evaluation: bool,
    target: Target | None,
    in_evaluations: bool,
) -> Entry:
    scores = [_score(run, is_evaluation) for run in counted]
    left_out = tuple(run.name for run in group.runs if run not in counted)
    reached = None if target is None else _reached(group, target.value, in_evaluations)
    finite = np.array([score for score in scores if np.isfinite(score)])
    return Entry(group, finite, left_out, None, reached, _failed_episodes(counted))


def _score(run: Run, is_evaluation: bool) -> float:
    return evaluated(run) if is_evaluation else run.last("return_mean")


def _with_odds(entry: Entry, best: Entry) -> Entry:
    if not len(entry.scores) or not len(best.scores):
        return entry
    beaten = odds(best.scores, entry.scores)
    return Entry(entry.group, entry.scores, entry.left_out, beaten, entry.reached, entry.episodes)


def odds(scores: np.ndarray, others: np.ndarray) -> Odds:
    """How often one of `scores` (n,) is higher than one of `others` (m,)."""
    n = len(scores)

    def share(drawn: np.ndarray) -> np.ndarray:
        """Of the pairs of the first n and the rest."""
        difference = drawn[:n, None] - drawn[None, n:]
        return np.mean((difference > 0) + 0.5 * (difference == 0))

    found, enough = share(np.concatenate([scores, others])), min(n, len(others)) >= MIN_SEEDS
    ends = stratified_bootstrap([scores, others], share) if enough else None
    interval = None if ends is None else (float(ends[0]), float(ends[1]))
    return Odds(float(found), n * len(others), interval)


def _reached(group: Group, target: float, in_evaluations: bool) -> Reached:
    found = [_first(run, target, in_evaluations) for run in group.runs]
    steps, seconds = (_median([each[i] for each in found]) for i in (0, 1))
    return Reached(steps, seconds, sum(bool(np.isfinite(each[0])) for each in found))


def _first(run: Run, target: float, in_evaluations: bool) -> tuple[float, float]:
    """Steps and seconds at which the run first reached the target; inf if it did not."""
    at = evaluation_curve(run) if in_evaluations else curve(run, "return_mean")
    there = np.flatnonzero(at.y >= target)
    if not len(there):
        return np.inf, np.inf
    steps, seconds = float(at.x[there[0]]), axis(run, "seconds")
    record = int(np.searchsorted(axis(run, "steps"), steps))
    return steps, float(np.nan_to_num(seconds[min(record, len(seconds) - 1)], nan=np.inf))


def _median(values: Sequence[float]) -> float:
    """The median of values that may be infinite: the higher of the two in the middle."""
    return sorted(values)[len(values) // 2]


def _failed_episodes(runs: Sequence[Run]) -> tuple[float, int] | None:
    """(failed, all) of the evaluations' episodes, if their runs report successes."""
    failed, total = 0.0, 0
    for run in runs:
        evaluation = run.evaluation or {}
        rate, n = evaluation.get("success_rate", float("nan")), evaluation.get("episodes", 0)
        if 0 <= rate <= 1:
            failed, total = failed + (1 - rate) * n, total + n
    return (failed, total) if total else None
