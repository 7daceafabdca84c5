"""Run folders: what their files are called, how they are made and found again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fasttrpo.cli.errors import UsageError
from fasttrpo.envs.names import is_in_source, is_library
from fasttrpo.suggest import nearest

CONFIG = "config.json"
PROGRESS = "progress.csv"
MODEL = "model.npz"
EVALUATION = "eval.json"


def is_file(env_id: str) -> bool:
    """Whether the environment is a file of the user's: a library, or one written in Python."""
    return is_library(env_id) or is_in_source(env_id)


def as_name(env_id: str) -> str:
    """The environment in a folder's name."""
    name = Path(env_id).name.replace(".py:", "_") if is_file(env_id) else env_id
    name = Path(name).stem if is_library(env_id) else name
    return name.replace("/", "_").replace(":", "_")


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


def environment_of(folder: Path) -> str:
    """The environment id of a run. UsageError names the nearest run if there is none such."""
    try:
        return json.loads((folder / CONFIG).read_text(encoding="utf-8"))["env_id"]
    except FileNotFoundError:
        places = {folder.parent, Path("runs")}
        known = [str(config.parent) for p in places for config in p.glob(f"*/{CONFIG}")]
        match = nearest(str(folder), known)
        hint = f"; did you mean {match!r}?" if match else ""
        raise UsageError(f"there is no run {str(folder)!r}{hint}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder / CONFIG} is damaged: {error}") from error


def write_json(path: Path, data: dict[str, Any]) -> None:
    """`data` as indented JSON."""
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
