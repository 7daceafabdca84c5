"""Run folders: what their files are called, how they are made and found again."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fasttrpo.checks.printable import name_in_text, name_on_disk
from fasttrpo.checks.suggest import nearest
from fasttrpo.cli.errors import UsageError
from fasttrpo.core import backend
from fasttrpo.envs.names import is_in_source, is_library
from fasttrpo.files.run_folder import CONFIG
from fasttrpo.files.run_folder import read_config as read_config_file


def is_file(env_id: str) -> bool:
    """Whether the environment is a file of the user's: a library, or one written in Python."""
    return is_library(env_id) or is_in_source(env_id)


def full(env_id: str) -> str:
    """The environment as config.json has it: a file by its whole path."""
    return str(Path(env_id).resolve()) if is_file(env_id) else env_id


def as_typed(env_id: str) -> str:
    """The environment, whatever encoding the system had where it was typed: modules and files by
    their name on the disk, what is registered or defined there in letters.
    """
    if is_library(env_id):
        return name_on_disk(env_id)
    place, colon, name = env_id.rpartition(":")
    return name_on_disk(place) + colon + name_in_text(name)


def as_name(env_id: str) -> str:
    """The environment in a folder's name."""
    name = Path(env_id).name.replace(".py:", "_") if is_file(env_id) else env_id
    name = Path(name).stem if is_library(env_id) else name
    return name_on_disk(name.replace("/", "_").replace(":", "_"))


def new_folder(wanted: Path) -> Path:
    """Makes the folder, numbered -2, -3, ... if there is one already."""
    folder, number = wanted, 1
    while True:
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1
            folder = wanted.with_name(f"{wanted.name}-{number}")


def is_run(folder: Path) -> bool:
    """Whether this is the folder of a run."""
    return (folder / CONFIG).is_file()


def environment_of(folder: Path) -> str:
    """The environment id of a run; UsageError as `read_config` has it."""
    return read_config(folder)["env_id"]


def read_config(folder: Path) -> dict[str, Any]:
    """What makes the run what it is, as `train` wrote it: env_id, total_timesteps, settings.

    UserError names the nearest run if there is no such run, and what is wrong with a damaged file.
    """
    path = folder / CONFIG
    config = read_config_file(path)
    if config is None:
        raise UsageError(_no_run(folder))
    for name in ("env_id", "total_timesteps", "settings"):
        if name not in config:
            raise UsageError(f"{path} is damaged: it has no {name!r}")
    return config | {"env_id": as_typed(config["env_id"])}


def _no_run(folder: Path) -> str:
    """What is there instead, or the nearest run."""
    if folder.is_file():
        return f"{folder} is a file; name the folder of its run, {str(folder.parent)!r}"
    within = sorted(str(config.parent) for config in folder.glob(f"*/{CONFIG}"))
    if within:
        return f"{folder} has runs in it; name one, {within[0]!r} say"
    places = {folder.parent, Path("runs")}
    known = [str(config.parent) for p in places for config in p.glob(f"*/{CONFIG}")]
    match = nearest(str(folder), known)
    hint = f"; did you mean {match!r}?" if match else ""
    return f"there is no run {str(folder)!r}{hint}"


def write_machine(folder: Path, model: Any) -> None:
    """Puts into the run's config.json what trains it: this process, not the one that made the run,
    which may have been on another machine.
    """
    config = read_config(folder)
    machine = {
        "system": backend.describe(model.settings.backend, model.settings.n_threads),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "gymnasium")},
        },
    }
    if any(config.get(name) != value for name, value in machine.items()):
        write_json(folder / CONFIG, config | machine)


def write_json(path: Path, data: dict[str, Any]) -> None:
    """`data` as indented JSON, in place of what was there. SaveError where the disk is full."""
    from fasttrpo.files.atomic import write_text

    write_text(path, json.dumps(data, indent=2) + "\n")
