"""`fasttrpo train --resume RUN`: continues a run in its folder, as if it had never stopped."""

from __future__ import annotations

import argparse
import json
import os
import warnings
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from fasttrpo.checks.suggest import unknown
from fasttrpo.cli import consent, logs, options, training
from fasttrpo.cli import eval as evaluation
from fasttrpo.cli.errors import UsageError, line
from fasttrpo.cli.runs import full, read_config, write_json
from fasttrpo.cli.training import Plan
from fasttrpo.files.atomic import alone_in, saving
from fasttrpo.files.run_folder import (
    CHECKPOINT,
    CONFIG,
    ERROR,
    EVALUATION,
    DamagedError,
    read_evaluation,
)
from fasttrpo.settings import Settings

# Settings that can change when a run is resumed, because they do not affect its numbers.
FREE = ("n_threads", "verbose", "tensorboard_log")
# Options that can change, and that config.json keeps.
CHANGEABLE = ("total_timesteps", "eval_freq", "eval_episodes")


@dataclass(frozen=True)
class Resumed:
    """A loaded run. `config` is its config.json with the `changes` that options make to it."""

    folder: Path
    config: dict[str, Any]
    changes: dict[str, Any]
    model: Any

    @property
    def total(self) -> int:
        """The steps to reach."""
        return self.config["total_timesteps"]

    @property
    def is_trained(self) -> bool:
        """Whether it has reached `total`."""
        return self.model.num_timesteps >= self.total

    @property
    def is_finished(self) -> bool:
        """Whether it is trained, and evaluated as often as asked."""
        if not self.is_trained or not self.plan().eval_episodes:
            return self.is_trained
        return (self.folder / EVALUATION).is_file() and "eval_episodes" not in self.changes

    def plan(self, checkpoint_every: float = options.CHECKPOINT_EVERY) -> Plan:
        """What to do with the run."""
        return plan_of(self.folder, self.config, checkpoint_every)


def plan_of(
    folder: Path, config: dict[str, Any], checkpoint_every: float = options.CHECKPOINT_EVERY
) -> Plan:
    """What the run's config.json says to do."""
    episodes = config.get("eval_episodes", evaluation.EVAL_EPISODES)
    evaluated = config.get("eval_freq"), episodes
    return Plan(config["env_id"], folder, config["total_timesteps"], checkpoint_every, *evaluated)


def changes(args: argparse.Namespace) -> dict[str, Any]:
    """What options change in the run's config.json."""
    given = {name: getattr(args, name) for name in CHANGEABLE}
    changed = {name: value for name, value in given.items() if value is not None}
    return changed | ({"eval_freq": None} if options.is_evaluation_off(args) else {})


def load(
    folder: Path,
    given: dict[str, Any],
    env_id: str | None = None,
    changes: dict[str, Any] | None = None,
) -> Resumed:
    """Loads the run in `folder` and removes its error.txt. Raises UsageError if the environment or
    settings differ from the run's, its files are damaged or of a newer version, or the folder of
    an unfinished run is read-only.

    given    settings from the command line
    env_id   environment, if given
    changes  see `changes`
    """
    from fasttrpo.trpo import TRPO

    config, changes = read_config(folder), changes or {}
    check_same(folder, config, env_id, given)
    total = changes.get("total_timesteps")
    free = {name: given[name] for name in FREE if name in given}
    free["env_kwargs"] = consent.env_kwargs_of(folder)
    free.setdefault("tensorboard_log", _own_log(folder, config["settings"].get("tensorboard_log")))
    try:
        with warnings.catch_warnings(record=True) as noticed:
            model = TRPO.load(folder / CHECKPOINT, env=config["env_id"], **free)
    except FileNotFoundError as error:
        raise UsageError(f"{folder} cannot be resumed: {line(error)}") from error
    for each in noticed:
        print(each.message)
    if total is not None and total < min(model.num_timesteps, config["total_timesteps"]):
        raise UsageError(
            f"{folder} has already trained {model.num_timesteps} steps, more than "
            f"--total-timesteps {total}; omit the option, or give more steps"
        )
    changes = {name: value for name, value in changes.items() if value != config.get(name)}
    resumed = Resumed(folder, config | changes, changes, model)
    resumed.plan().check()
    if not resumed.is_finished and not os.access(folder, os.W_OK):
        raise UsageError(f"cannot write to {str(folder)!r}; resume a copy of it elsewhere")
    if os.path.lexists(folder / ERROR):
        with saving(folder / ERROR):
            (folder / ERROR).unlink()
    return resumed


def _own_log(folder: Path, log: Any) -> str | None:
    """The setting tensorboard_log if it is inside the run's folder, else None: a run from somebody
    else must not write elsewhere without the user's consent.
    """
    if log is None or (isinstance(log, str) and folder.resolve() in Path(log).resolve().parents):
        return log
    print(
        f"{folder}: not writing TensorBoard logs to {log!r}, which is outside the run's folder; "
        "choose a folder with --set tensorboard_log=FOLDER"
    )
    return None


def check_same(
    folder: Path, config: dict[str, Any], env_id: str | None, given: dict[str, Any]
) -> None:
    """Raises UsageError if the environment or a setting differs from the run's."""
    if env_id is not None and full(env_id) != full(config["env_id"]):
        raise UsageError(
            f"{folder} is a run of {config['env_id']}, not {env_id}; omit the environment, or "
            "start a new run without --resume"
        )
    defaults = {each.name: each.default for each in fields(Settings)}
    for name, value in given.items():
        if name not in defaults:
            raise UsageError(unknown("setting", name, defaults))
        trained = config["settings"].get(name, defaults[name])
        if name not in FREE and _plain(value) != trained:
            raise UsageError(
                f"{folder} was started with {name}={trained!r}, not {value!r}; omit the option, or "
                "start a new run without --resume"
            )


def _plain(value: Any) -> Any:
    """The value after a round trip through JSON."""
    return json.loads(json.dumps(value, default=repr))


def prepare(resumed: Resumed) -> None:
    """Saves the changes, and removes an evaluation that will be repeated."""
    if resumed.changes:
        write_json(resumed.folder / CONFIG, resumed.config)
    if not resumed.is_trained:
        with saving(resumed.folder / EVALUATION):
            (resumed.folder / EVALUATION).unlink(missing_ok=True)


def evaluation_of(folder: Path) -> dict[str, Any]:
    """The evaluation of a finished run. Raises DamagedError if the file is damaged."""
    evaluation = read_evaluation(folder / EVALUATION) or {}
    if "mean_return" not in evaluation:
        remedy = "remove it to evaluate the run again"
        raise DamagedError(folder / EVALUATION, f"it has no 'mean_return'; {remedy}")
    return evaluation


def run(args: argparse.Namespace, given: dict[str, Any]) -> int:
    """Continues the run and evaluates it, unless it is finished. Raises InUseError if another
    process is training it.
    """
    config = read_config(args.resume)
    check_same(args.resume, config, args.env_id, given)
    consent.require(args.resume, config["env_id"], args.trust)
    with alone_in(args.resume):
        return _run(args, given)


def _run(args: argparse.Namespace, given: dict[str, Any]) -> int:
    resumed = load(args.resume, given, args.env_id, changes(args))
    model, folder = resumed.model, resumed.folder
    if resumed.is_finished:
        print(
            f"{folder} is finished at {model.num_timesteps} steps; "
            "extend it with a larger --total-timesteps"
        )
        return 0
    print(f"{folder}: resuming at step {model.num_timesteps} of {resumed.total}{_note(resumed)}")
    prepare(resumed)
    logs.attach(model, folder, logs.requested(args))
    return training.complete(model, resumed.plan(options.every(args)), args.progress)


def _note(resumed: Resumed) -> str:
    """A note if the environments' state was not saved."""
    model = resumed.model
    if resumed.is_trained or model.n_updates == 0 or model.is_amid_episodes:
        return ""
    return "; these environments cannot be saved, so they start new episodes"
