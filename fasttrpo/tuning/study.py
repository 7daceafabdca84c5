"""The trials of a search, stored by Optuna in SQLite.

A study holds numbers, texts and JSON, so reading one runs no code. It remembers what it belongs to
(`Identity`), and continues only with the same.
"""

from __future__ import annotations

import json
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fasttrpo.errors import UserError, UserImportError
from fasttrpo.files.atomic import SaveError
from fasttrpo.tuning.measure import REPORTS, Outcome
from fasttrpo.tuning.space import Space
from fasttrpo.tuning.tuning import COMPLETE, FAILED, PRUNED, Trial

if TYPE_CHECKING:
    from optuna.study import Study as OptunaStudy
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as OptunaTrial

INSTALL = "pip install 'fasttrpo[tune]'"
NAME = "fasttrpo"  # of the study in its file
_MAGIC = b"SQLite format 3\0"
N_NEAR = 9  # trials that differ from the start in a third of the parameters
# A trial is pruned from the second tenth of its training on, once five are complete.
PRUNER = {"n_startup_trials": 5, "n_warmup_steps": 2, "n_min_trials": 3}


@dataclass(frozen=True)
class Identity:
    """What a study belongs to.

    settings  what the user has fixed
    space     `Space.describe`
    """

    env_id: str
    total_timesteps: int
    settings: Mapping[str, Any]
    seed: int
    space: list

    def check(self, theirs: Mapping[str, Any], place: Any) -> None:
        """Raises ValueError if a study belongs to something else."""
        ours, another = json.loads(json.dumps(asdict(self))), "; choose another folder for this one"
        for name, what in _WHAT.items():
            if theirs.get(name) != ours[name]:
                found = f"{what} {theirs.get(name)!r}, not {ours[name]!r}"
                raise UserError(f"{place} is a study of {found}{another}")
        if theirs.get("space") != ours["space"]:
            raise UserError(
                f"{place} was made by another version of fasttrpo, which searched other settings "
                f"or ranges: {_first_difference(theirs.get('space'), ours['space'])}{another}"
            )


_WHAT = {
    "env_id": "the environment",
    "total_timesteps": "total_timesteps",
    "settings": "the settings",
    "seed": "the seed",
}


def _first_difference(theirs: Any, ours: list) -> str:
    """The first knob that differs between two descriptions of a space."""
    old = {knob[0]: knob for knob in theirs} if isinstance(theirs, list) else {}
    new = {knob[0]: knob for knob in ours}
    for name in [*new, *old]:
        if name not in old:
            return f"it did not search {name}"
        if new.get(name) != old[name]:
            return f"{name} differs"
    return "their order differs"


class Study:
    """The study in a folder, or in memory.

    Trials of an interrupted search are repeated: they have failed without an error.
    """

    def __init__(self, path: Path | None, identity: Identity, space: Space) -> None:
        self._space, self._seed = space, identity.seed
        self._running: dict[int, OptunaTrial] = {}
        self._storage = _storage(path)
        self._study = _open(self._storage)
        theirs = self._study.user_attrs.get("identity")
        if theirs is None:
            self._enqueue_starts()
            self._study.set_user_attr("identity", asdict(identity))
        else:
            identity.check(theirs if isinstance(theirs, dict) else {}, path)
        self._repeat_unfinished()

    def close(self) -> None:
        """Ends the trials that are running, to be repeated, and closes the file."""
        self._repeat_unfinished()
        if hasattr(self._storage, "engine"):
            self._storage.remove_session()
            self._storage.engine.dispose()

    def _enqueue_starts(self) -> None:
        """The start, then trials near it: the sampler draws the parameters that are left out."""
        import random

        start, draw = self._space.start_params, random.Random(self._seed)
        self._study.enqueue_trial(start)
        for _ in range(N_NEAR):
            varied = {*draw.sample([*start], -(-len(start) // 3))}
            self._study.enqueue_trial({k: v for k, v in start.items() if k not in varied})

    def _repeat_unfinished(self) -> None:
        """Enqueues the running trials again: nothing runs any more."""
        from optuna.trial import TrialState

        self._running.clear()
        for trial in self._study.get_trials(states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)
            self._study.enqueue_trial(trial.params)

    # -- trials -------------------------------------------------------------------------------

    @property
    def n_asked(self) -> int:
        """The number of trials that have ended or are running, without interrupted ones."""
        return len(self._running) + sum(map(_has_ended, self._study.get_trials(deepcopy=False)))

    def ask(self, seed: int) -> tuple[int, dict[str, Any]]:
        """The number and the settings of a new trial, drawn with a seed."""
        self._study.sampler = _sampler(seed)
        trial = self._study.ask()
        self._running[trial.number] = trial
        return trial.number, self._space.settings(lambda knob: knob.draw(trial))

    def report(self, number: int, part: int, value: float) -> bool:
        """Records the running return of a trial; returns whether to go on."""
        trial = self._running[number]
        trial.report(value, part)
        return part == REPORTS or not trial.should_prune()

    def tell(self, number: int, outcome: Outcome) -> Trial:
        """Ends a trial."""
        from optuna.trial import TrialState

        trial = self._running[number]
        if outcome.error:
            trial.set_user_attr("error", outcome.error)
            self._study.tell(trial, state=TrialState.FAIL)
        elif outcome.value is None:
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, outcome.value)
        del self._running[number]
        return self._trial(self._study.get_trials(deepcopy=False)[number])

    def trials(self) -> list[Trial]:
        """The trials that have ended, without interrupted ones."""
        ended = filter(_has_ended, self._study.get_trials(deepcopy=False))
        return [self._trial(trial) for trial in ended]

    def _trial(self, trial: FrozenTrial) -> Trial:
        try:
            settings = self._space.settings(lambda knob: trial.params[knob.name])
        except KeyError as error:
            raise UserError(f"the study is damaged: trial {trial.number} has no {error}") from None
        state = {"COMPLETE": COMPLETE, "PRUNED": PRUNED}.get(trial.state.name, FAILED)
        return Trial(
            trial.number,
            state,
            trial.value if state == COMPLETE else None,
            trial.intermediate_values,
            trial.params,
            settings,
            str(trial.user_attrs.get("error", "")),
        )

    # -- trainings with new seeds -------------------------------------------------------------

    def returns(self, number: int) -> dict[int, float | None]:
        """{seed: return} of a trial's trainings with new seeds."""
        found = self._study.user_attrs.get("returns", {}).get(str(number), {})
        return {int(seed): value for seed, value in found.items()}

    def add_return(self, number: int, seed: int, value: float | None) -> None:
        """Records one of these trainings; None if it failed."""
        all_ = self._study.user_attrs.get("returns", {})
        of_trial = {**all_.get(str(number), {}), str(seed): value}
        self._study.set_user_attr("returns", {**all_, str(number): of_trial})

    # -- importances --------------------------------------------------------------------------

    def importances(self) -> dict[str, float]:
        """The share of each parameter in what separates the best fifth of the trials from the
        rest, the highest first (PED-ANOVA, Watanabe et al. 2023). Pruned trials count as the worst.
        """
        import optuna

        trials = [t for t in self._study.get_trials(deepcopy=False) if t.state.is_finished()]
        values = [t.value for t in trials if t.state.name == "COMPLETE" and t.value is not None]
        if len(values) < 2:
            return {}
        ranked = optuna.create_study(direction="maximize")
        for t in trials:
            if t.state.name in ("COMPLETE", "PRUNED"):
                value = t.value if t.state.name == "COMPLETE" else min(values)
                made = optuna.create_trial(
                    params=t.params, distributions=t.distributions, value=value
                )
                ranked.add_trial(made)
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.2)
        return optuna.importance.get_param_importances(ranked, evaluator=evaluator)


def _has_ended(trial: FrozenTrial) -> bool:
    """Whether a trial has ended and was not interrupted."""
    state = trial.state.name
    return state in ("COMPLETE", "PRUNED") or (state == "FAIL" and "error" in trial.user_attrs)


def _sampler(seed: int) -> Any:
    import optuna

    # One for each trial, so that a search that continues draws as if it had not stopped.
    return optuna.samplers.TPESampler(
        seed=seed, multivariate=True, group=True, constant_liar=True, n_startup_trials=N_NEAR + 1
    )


# -- the file -------------------------------------------------------------------------------------


def _open(storage: Any) -> OptunaStudy:
    """The study in a storage, made if there is none."""
    import optuna

    return optuna.create_study(
        storage=storage,
        study_name=NAME,
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(**PRUNER),
        direction="maximize",
    )


def _storage(path: Path | None) -> Any:
    """Optuna's storage of a file. Raises ValueError if that is no study, or of another version of
    Optuna.
    """
    import optuna

    if path is None:
        return optuna.storages.InMemoryStorage()
    _check_file(path)

    def connect() -> sqlite3.Connection:  # any file name, which a URL would not allow
        database = sqlite3.connect(path, check_same_thread=False, timeout=60)
        database.execute("pragma journal_mode = wal")  # waits for the disk once, not at each number
        database.execute("pragma synchronous = normal")
        return database

    try:
        return optuna.storages.RDBStorage("sqlite:///study", engine_kwargs={"creator": connect})
    except RuntimeError as error:
        raise UserError(f"{path}: {error}") from error


def _check_file(path: Path) -> None:
    """Raises ValueError if there is a file that is not a study of fasttrpo. Does not change it."""
    if not path.exists() or path.stat().st_size == 0:
        return
    try:
        with open(path, "rb") as file:
            is_database = file.read(len(_MAGIC)) == _MAGIC
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if not is_database:
        raise UserError(f"{path} is not a study but another kind of file; choose another folder")
    with closing(sqlite3.connect(path)) as database:
        try:
            names = [name for (name,) in database.execute("select study_name from studies")]
        except sqlite3.Error as error:
            raise UserError(f"{path} is not a study of fasttrpo: {error}") from error
    if NAME not in names:
        raise UserError(f"{path} is not a study of fasttrpo; choose another folder")


# -- Optuna ---------------------------------------------------------------------------------------


@contextmanager
def quiet_optuna(path: Path | None) -> Iterator[None]:
    """Silences Optuna, and turns errors of its storage into SaveError. Raises ImportError if Optuna
    is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise UserImportError(f"tuning needs the package optuna: {INSTALL}") from error
    import sqlalchemy

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="optuna")
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError) as error:
        cause = getattr(error.__cause__ or error, "orig", None) or error
        raise SaveError(None, f"cannot read or write {path}: {cause}") from error
    finally:
        optuna.logging.set_verbosity(verbosity)
