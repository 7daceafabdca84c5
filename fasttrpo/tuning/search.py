"""`tune`: searches, then trains the best trials again with new seeds and chooses among them.

The seeds of the trainings follow from the search's own, s: trial n has 10,000 s + 1,000 + n, and the
new seeds start at 10,000 s + 9,000. Seeds below 1,000 take no part.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from fasttrpo.checks.values import count, integer, optional
from fasttrpo.core import backend
from fasttrpo.errors import UserError
from fasttrpo.files.atomic import alone_in
from fasttrpo.settings import POLICIES
from fasttrpo.settings.tuned import PRESETS, settings_for
from fasttrpo.tuning.measure import Job
from fasttrpo.tuning.space import Facts, Space
from fasttrpo.tuning.study import Identity, Study, quiet_optuna
from fasttrpo.tuning.tuning import COMPLETE, START, Candidate, Trial, Tuning, Watch
from fasttrpo.tuning.workers import Workers

STUDY = "study.db"
TRIALS, FINALISTS, FINAL_SEEDS = 30, 3, 5
MOST_TRIALS, MOST_SEEDS = 8_000, 1_000
# Episodes of an evaluation, and the seed of its environments.
OF_TRIAL, OF_CANDIDATE = (20, 1_000), (50, 2_000)


def tune(
    env_id: str,
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

    env_id           as for `TRPO`, but a text: trials run in other processes
    trials           number of trials in the study, those of earlier calls included
    folder           where the study is kept (study.db), and continued; None: in memory
    total_timesteps  steps of each training (None: those of the tuned settings, or 100,000)
    settings         settings that are not searched
    seed             seed of the search
    jobs             trainings at once (None: as many as cores). With one, the search is repeatable
                     and runs in this process; others need `if __name__ == "__main__":` in a script
    final_seeds      number of new seeds with which the start and the best three trials are trained
                     again, to choose among them; 0: the best trial is chosen
    watch            follows the search

    The first trial has the settings tuned for the environment, or the defaults. A trial is pruned
    if its running return is below the median of the others'. Raises ValueError if the study in
    `folder` is of something else or if all trials fail, ImportError without Optuna.
    """
    trials = integer(1, MOST_TRIALS)("trials", trials)
    final_seeds = integer(0, MOST_SEEDS)("final_seeds", final_seeds)
    seed = integer(0, 2**32)("seed", seed)
    jobs = optional(integer(1))("jobs", jobs) or backend.cores()
    watch = watch or Watch()
    path = None if folder is None else Path(folder) / STUDY
    with quiet_optuna(path):
        task = _task(env_id, total_timesteps, dict(settings or {}), seed, jobs)
        with nullcontext() if path is None else _only_user_of(path.parent):
            study = Study(path, task.identity, task.space)
            try:
                with Workers(min(jobs, max(trials, final_seeds))) as workers:
                    _search(study, task, trials, workers, watch)
                    candidates = _compare(study, task, final_seeds, workers, watch)
            finally:
                study.repeat_unfinished()
            is_tuned = env_id in PRESETS
            found = study.trials(), candidates, study.importances()
    return Tuning(env_id, task.identity.total_timesteps, is_tuned, *found)


class _Task(NamedTuple):
    """What is searched."""

    identity: Identity
    space: Space
    n_threads: int


def _task(
    env_id: str, total_timesteps: float | None, fixed: dict[str, Any], seed: int, jobs: int
) -> _Task:
    """Makes a model with the first trial's settings, which finds mistakes before the search."""
    from gymnasium.spaces import Box

    from fasttrpo.trpo import TRPO

    if not isinstance(env_id, str):
        raise UserError(f"env_id must be the id or file of an environment, got {env_id!r}")
    if "seed" in fixed:
        raise UserError("settings: each trial has a seed of its own; omit 'seed'")
    policy = fixed.setdefault("policy", POLICIES[0])
    preset = settings_for(env_id, policy)
    start = {**({} if fixed.get("preset") else preset.settings), **fixed}
    total = preset.total_timesteps if total_timesteps is None else total_timesteps
    total = count(1)("total_timesteps", total)
    model = TRPO(env=env_id, **start, seed=0)
    facts = Facts(
        isinstance(model.action_space, Box),
        isinstance(model.observation_space, Box),
        policy == "LinearPolicy",
        model.settings.critic == "kfac",
    )
    space = Space(start, asdict(model.settings), fixed, facts, total)
    model.get_env().close()
    if not space.knobs:
        raise UserError("settings: all that could be searched is fixed")
    identity = Identity(env_id, total, fixed, seed, space.describe())
    return _Task(identity, space, max(1, backend.cores() // jobs))


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
    return Job(key, task.identity.env_id, given, task.identity.total_timesteps, *evaluation)


def _search(study: Study, task: _Task, n_trials: int, workers: Workers, watch: Watch) -> None:
    """Runs trials until there are `n_trials`. Raises ValueError if all have failed."""

    def jobs() -> Iterator[Job]:
        while (n := study.n_asked) < n_trials:
            seed = 10_000 * task.identity.seed + 1_000 + n
            number, settings = study.ask(seed)
            yield _job(task, number, settings, seed, OF_TRIAL)

    watch.searching(study.n_asked, n_trials)
    for job, outcome in workers.run(jobs(), study.report):
        watch.tried(study.tell(job.key, outcome))
    ended = study.trials()
    if not any(trial.state == COMPLETE for trial in ended):
        raise UserError(f"all {len(ended)} trials failed; the first: {ended[0].error}")


def _compare(
    study: Study, task: _Task, n_seeds: int, workers: Workers, watch: Watch
) -> list[Candidate]:
    """Trains the start and the best trials with new seeds, unless the study has the results."""
    chosen = {trial.number: trial for trial in _finalists(study.trials(), n_seeds)}
    seeds = [10_000 * task.identity.seed + 9_000 + i for i in range(n_seeds)]
    left = [
        (number, seed) for seed in seeds for number in chosen if seed not in study.returns(number)
    ]
    jobs = (_job(task, (n, s), chosen[n].settings, s, OF_CANDIDATE) for n, s in left)
    watch.comparing(len(chosen) * n_seeds - len(left), len(chosen) * n_seeds)
    for job, outcome in workers.run(jobs, lambda key, part, value: True):
        number, seed = job.key
        study.add_return(number, seed, outcome.value)
        watch.compared(chosen[number], seed, outcome.value, outcome.error)
    return [_candidate(trial, study.returns(trial.number), seeds) for trial in chosen.values()]


def _finalists(trials: list[Trial], n_seeds: int) -> list[Trial]:
    """The best trial; if they are compared, several of the best, and the start."""
    complete = [trial for trial in trials if trial.value is not None]
    ranked = sorted(complete, key=lambda trial: -(trial.value or 0.0))
    if not n_seeds:
        return ranked[:1]
    start = [trial for trial in ranked if trial.number == START]
    return start + [trial for trial in ranked if trial.number != START][:FINALISTS]


def _candidate(trial: Trial, returns: Mapping[int, float | None], seeds: list[int]) -> Candidate:
    return Candidate(trial, {seed: returns[seed] for seed in seeds})
