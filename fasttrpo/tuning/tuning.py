"""What a search finds, and how to follow it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, sqrt
from statistics import fmean, stdev
from typing import Any

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"
START = 0  # the number of the trial with the settings from which the search starts


@dataclass(frozen=True)
class Trial:
    """One trial of a search.

    state     "complete", "pruned" or "failed"
    value     the mean return of the deterministic policy after the training, if complete
    curve     {part of the training: running return}
    params    the values of the search space
    settings  keywords of `TRPO`, without the seed
    error     why it failed, in one line
    """

    number: int
    state: str
    value: float | None
    curve: Mapping[int, float]
    params: Mapping[str, Any]
    settings: Mapping[str, Any]
    error: str = ""


@dataclass(frozen=True)
class Candidate:
    """A trial whose settings were trained again.

    returns  {seed: mean return of the deterministic policy, or None if that training failed}
    """

    trial: Trial
    returns: Mapping[int, float | None] = field(default_factory=dict)

    @property
    def values(self) -> list[float]:
        """The returns; a failed training counts as the worst."""
        return [-inf if value is None else value for value in self.returns.values()]

    @property
    def mean(self) -> float:
        """The mean over seeds; the trial's own value without seeds."""
        if not self.returns:
            return -inf if self.trial.value is None else self.trial.value
        return fmean(self.values) if None not in self.returns.values() else -inf

    @property
    def error(self) -> float:
        """The standard error of the mean; 0 for fewer than two seeds."""
        values = self.values
        if len(values) < 2 or self.mean == -inf:
            return 0.0
        return stdev(values) / sqrt(len(values))


def best_of(candidates: Sequence[Candidate]) -> Candidate:
    """The candidate with the highest mean minus its standard error, so that one lucky training does
    not decide; the start unless that exceeds its mean.
    """
    starts = [each for each in candidates if each.trial.number == START]
    others = [each for each in candidates if each.trial.number != START]
    best = max(others, key=lambda each: each.mean - each.error, default=None)
    if best is None or (starts and best.mean - best.error <= starts[0].mean):
        return starts[0]
    return best


@dataclass(frozen=True)
class Tuning:
    """The result of a search.

    is_tuned     whether the search started from settings tuned for the environment; otherwise from
                 the defaults
    candidates   the trials that were trained again with new seeds, `best` among them
    importances  {parameter: its share in what separates the best trials from the rest}
    """

    env_id: str
    total_timesteps: int
    is_tuned: bool
    trials: Sequence[Trial]
    candidates: Sequence[Candidate]
    importances: Mapping[str, float]

    @property
    def best(self) -> Candidate:
        """The settings to use: the keywords of `TRPO` are `best.trial.settings`."""
        return best_of(self.candidates)

    def config(self) -> dict[str, Any]:
        """The best settings as `fasttrpo train --config` reads them."""
        return {
            "env_id": self.env_id,
            "total_timesteps": self.total_timesteps,
            "settings": dict(self.best.trial.settings),
        }


class Watch:
    """Follows a search: override what you want to hear of."""

    def searching(self, done: int, total: int) -> None:
        """The search begins; `done` trials of an earlier call are kept."""

    def tried(self, trial: Trial) -> None:
        """A trial has ended."""

    def comparing(self, done: int, total: int) -> None:
        """The best trials are about to be trained again: `total` trainings in all."""

    def compared(self, trial: Trial, seed: int, value: float | None, error: str) -> None:
        """One of these trainings has ended."""
