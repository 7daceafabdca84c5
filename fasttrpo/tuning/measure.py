"""Trains with some settings, and measures what was learnt."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from fasttrpo.errors import UserError

REPORTS = 10  # of the running return, in equal parts of a training
# (part of the training, running return) -> whether to go on
Report = Callable[[int, float], bool]


class Job(NamedTuple):
    """A training and its evaluation, which can be sent to another process.

    key       what the caller knows it by
    env       what `TRPO` makes environments from
    settings  keywords of `TRPO`, the seed included
    episodes  number of episodes of the evaluation, whose environments have the seed `eval_seed`
    """

    key: Any
    env: Any
    settings: dict[str, Any]
    total: int
    episodes: int
    eval_seed: int


class Outcome(NamedTuple):
    """How a job ended: with a mean return or an error; with neither if it was stopped."""

    value: float | None = None
    error: str = ""
    """one line"""


def measure(job: Job, report: Report) -> Outcome:
    """Trains and returns the mean return of the deterministic policy.

    report  called after each tenth of the training with the mean return of the episodes that ended
            in it, if any; returning False stops the job
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about settings that nobody has chosen
        try:
            return Outcome(_measure(job, report))
        except (Exception, SystemExit) as error:
            words = " ".join(str(error).split())
            return Outcome(error=f"{type(error).__name__}: {words}" if words else repr(error))


def _measure(job: Job, report: Report) -> float | None:
    from fasttrpo.trpo import TRPO

    model = TRPO(env=job.env, **job.settings)
    try:
        running = _Running(model, job.total, report)
        model.learn(job.total, running.after)
        return None if running.is_stopped else _evaluate(model, job)
    finally:
        model.get_env().close()


class _Running:
    """Reports the running return of a training."""

    def __init__(self, model: Any, total: int, report: Report) -> None:
        self._model, self._total, self._report = model, total, report
        self._part = self._episodes = 0
        self.is_stopped = False

    def after(self, record: dict[str, Any]) -> bool:
        """Reports if an iteration completes a tenth; returns whether to go on."""
        part = min(REPORTS, REPORTS * record["num_timesteps"] // self._total)
        if part > self._part:
            self._part = part
            new = min(record["episodes"] - self._episodes, len(self._model.episodes))
            self._episodes = record["episodes"]
            if new:
                returns = [episode.total for episode in self._model.episodes[-new:]]
                self.is_stopped = not self._report(part, sum(returns) / new)
        return not self.is_stopped


def _evaluate(model: Any, job: Job) -> float:
    """The mean return. Raises ValueError if it is not finite, or if an episode seems endless."""
    import numpy as np

    from fasttrpo.evaluate import play

    n_steps = 0

    def count(env: Any, *of_step: Any) -> None:
        nonlocal n_steps
        n_steps += env.num_envs
        if n_steps > max(job.total, 100_000):
            raise UserError(
                f"the evaluation of {job.episodes} episodes has taken {n_steps:,} steps and may "
                "never end; set a step limit in the environment"
            )

    played = play(model, job.env, job.episodes, True, job.eval_seed, count)
    value = float(np.mean([episode.total for episode in played]))
    if not np.isfinite(value):
        raise UserError(f"the mean return is {value}")
    return value
