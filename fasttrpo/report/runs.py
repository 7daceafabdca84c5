"""Run folders as `fasttrpo train` writes them: found, read, and grouped by their settings."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fasttrpo.logger import key_of
from fasttrpo.run_files import CONFIG, ERROR, EVALUATION, EVALUATIONS, PROGRESS
from fasttrpo.suggest import nearest, unknown

# Settings that change no number of a run, or that only say which of the equal runs it is.
_NOT_OF_A_GROUP = {"seed", "n_threads", "verbose"}
_OLD_EVALUATION = "eval.json"  # of version 0.1
_TEXT = {"rejected", "ended", "train/rejected", "train/ended"}
_BY_TAG = "time/iterations"
MOST_NAMED = 3


@dataclass(frozen=True)
class Run:
    """One folder: what was asked for, a value per record and column, and its evaluations.

    config       config.json, {} if there is none
    columns      progress.csv: (R,) float64 each, NaN where empty; text as objects
    evaluation   of the finished model, None if there was none
    evaluations  during training, as columns; {} if there were none
    error        what made it fail, by error.txt; "" if nothing did
    """

    folder: Path
    config: dict[str, Any]
    columns: dict[str, np.ndarray]
    evaluation: dict[str, Any] | None = None
    evaluations: dict[str, np.ndarray] = field(default_factory=dict)
    error: str = ""

    @property
    def env_id(self) -> str:
        """The environment; of a run without config.json, its folder's name."""
        return str(self.config.get("env_id", self.folder.name))

    @property
    def settings(self) -> dict[str, Any]:
        """As config.json has them."""
        return self.config.get("settings", {})

    @property
    def name(self) -> str:
        """Which of its group it is."""
        seed = self.settings.get("seed")
        return self.folder.name if seed is None else f"seed {seed}"

    @property
    def n_records(self) -> int:
        """R"""
        return len(next(iter(self.columns.values()), ()))

    @property
    def steps(self) -> int:
        """Environment steps so far."""
        return int(self.column("num_timesteps")[-1])

    @property
    def is_done(self) -> bool:
        """Whether it took the steps that it was to take."""
        return self.steps >= self.config.get("total_timesteps", 0)

    @property
    def ended(self) -> str:
        """Why it ended before its time, as `learn` records it; "" if it did not say."""
        told = self.columns.get("ended")
        return "" if told is None else str(told[-1])

    def column(self, name: str) -> np.ndarray:
        """(R,) float64; NaNs if the run has no such column, as older ones may not."""
        values = self.columns.get(name)
        return np.full(self.n_records, np.nan) if values is None else values

    def last(self, name: str) -> float:
        """The column's last finite value, or NaN."""
        values = self.column(name)
        finite = values[np.isfinite(values)]
        return float(finite[-1]) if len(finite) else float("nan")


@dataclass(frozen=True)
class Group:
    """Seeds of the same settings in the same environment.

    label  what tells it from the others of its environment
    name   what tells it from all others
    """

    label: str
    name: str
    runs: tuple[Run, ...]

    @property
    def env_id(self) -> str:
        """The environment."""
        return self.runs[0].env_id

    def has(self, column: str) -> bool:
        """Whether any run has a finite number there."""
        return any(np.isfinite(run.column(column)).any() for run in self.runs)


# -- reading --------------------------------------------------------------------------------------


def load(paths: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """The runs in the given folders, each a run's or one that has some below it, and remarks on
    those that were left out because they have no record yet, or are damaged.

    FileNotFoundError for what is not there; ValueError for a file, and, with the remarks, if no run
    is left.
    """
    runs, left_out, seen = [], [], set()
    for path in paths:
        for folder in find(Path(path)):
            if folder.resolve() in seen:
                continue
            seen.add(folder.resolve())
            try:
                run = read(folder)
            except ValueError as error:
                left_out.append(str(error))
                continue
            if run.n_records:
                runs.append(run)
            else:
                why = f"it failed: {run.error}" if run.error else "its first iteration is not done"
                left_out.append(f"{folder} has no record yet: {why}")
    if not runs:
        raise ValueError("; ".join(left_out))
    return runs, left_out


def find(path: Path) -> list[Path]:
    """The run folders at `path` or below it, seed2 before seed10."""
    if path.is_file():
        raise ValueError(
            f"{str(path)!r} is a file; name the folder of its run, {str(path.parent)!r}"
        )
    if not path.is_dir():
        known = [str(p) for p in (path.parent, Path("runs")) if p.is_dir() for p in p.iterdir()]
        match = nearest(str(path), known)
        hint = f"; did you mean {match!r}?" if match else ""
        raise FileNotFoundError(f"there is no run {str(path)!r}{hint}")
    if (path / PROGRESS).exists():
        return [path]
    found = {p.parent for name in (PROGRESS, CONFIG) for p in path.rglob(name)}
    found = found - {path} or found  # a folder of seeds may say what they share
    if not found:
        raise ValueError(f"{str(path)!r} is no run: there is no {PROGRESS} in it, nor below it")
    return sorted(found, key=_natural)


def _natural(path: Path) -> list[tuple[bool, int | str]]:
    words = re.split(r"(\d+)", str(path))
    return [(word.isdigit(), int(word) if word.isdigit() else word) for word in words]


def read(folder: Path) -> Run:
    """One run; without records if progress.csv is not there yet. ValueError for a damaged file.

    Its columns may be the keys of records, as `fasttrpo train` has them, or the tags of the log of
    a model that was told to write there: `set_logger(configure(folder, ["csv"]))`.
    """
    columns = read_csv(folder / PROGRESS) if (folder / PROGRESS).exists() else {}
    if _BY_TAG in columns:
        columns = _by_key(columns)
    if columns and "num_timesteps" not in columns:
        raise ValueError(f"{folder / PROGRESS} has no column num_timesteps")
    evaluation = _json(folder / EVALUATION) or _json(folder / _OLD_EVALUATION)
    evaluations = folder / EVALUATIONS
    told = read_csv(evaluations) if evaluations.exists() else {}
    config = _json(folder / CONFIG) or {}
    return Run(folder, config, columns, evaluation, told, _error(folder / ERROR))


def _by_key(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Columns by tag as a record has them; without the lines of evaluations, say."""
    told = {key_of(tag): values for tag, values in columns.items()}
    is_record = np.isfinite(told["iteration"])
    return {key: values[is_record] for key, values in told.items()}


def _error(path: Path) -> str:
    """The first line of what a traceback ends with, or "" if there is no such file: an exception's
    words may have more lines, and notes below them.
    """
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    lines = [line for line in text.splitlines() if line.strip()]
    places = [i for i, line in enumerate(lines) if line.startswith((" ", "Traceback"))]
    words = lines[max(places, default=-1) + 1 :] or lines[-1:]
    return words[0].strip() if words else ""


def read_csv(path: Path) -> dict[str, np.ndarray]:
    """The columns of a CSV file with a header; a last line that is still being written is left
    out. Lines are as they are on the disk, those of columns that came later filled up.
    """
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        text = file.read()
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
    rows = list(csv.reader(lines))
    if len(rows) < 2:
        return {}
    header, body = rows[0], [row for row in rows[1:] if row]
    padded = [row + [""] * (len(header) - len(row)) for row in body]
    return {name: _values(name, [row[i] for row in padded]) for i, name in enumerate(header)}


def _values(name: str, words: Sequence[str]) -> np.ndarray:
    if name in _TEXT:
        return np.array(words, object)
    return np.array([_number(word) for word in words])


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return {"True": 1.0, "False": 0.0}.get(word, float("nan"))


def _json(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None if there is no such file."""
    if not path.exists():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path} is damaged: it is no JSON object")
    return data


def check_column(runs: Sequence[Run], name: str) -> None:
    """ValueError, with the nearest name, if no run has such a column of numbers."""
    known = {column for run in runs for column in run.columns} - _TEXT
    if name not in known:
        raise ValueError(unknown("column", name, sorted(known)))


# -- grouping -------------------------------------------------------------------------------------


def grouped(runs: Sequence[Run]) -> list[Group]:
    """The runs as groups in the order of their first: the same environment, the same settings but
    for the seed and for what changes no number. Names say in what the groups differ.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(_key(run), []).append(run)
    members = [tuple(group) for group in groups.values()]
    labels = _labels(members)
    several = len({group[0].env_id for group in members}) > 1
    pairs = list(zip(labels, members, strict=True))
    return [Group(label, _name(label, g[0].env_id) if several else label, g) for label, g in pairs]


def _name(label: str, env_id: str) -> str:
    return env_id if label == env_id else f"{env_id}, {label}"


def group_settings(run: Run) -> dict[str, Any]:
    """The settings that seeds of one group share."""
    return {k: v for k, v in run.settings.items() if k not in _NOT_OF_A_GROUP}


def _key(run: Run) -> str:
    if not run.config:
        return f"folder {run.folder.resolve().parent}"
    settings = group_settings(run)
    # A schedule is over all of a run's steps.
    if any(isinstance(value, str) and value.startswith("linear") for value in settings.values()):
        settings["total_timesteps"] = run.config.get("total_timesteps")
    return json.dumps([run.env_id, settings], sort_keys=True, default=str)


def _labels(groups: Sequence[tuple[Run, ...]]) -> list[str]:
    """For each what tells it from the others of its environment: the settings in which they
    differ, or its folder; alone there, it is called as the environment is.
    """
    labels = []
    for group in groups:
        peers = [other for other in groups if other[0].env_id == group[0].env_id]
        told = _differences(group[0], [other[0] for other in peers])
        if len(peers) == 1:
            labels.append(group[0].env_id)
        elif 0 < len(told) <= MOST_NAMED:
            labels.append(", ".join(told))
        else:
            labels.append(_folder_name(group))
    return _distinct(labels, groups)


def _differences(run: Run, peers: Sequence[Run]) -> list[str]:
    """NAME=VALUE of each setting that a peer has otherwise, but for defaults (None)."""
    own, others = _flat(group_settings(run)), [_flat(group_settings(peer)) for peer in peers]
    differ = [k for k in own if any(other.get(k) != own[k] for other in others)]
    return [f"{k.removeprefix('policy_kwargs.')}={own[k]}" for k in differ if own[k] is not None]


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dictionaries within as "outer.inner"."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _folder_name(group: tuple[Run, ...]) -> str:
    """Of a single run its folder's name, of several their parent's."""
    folder = group[0].folder.resolve()
    same = len({run.folder.resolve().parent for run in group}) == 1
    return folder.parent.name if len(group) > 1 and same else folder.name


def _distinct(labels: list[str], groups: Sequence[tuple[Run, ...]]) -> list[str]:
    """Equal labels told apart by their folders."""
    pairs = list(zip(labels, (group[0] for group in groups), strict=True))
    keys = [(label, run.env_id) for label, run in pairs]
    return [
        f"{label} ({run.folder})" if keys.count((label, run.env_id)) > 1 else label
        for label, run in pairs
    ]
