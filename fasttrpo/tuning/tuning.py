"""What a search finds, and how to follow it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import hypot, inf, sqrt
from statistics import fmean, stdev
from typing import Any

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"
CLEARLY = 2.0  # standard errors
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
    """A trial whose settings were trained again with new seeds.

    returns  {seed: mean return of the deterministic policy, or None if that training failed}
    """

    trial: Trial
    returns: Mapping[int, float | None] = field(default_factory=dict)

    @property
    def values(self) -> list[float]:
        """The returns; without seeds, the trial's own."""
        given = [*self.returns.values()] or [self.trial.value]
        return [-inf if value is None else value for value in given]

    @property
    def mean(self) -> float:
        """The mean over seeds; -inf if a training failed."""
        return -inf if -inf in self.values else fmean(self.values)

    @property
    def error(self) -> float:
        """The standard error of the mean; 0 for fewer than two seeds."""
        values = self.values
        return 0.0 if len(values) < 2 or -inf in values else stdev(values) / sqrt(len(values))


def choose(finalists: Sequence[Candidate], margin: float) -> Candidate:
    """The start, unless the mean of the other finalist exceeds its mean by more than `margin`
    standard errors of their difference.
    """
    start, *others = finalists
    for other in others:
        error = hypot(start.error, other.error)
        if start.mean == -inf or other.mean - start.mean > margin * error:
            return other
    return start


@dataclass(frozen=True)
class Tuning:
    """The result of a search.

    is_tuned     whether the search started from settings tuned for the environment; otherwise from
                 the defaults
    shortlist    the best trials, each trained again with a few new seeds
    finalists    the start, if its trial did not fail, and the best of the shortlist, both trained
                 again with further seeds, which took no part in finding them
    importances  {parameter: its share in what separates the best trials from the rest}
    """

    env_id: str
    total_timesteps: int
    is_tuned: bool
    trials: Sequence[Trial]
    shortlist: Sequence[Candidate]
    finalists: Sequence[Candidate]
    importances: Mapping[str, float]

    @property
    def best(self) -> Candidate:
        """The settings to use: the keywords of `TRPO` are `best.trial.settings`.

        Settings tuned for the environment are only replaced by clearly better ones, because a few
        lucky trainings would otherwise replace good settings by unreliable ones.
        """
        return choose(self.finalists, CLEARLY if self.is_tuned else 0.0)

    def config(self) -> dict[str, Any]:
        """The best settings as `fasttrpo train --config` reads them."""
        return {
            "env_id": self.env_id,
            "total_timesteps": self.total_timesteps,
            "settings": dict(self.best.trial.settings),
        }


class Watch:
    """Follows a search: override what you want to hear of."""

    def searching(self, kept: Sequence[Trial], total: int) -> None:
        """The search begins; trials of earlier calls are kept."""

    def tried(self, trial: Trial) -> None:
        """A trial has ended."""

    def comparing(self, numbers: Sequence[int], total: int) -> None:
        """The settings of these trials are about to be trained again, `total` times in all: first
        those of the shortlist, then those of the finalists.
        """

    def compared(self, trial: Trial, value: float | None, error: str) -> None:
        """One of these trainings has ended."""
