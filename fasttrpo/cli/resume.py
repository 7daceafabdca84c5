"""`fasttrpo train --resume RUN`: a run goes on in its folder, as if it had never been stopped."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from fasttrpo.checks.suggest import unknown
from fasttrpo.cli import consent, logs, training
from fasttrpo.cli.errors import UsageError, line
from fasttrpo.cli.runs import full, read_config, write_json
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

# Settings that a resumed run may have otherwise: they change none of its numbers.
FREE = ("n_threads", "verbose", "tensorboard_log")


@dataclass(frozen=True)
class Resumed:
    """A run that can go on; `config` is as it was, `total` the steps to reach now."""

    folder: Path
    config: dict[str, Any]
    model: Any
    total: int

    @property
    def env_id(self) -> str:
        """The environment, as `TRPO` takes it."""
        return self.config["env_id"]

    @property
    def is_trained(self) -> bool:
        """Whether there are no steps left."""
        return self.model.num_timesteps >= self.total

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.is_trained and (self.folder / EVALUATION).is_file()


def opened(
    folder: Path, given: dict[str, Any], env_id: str | None = None, total: int | None = None
) -> Resumed:
    """The run in `folder`, whose last failure is forgotten. UsageError for another environment or
    other settings than it has, for files of a newer version or damaged ones, and where the folder
    cannot be written to though there is something left to do.

    given          the settings named on the command line
    env_id, total  the environment and the steps to reach, if they were named
    """
    from fasttrpo.trpo import TRPO

    config = read_config(folder)
    check_same(folder, config, env_id, given)
    free = {name: given[name] for name in FREE if name in given}
    free.setdefault("tensorboard_log", _own_log(folder, config["settings"].get("tensorboard_log")))
    try:
        model = TRPO.load(folder / CHECKPOINT, env=config["env_id"], **free)
    except FileNotFoundError as error:
        raise UsageError(f"{folder} cannot be resumed: {line(error)}") from error
    if total is not None and total < min(model.num_timesteps, config["total_timesteps"]):
        raise UsageError(
            f"{folder} has {model.num_timesteps} steps behind it, more than --total-timesteps "
            f"{total}; leave that out, or name more"
        )
    resumed = Resumed(folder, config, model, config["total_timesteps"] if total is None else total)
    if not resumed.is_finished and not os.access(folder, os.W_OK):
        raise UsageError(f"cannot write to {str(folder)!r}; resume a copy of it elsewhere")
    if os.path.lexists(folder / ERROR):
        with saving(folder / ERROR):
            (folder / ERROR).unlink()
    return resumed


def _own_log(folder: Path, log: Any) -> str | None:
    """The setting tensorboard_log, if that is inside the run's folder: a run that somebody else
    made writes nowhere else unless the user says so.
    """
    if log is None or (isinstance(log, str) and folder.resolve() in Path(log).resolve().parents):
        return log
    print(
        f"{folder}: no TensorBoard logs are written to {log!r}, which is outside of the run's "
        f"folder; --set tensorboard_log=FOLDER names where to write them"
    )
    return None


def check_same(
    folder: Path, config: dict[str, Any], env_id: str | None, given: dict[str, Any]
) -> None:
    """UsageError names what differs from the run in `folder`."""
    if env_id is not None and full(env_id) != full(config["env_id"]):
        raise UsageError(
            f"{folder} is a run of {config['env_id']}, not {env_id}; leave the environment out, or "
            "start a new run without --resume"
        )
    defaults = {each.name: each.default for each in fields(Settings)}
    for name, value in given.items():
        if name not in defaults:
            raise UsageError(unknown("setting", name, defaults))
        trained = config["settings"].get(name, defaults[name])
        if name not in FREE and _plain(value) != trained:
            raise UsageError(
                f"{folder} was begun with {name}={trained!r}, not {value!r}; leave that out, or "
                "start a new run without --resume"
            )


def _plain(value: Any) -> Any:
    """As it comes back from JSON."""
    return json.loads(json.dumps(value, default=repr))


def ready(resumed: Resumed) -> None:
    """Writes down the steps to reach, where they have changed; drops what will be done again."""
    if resumed.total != resumed.config["total_timesteps"]:
        write_json(resumed.folder / CONFIG, resumed.config | {"total_timesteps": resumed.total})
    if not resumed.is_trained:
        with saving(resumed.folder / EVALUATION):
            (resumed.folder / EVALUATION).unlink(missing_ok=True)


def evaluation_of(folder: Path) -> dict[str, Any]:
    """What a finished run's evaluation gave. DamagedError, with the remedy, for a damaged file."""
    evaluation = read_evaluation(folder / EVALUATION) or {}
    if "mean_return" not in evaluation:
        remedy = "remove it, and the run is evaluated again"
        raise DamagedError(folder / EVALUATION, f"it has no 'mean_return'; {remedy}")
    return evaluation


def run(args: argparse.Namespace, given: dict[str, Any]) -> int:
    """Goes on, and evaluates; says so if there is nothing left to do. InUseError where another
    process does so already.
    """
    config = read_config(args.resume)
    check_same(args.resume, config, args.env_id, given)
    consent.require(args.resume, config["env_id"], args.trust)
    with alone_in(args.resume):
        return _run(args, given)


def _run(args: argparse.Namespace, given: dict[str, Any]) -> int:
    resumed = opened(args.resume, given, args.env_id, args.total_timesteps)
    model, folder = resumed.model, resumed.folder
    if resumed.is_finished:
        print(f"{folder} is finished: {model.num_timesteps} steps; more --total-timesteps go on")
        return 0
    print(f"{folder}: on from step {model.num_timesteps} of {resumed.total}{_anew(resumed)}")
    ready(resumed)
    logs.attach(model, folder, logs.requested(args))
    return training.complete(
        model, resumed.env_id, resumed.total, folder, args.checkpoint_every, args.progress
    )


def _anew(resumed: Resumed) -> str:
    """Words for environments that cannot be saved; none for the others."""
    model = resumed.model
    if resumed.is_trained or model.n_updates == 0 or model.is_amid_episodes:
        return ""
    return "; these environments cannot be saved, so they begin new episodes"
