"""settings.json: what a logger's folder says about its run, so that plots and reports can name it.

It belongs to the logger that writes progress.csv beside it, and has the form of config.json, which
`fasttrpo train` writes and which takes precedence.
"""

from __future__ import annotations

import json
import warnings
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fasttrpo.files.atomic import SaveError, write_text
from fasttrpo.files.machine import machine
from fasttrpo.files.run_folder import CONFIG, LOGGED, read_config, read_object
from fasttrpo.settings import Settings

THEN = ", then "
_LATEST = {"n_threads", "verbose", "tensorboard_log", "max_records"}  # of no effect on numbers


def description(
    env_id: str, kwargs: dict[str, Any], is_given: bool, total: int, settings: Settings
) -> dict[str, Any]:
    """What settings.json has: environment, steps, settings, machine and versions.

    env_id, kwargs, is_given  see `stream.identity`
    total                     the steps at which `learn` ends
    """
    values = asdict(settings)
    if kwargs and not values.get("env_kwargs"):
        values["env_kwargs"] = kwargs
    run = {
        "env_id": env_id,
        "env_is_given": is_given,
        "total_timesteps": total,
        "settings": values,
        **machine(settings.backend, settings.n_threads),
    }
    return json.loads(json.dumps(run, default=_as_text))


def _as_text(value: Any) -> str:
    """Functions by name: their addresses would differ between seeds."""
    name = getattr(value, "__qualname__", None)
    return repr(value) if name is None else f"function {name.rpartition('.')[2]}"


class DescriptionFile:
    """settings.json of a logger. Several calls of `learn`, or several models, that log to one
    folder share it: a value that changed is written as "0.01, then 0.02".

    resumed  steps of a run that continues, whose file is continued; 0: a new file
    """

    def __init__(self, folder: Path, resumed: int = 0) -> None:
        self._path, self._own = folder / LOGGED, folder / CONFIG
        self._earlier = 0  # steps before the count last restarted
        self._written: dict[str, Any] | None = None
        if resumed:
            with suppress(ValueError):  # damaged: it is replaced
                self._written = read_config(self._path)

    def add(self, run: dict[str, Any], first_step: int, last_step: int) -> None:
        """Writes what a `learn` that starts at `first_step` adds, unless the folder is a run of
        `fasttrpo train`, or has another program's file of that name.

        last_step  the last step that the log has
        """
        if self._own.exists() or (self._written is None and _is_of_others(self._path)):
            self._written = None
            return
        if first_step < last_step:
            self._earlier += last_step
        run = run | {"total_timesteps": run["total_timesteps"] + self._earlier}
        if self._written is not None:
            run = _merged(self._written, run)
        self._write(run)

    def end(self, reason: str) -> None:
        """Writes why `learn` ended before its last step."""
        if self._written is not None:
            self._write(self._written | {"ended": reason})

    def _write(self, run: dict[str, Any]) -> None:
        self._written = run
        with suppress(SaveError):  # the next line of progress.csv raises it, and matters more
            write_text(self._path, json.dumps(run, indent=2) + "\n")


def _is_of_others(path: Path) -> bool:
    """Whether the file exists and no logger wrote it; warns that it is left as it is."""
    if path.is_symlink():  # replaced, not followed
        return False
    try:
        found = read_object(path)
    except ValueError:  # a logger writes it atomically
        found = {}
    if found is None or "versions" in found:
        return False
    warnings.warn(
        f"{path} is not a logger's file and stays as it is; reports will not know this run's "
        "settings unless it logs to another folder",
        UserWarning,
        stacklevel=9,
    )
    return True


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The newer description, with the settings and the environment of both."""
    merged = dict(new)
    settings, before = new["settings"], old.get("settings", {})
    merged["settings"] = _both(before, settings) | {k: settings.get(k) for k in _LATEST}
    if "seed" in before and before["seed"] != settings["seed"]:
        merged["settings"]["seed"] = None
    if "env_id" in old:
        merged["env_id"] = _then(old["env_id"], new["env_id"])
    return merged


def _both(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Each value, or both if it changed."""
    both: dict[str, Any] = {}
    for name in old | new:
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            both[name] = _both(before, after)
        else:
            both[name] = after if name not in old else _then(before, after)
    return both


def _then(before: Any, after: Any) -> Any:
    is_same = str(before).split(THEN)[-1] == str(after)
    return before if is_same else f"{before}{THEN}{after}"
