"""`tune`: searches, then trains the best trials again with new seeds and chooses among them.

The seeds of trainings follow from the search's own, s: trial n has 10,000 s + 1,000 + n; the
shortlist is trained with those from 10,000 s + 8,000 on, the finalists with those from
10,000 s + 9,000 on. Seeds below 1,000 take no part.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from fasttrpo.checks.values import count, integer, optional
from fasttrpo.core import backend
from fasttrpo.errors import UserError, UserTypeError
from fasttrpo.files.atomic import alone_in
from fasttrpo.settings import POLICIES
from fasttrpo.settings.tuned import DEFAULT, settings_for
from fasttrpo.stream.make import is_maker
from fasttrpo.tuning.measure import Job
from fasttrpo.tuning.space import Facts, Space
from fasttrpo.tuning.study import Identity, Study, quiet_optuna
from fasttrpo.tuning.tuning import FAILED, START, Candidate, Trial, Tuning, Watch
from fasttrpo.tuning.workers import Workers

STUDY = "study.db"
TRIALS, MOST_TRIALS = 30, 7_000
SHORTLIST, SHORT_SEEDS = 3, 3
FINAL_SEEDS, MOST_SEEDS = 6, 1_000
MOST_FAILURES = 5  # before the first success
SEEDS = 10_000  # of one search
# Episodes of an evaluation, and the seed of its environments.
OF_TRIAL, OF_CANDIDATE = (50, 1_000), (100, 2_000)


def tune(
    env: Any,
    trials: int = TRIALS,
    *,
    folder: str | os.PathLike[str] | None = None,
    total_timesteps: float | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    jobs: int | None = None,
    final_seeds: int = FINAL_SEEDS,
    watch: Watch | None = None,
) -> Tuning:
    """Searches settings of `TRPO` for an environment.

    env              an id, a shared library, a `NumbaEnvironment`, a class or a function, as for
                     `TRPO`
    trials           number of trials in the study, those of earlier calls included
    folder           where the study is kept (study.db), and continued; None: in memory
    total_timesteps  steps of each training (None: those of the tuned settings, or 100,000)
    settings         settings that are not searched
    seed             seed of the search
    jobs             trainings at once (None: as many as cores). With one, the search is repeatable
                     and runs in this process; others need `if __name__ == "__main__":` in a script
    final_seeds      number of new seeds with which the start and the best settings found are
                     trained again, to choose between them; 0: the best trial is chosen
    watch            follows the search

    The first trial has the settings tuned for the environment, or the defaults. A trial is pruned
    if its running return is below the median of the others. Raises ValueError if the study in
    `folder` is of something else or if all trials fail, ImportError without Optuna.
    """
    trials = integer(1, MOST_TRIALS)("trials", trials)
    final_seeds = integer(0, MOST_SEEDS)("final_seeds", final_seeds)
    seed = integer(0, 2**32)("seed", seed)
    jobs = optional(integer(1))("jobs", jobs) or backend.cores()
    path = None if folder is None else Path(folder) / STUDY
    watch = watch or Watch()
    with quiet_optuna(path):
        task = _task(env, total_timesteps, dict(settings or {}), seed, jobs)
        with (
            nullcontext() if path is None else _only_user_of(path.parent),
            closing(Study(path, task.identity, task.space)) as study,
            Workers(jobs) as workers,
        ):
            _search(study, task, trials, workers, watch)
            finals = _finals(study, task, final_seeds, workers, watch)
            found = study.trials(), *finals, study.importances()
    return Tuning(task.identity.env_id, task.identity.total_timesteps, task.is_tuned, *found)


class _Task(NamedTuple):
    """What is searched."""

    env: Any
    identity: Identity
    space: Space
    is_tuned: bool
    n_threads: int


def _task(
    env: Any, total_timesteps: float | None, fixed: dict[str, Any], seed: int, jobs: int
) -> _Task:
    """Makes a model with the first trial's settings, which finds mistakes before the search."""
    from gymnasium.spaces import Box

    from fasttrpo.trpo import TRPO

    if "seed" in fixed:
        raise UserError("settings: each trial has a seed of its own; omit 'seed'")
    env_id = _name(env, jobs)
    policy = fixed.setdefault("policy", POLICIES[0])
    preset = DEFAULT if fixed.get("preset") else settings_for(env_id, policy)
    start = {**({} if fixed.get("preset") else preset.settings), **fixed}
    total = settings_for(env_id).total_timesteps if total_timesteps is None else total_timesteps
    total = count(1)("total_timesteps", total)
    model = TRPO(env=env, **start, seed=0)
    facts = Facts(
        isinstance(model.action_space, Box),
        isinstance(model.observation_space, Box),
        not model.settings.policy_kwargs["net_arch"]["pi"],
        model.settings.critic,
    )
    space = Space(start, asdict(model.settings), fixed, facts, total)
    model.get_env().close()
    if not space.knobs:
        raise UserError("settings: everything that could be searched is fixed")
    plain = json.loads(json.dumps(fixed, default=repr))
    identity = Identity(env_id, total, plain, seed, space.describe())
    is_tuned = preset.settings != DEFAULT.settings
    return _Task(env, identity, space, is_tuned, max(1, backend.cores() // jobs))


def _name(env: Any, jobs: int) -> str:
    """The environment in the study. Raises TypeError for environments themselves, and ValueError
    for what cannot be sent to other processes.
    """
    if isinstance(env, str | os.PathLike):
        return os.fspath(env)
    if not is_maker(env):
        raise UserTypeError(
            "env must be an id, or a class or function that makes environments, because trials "
            f"have their own; got {type(env).__name__}"
        )
    name = getattr(env, "__qualname__", None) or getattr(env, "name", type(env).__name__)
    try:
        if jobs > 1:
            pickle.dumps(env)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UserError(f"env cannot be sent to other processes; pass jobs=1 ({error})") from error
    return f"{getattr(env, '__module__', '')}:{name}"


def _only_user_of(folder: Path) -> Any:
    """Creates the folder, and locks it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {str(folder)!r}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise UserError(f"cannot write to {str(folder)!r}: permission denied")
    return alone_in(folder)


def _job(
    task: _Task, key: Any, settings: Mapping[str, Any], seed: int, evaluation: tuple[int, int]
) -> Job:
    given = {"n_threads": task.n_threads, **settings, "seed": seed}
    return Job(key, task.env, given, task.identity.total_timesteps, *evaluation)


# -- the search -----------------------------------------------------------------------------------


def _search(study: Study, task: _Task, n_trials: int, workers: Workers, watch: Watch) -> None:
    """Runs trials until there are `n_trials`. Raises ValueError if all, or the first five, have
    failed.
    """

    def jobs() -> Iterator[Job]:
        while (n := study.n_asked) < n_trials:
            seed = SEEDS * task.identity.seed + 1_000 + n
            number, settings = study.ask(seed)
            yield _job(task, number, settings, seed, OF_TRIAL)

    watch.searching(study.trials(), n_trials)
    for job, outcome in workers.run(jobs(), study.report):
        watch.tried(study.tell(job.key, outcome))
        if outcome.error:
            _check_any_works(study.trials(), MOST_FAILURES)
    _check_any_works(study.trials(), 1)


def _check_any_works(trials: list[Trial], enough: int) -> None:
    """Raises ValueError if there are enough trials, and all have failed."""
    if len(trials) >= enough and all(trial.state == FAILED for trial in trials):
        raise UserError(f"all {len(trials)} trials failed; the first: {trials[0].error}")


# -- the choice -----------------------------------------------------------------------------------


def _finals(
    study: Study, task: _Task, n_seeds: int, workers: Workers, watch: Watch
) -> tuple[list[Candidate], list[Candidate]]:
    """The shortlist and the finalists, trained again unless the study has the results."""
    ranked = sorted(
        (trial for trial in study.trials() if trial.value is not None),
        key=lambda trial: trial.value or 0.0,
        reverse=True,
    )
    start = [trial for trial in ranked if trial.number == START]
    others = [trial for trial in ranked if trial.number != START][:SHORTLIST]
    if not n_seeds or not others:
        return [], [Candidate(ranked[0])]
    first = SEEDS * task.identity.seed + 8_000
    shortlist = _again(study, task, others, range(first, first + SHORT_SEEDS), workers, watch)
    best = max(shortlist, key=lambda each: each.mean).trial
    seeds = range(first + 1_000, first + 1_000 + n_seeds)
    return shortlist, _again(study, task, [*start, best], seeds, workers, watch)


def _again(
    study: Study, task: _Task, trials: list[Trial], seeds: range, workers: Workers, watch: Watch
) -> list[Candidate]:
    """Trains the settings of each trial with each seed, unless the study has the result."""
    by_number = {trial.number: trial for trial in trials}
    known = {number: study.returns(number) for number in by_number}
    jobs = [
        _job(task, (number, seed), trial.settings, seed, OF_CANDIDATE)
        for seed in seeds
        for number, trial in by_number.items()
        if seed not in known[number]
    ]
    watch.comparing([*by_number], len(jobs))
    for job, outcome in workers.run(iter(jobs), lambda key, part, value: True):
        number, seed = job.key
        study.add_return(number, seed, outcome.value)
        watch.compared(by_number[number], outcome.value, outcome.error)
    found = {number: study.returns(number) for number in by_number}
    return [
        Candidate(trial, {seed: found[trial.number][seed] for seed in seeds}) for trial in trials
    ]
