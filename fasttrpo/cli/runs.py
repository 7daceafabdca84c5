"""Run folders: their names, how they are created and found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fasttrpo.checks.printable import name_in_text, name_on_disk
from fasttrpo.checks.suggest import nearest
from fasttrpo.cli.errors import UsageError
from fasttrpo.envs.names import is_in_source, is_library
from fasttrpo.files.machine import machine
from fasttrpo.files.run_folder import CONFIG
from fasttrpo.files.run_folder import read_config as read_config_file


def is_file(env_id: str) -> bool:
    """Whether the environment is a file: a shared library or Python source."""
    return is_library(env_id) or is_in_source(env_id)


def full(env_id: str) -> str:
    """The environment as config.json stores it: a file by its absolute path."""
    return str(Path(env_id).resolve()) if is_file(env_id) else env_id


def as_typed(env_id: str) -> str:
    """The environment, independent of the encoding in which it was typed: modules and files by
    their names on the disk, the name of the environment as text.
    """
    if is_library(env_id):
        return name_on_disk(env_id)
    place, colon, name = env_id.rpartition(":")
    return name_on_disk(place) + colon + name_in_text(name)


def as_name(env_id: str) -> str:
    """The environment as part of a folder's name."""
    name = Path(env_id).name.replace(".py:", "_") if is_file(env_id) else env_id
    name = Path(name).stem if is_library(env_id) else name
    return name_on_disk(name.replace("/", "_").replace(":", "_"))


def new_folder(wanted: Path) -> Path:
    """Creates the folder; appends -2, -3, ... if the name is taken."""
    folder, number = wanted, 1
    while True:
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1
            folder = wanted.with_name(f"{wanted.name}-{number}")


def is_run(folder: Path) -> bool:
    """Whether the folder is that of a run."""
    return (folder / CONFIG).is_file()


def environment_of(folder: Path) -> str:
    """The environment id of a run. Raises what `read_config` raises."""
    return read_config(folder)["env_id"]


def read_config(folder: Path) -> dict[str, Any]:
    """The run's config.json: env_id, total_timesteps, settings.

    Raises UserError if it is damaged, or if there is no such run, suggesting a similar name.
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
    """The message for a missing run: what the folder is instead, or a similar name."""
    if folder.is_file():
        return f"{folder} is a file; pass the run's folder, {str(folder.parent)!r}"
    within = sorted(str(config.parent) for config in folder.glob(f"*/{CONFIG}"))
    if within:
        return f"{folder} contains several runs; pass one of them, such as {within[0]!r}"
    places = {folder.parent, Path("runs")}
    known = [str(config.parent) for p in places for config in p.glob(f"*/{CONFIG}")]
    match = nearest(str(folder), known)
    hint = f"; did you mean {match!r}?" if match else ""
    return f"there is no run {str(folder)!r}{hint}"


def write_machine(folder: Path, model: Any) -> None:
    """Records this process's system and versions in the run's config.json; the run may have been
    created on another machine.
    """
    config = read_config(folder)
    used = machine(model.settings.backend, model.settings.n_threads)
    if any(config.get(name) != value for name, value in used.items()):
        write_json(folder / CONFIG, config | used)


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Writes or replaces a file with indented JSON. Raises SaveError if the disk is full."""
    from fasttrpo.files.atomic import write_text

    write_text(path, json.dumps(data, indent=2) + "\n")
