"""Finds and reads run folders, which `fasttrpo train` or a logger in Python wrote."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fasttrpo.checks.suggest import nearest, unknown
from fasttrpo.errors import UserError, UserFileNotFoundError
from fasttrpo.files.run_folder import (
    CONFIG,
    ERROR,
    EVALUATION,
    EVALUATIONS,
    LOGGED,
    MAX_COUNT,
    PROGRESS,
    DamagedError,
    is_there,
    read_config,
    read_evaluation,
    unreadable,
)
from fasttrpo.logs.logger import key_of
from fasttrpo.report.columns import is_text, read_csv
from fasttrpo.report.words import shorten

_OLD_EVALUATION = "eval.json"  # of version 0.1
_BY_TAG = "time/iterations"
MAX_NAMED = 3
_TRACEBACK = 1 << 16  # bytes of error.txt's end that are read


@dataclass(frozen=True, eq=False)
class Run:
    """The contents of a run folder, checked when read: steps are finite and never decrease,
    settings are objects, and so on.

    config       config.json, or a logger's settings.json; {} if missing
    columns      progress.csv: (R,) float64 each, NaN where empty; text as objects
    evaluation   evaluation of the finished model, or None
    evaluations  evaluations during training, as columns; {} if none
    error        the error in error.txt, or ""
    is_logged    whether a logger in Python wrote the folder
    """

    folder: Path
    config: dict[str, Any]
    columns: dict[str, np.ndarray]
    evaluation: dict[str, Any] | None = None
    evaluations: dict[str, np.ndarray] = field(default_factory=dict)
    error: str = ""
    is_logged: bool = False

    @property
    def env_id(self) -> str:
        """The environment, or the folder's name if config.json is missing."""
        return str(self.config.get("env_id", self.folder.name))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings in config.json."""
        return self.config.get("settings", {})

    @property
    def name(self) -> str:
        """Its name within its group."""
        seed = self.settings.get("seed")
        return self.folder.name if seed is None else f"seed {seed}"

    @property
    def n_records(self) -> int:
        """R, the number of rows of progress.csv."""
        return len(next(iter(self.columns.values()), ()))

    @property
    def steps(self) -> int:
        """Environment steps so far."""
        return int(self.column("num_timesteps")[-1])

    @property
    def is_done(self) -> bool:
        """Whether it has reached its total steps; True if config.json is missing."""
        return self.steps >= self.config.get("total_timesteps", 0)

    @property
    def ended(self) -> str:
        """Why `learn` ended early, or ""."""
        column = self.columns.get("ended")
        reason = "" if column is None else str(column[-1])
        return reason or str(self.config.get("ended", ""))

    def column(self, name: str) -> np.ndarray:
        """(R,) float64; NaN if the run lacks the column, as older runs may."""
        values = self.columns.get(name)
        return np.full(self.n_records, np.nan) if values is None else values

    def last(self, name: str) -> float:
        """The column's last finite value, or NaN."""
        values = self.column(name)
        finite = values[np.isfinite(values)]
        return float(finite[-1]) if len(finite) else float("nan")


# -- reading --------------------------------------------------------------------------------------


def load(paths: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """Loads the runs in or below the given folders. Returns them, and the reasons for leaving out
    others: no record yet, or damage.

    Raises FileNotFoundError for a missing folder, and ValueError for a file or if no run is left.
    """
    runs, left_out, visited = [], [], set()
    for path in paths:
        for folder in find(Path(path)):
            place = os.path.realpath(folder)
            if place in visited:
                continue
            visited.add(place)
            try:
                run = read(folder)
            except ValueError as error:
                left_out.append(str(error))
                continue
            if run.n_records:
                runs.append(run)
            else:
                why = f"it failed: {run.error}" if run.error else "no iteration has ended yet"
                left_out.append(f"{folder} has no record yet: {why}")
    if not runs:
        more = [f"and {len(left_out) - MAX_NAMED:,} more"] if len(left_out) > MAX_NAMED else []
        raise UserError("; ".join([*left_out[:MAX_NAMED], *more]))
    return runs, left_out


def find(path: Path) -> list[Path]:
    """The run folders at or below `path`, seed2 before seed10. Does not follow links to folders
    below it.
    """
    if os.path.isfile(path):
        raise UserError(f"{str(path)!r} is a file; pass the run's folder, {str(path.parent)!r}")
    if not os.path.isdir(path):
        match = nearest(str(path), [*_within(path.parent), *_within(Path("runs"))])
        hint = f"; did you mean {match!r}?" if match else ""
        raise UserFileNotFoundError(f"there is no run {shorten(str(path))!r}{hint}")
    if os.path.lexists(path / PROGRESS):
        return [path]
    found = {folder for folder in _folders(path) if _looks_like_a_run(folder)}
    found = found - {path} or found  # a folder of seeds may have a config.json too
    if not found:
        raise UserError(f"{str(path)!r} is not a run: there is no {PROGRESS} in it or below it")
    return sorted(found, key=_natural)


def _within(folder: Path) -> list[str]:
    try:
        return [entry.path for entry in os.scandir(folder)]
    except OSError:
        return []


def _folders(path: Path) -> Iterator[Path]:
    """The folder and all folders below it that can be listed."""
    left = [path]
    while left:
        folder = left.pop()
        yield folder
        try:
            with os.scandir(folder) as entries:
                left += [folder / e.name for e in entries if e.is_dir(follow_symlinks=False)]
        except OSError:
            continue


def _looks_like_a_run(folder: Path) -> bool:
    return any(os.path.lexists(folder / name) for name in (PROGRESS, CONFIG))


def _natural(path: Path) -> list[tuple[bool, int | str]]:
    words = re.split(r"(\d+)", str(path))
    return [(i % 2 == 1, int(word) if i % 2 else word) for i, word in enumerate(words)]


def read(folder: Path) -> Run:
    """Reads one run; it has no records if progress.csv does not exist yet. Raises ValueError if a
    file is damaged or unreadable.

    The columns can be the keys of records, which `fasttrpo train` writes, or the tags of a log that
    `set_logger(configure(folder, ["csv"]))` wrote.
    """
    columns = _columns(folder / PROGRESS)
    evaluation = read_evaluation(folder / EVALUATION) or read_evaluation(folder / _OLD_EVALUATION)
    evaluations = _counted_on(folder / EVALUATIONS, _read_if_there(folder / EVALUATIONS))
    config, is_logged = read_config(folder / CONFIG), False
    if config is None:
        config, is_logged = read_config(folder / LOGGED) or {}, True
    error = _error(folder / ERROR)
    return Run(folder, config, columns, evaluation, evaluations, error, is_logged)


def _read_if_there(path: Path) -> dict[str, np.ndarray]:
    return read_csv(path) if is_there(path) else {}


def _columns(path: Path) -> dict[str, np.ndarray]:
    """The columns of progress.csv, by the keys of records."""
    columns = _read_if_there(path)
    if _BY_TAG in columns:
        columns = _by_key(columns)
    if columns and "num_timesteps" not in columns:
        raise UserError(f"{path} has no column num_timesteps")
    return _counted_on(path, columns)


def _counted_on(path: Path, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Continues counting where `learn` restarted at zero, so that steps never decrease."""
    if "num_timesteps" not in columns:
        return columns
    steps = columns["num_timesteps"]
    wrong = np.flatnonzero(~((steps >= 0) & (steps <= MAX_COUNT) & (np.floor(steps) == steps)))
    if len(wrong):
        got = f"{steps[wrong[0]]:g} in record {wrong[0] + 1}"
        raise DamagedError(path, f"num_timesteps must be an integer from 0 to 2^63 - 1, got {got}")
    before = np.cumsum(np.where(np.diff(steps, prepend=0.0) < 0, np.roll(steps, 1), 0.0))
    return columns | {"num_timesteps": steps + before}


def _by_key(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Columns by key instead of by tag, without rows that are not iterations (evaluations)."""
    by_key = {key_of(tag): values for tag, values in columns.items()}
    is_record = np.isfinite(by_key["iteration"])
    return {key: values[is_record] for key, values in by_key.items()}


def _error(path: Path) -> str:
    """The first line of the exception's message at the end of a traceback, which may have more
    lines and notes; "" if there is no such file.
    """
    if not is_there(path):
        return ""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TRACEBACK))
            text = file.read(_TRACEBACK).decode(errors="replace")
    except OSError as error:
        raise unreadable(path, error) from error
    lines = [line for line in text.splitlines() if line.strip()]
    places = [i for i, line in enumerate(lines) if line.startswith((" ", "Traceback"))]
    words = lines[max(places, default=-1) + 1 :] or lines[-1:]
    return shorten(words[0].strip()) if words else ""


def env_ids(runs: Sequence[Run]) -> list[str]:
    """The environments, in order of their first runs."""
    return list(dict.fromkeys(run.env_id for run in runs))


def check_column(runs: Sequence[Run], name: str) -> None:
    """Raises ValueError, suggesting a similar name, if no run has a numeric column of this name."""
    known = {column for run in runs for column in run.columns if not is_text(column)}
    if name not in known:
        raise UserError(unknown("column", name, sorted(known)))
