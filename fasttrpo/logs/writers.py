"""Writes a log's values to the terminal, CSV, JSON lines and TensorBoard, a class for each format.

Each has `write(values, step)` and `close()`. `values` maps tags such as train/value_loss to numbers
or strings.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fasttrpo.errors import UserImportError
from fasttrpo.files.atomic import append, open_to_append, saving, write_text

# heading, tag, format
_COLUMNS = (
    ("iter", "time/iterations", "d"),
    ("steps", "time/total_timesteps", "d"),
    ("return", "rollout/ep_rew_mean", ".2f"),
    ("length", "rollout/ep_len_mean", ".1f"),
    ("kl", "train/kl_divergence_loss", ".5f"),
    ("gain", "train/policy_objective", ".5f"),
    ("entropy", "train/entropy", ".3f"),
    ("expl.var", "train/explained_variance", ".3f"),
    ("cg", "train/cg_steps", "d"),
    ("search", "train/line_search_steps", "d"),
    ("outcome", "train/outcome", "d"),
    ("steps/s", "time/steps_per_second", ".0f"),
)
_WIDTH = 10
_NAN = float("nan")


def table_header() -> str:
    """The headings, aligned with `table_row`."""
    return " ".join(f"{heading:>{_WIDTH}}" for heading, _, _ in _COLUMNS)


def table_row(values: dict[str, Any]) -> str:
    """One iteration as a line; missing values, such as the first returns, are nan."""
    cells = [format(values[tag], form) if tag in values else "nan" for _, tag, form in _COLUMNS]
    return " ".join(f"{cell:>{_WIDTH}}" for cell in cells)


class Rows:
    """A compact table in the terminal, one row per iteration."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._has_header = False

    def write(self, values: dict[str, Any], step: int = 0) -> None:
        """Prints a row, with a header before the first; nothing if no iteration ended."""
        if "time/iterations" not in values:
            return
        if not self._has_header:
            self._say(table_header())
        self._has_header = True
        self._say(table_row(values))

    def close(self) -> None:
        """Nothing to close."""


# -- Stable-Baselines3's table ---------------------------------------------------------------------

_INDENT = "   "
_MAX_TEXT = 36  # longer texts are shortened


def box(values: dict[str, Any]) -> str:
    """The values in a frame, grouped by the part of the tag before the slash."""
    lines: list[tuple[str, str]] = []
    heading = ""
    for tag, value in sorted(values.items()):
        group, slash, name = tag.rpartition("/")
        if slash and group != heading:
            heading = group
            lines.append((_cut(f"{group}/"), ""))
        lines.append((_cut(_INDENT + name if slash else name), _cut(_as_text(value))))
    left, right = (max(len(line[i]) for line in lines) for i in (0, 1))
    dashes = "-" * (left + right + 7)
    return "\n".join([dashes, *(f"| {a:<{left}} | {b:<{right}} |" for a, b in lines), dashes])


def _as_text(value: Any) -> str:
    # Joined to one line, because strings and arrays may have several.
    return f"{value:.3g}" if isinstance(value, float) else " ".join(str(value).split())


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 3] + "..."


class Box:
    """Stable-Baselines3's table in the terminal."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def write(self, values: dict[str, Any], step: int = 0) -> None:
        """One table."""
        self._say(box(values))

    def close(self) -> None:
        """Nothing to close."""


# -- files ----------------------------------------------------------------------------------------


_STEPS = ("num_timesteps", "time/total_timesteps")  # the column, by key or by tag


def _with_steps(values: dict[str, Any], step: int) -> dict[str, Any]:
    """Adds the steps of a callback's `dump(step)`, which a resumed run needs."""
    known = not step or any(name in values for name in _STEPS)
    return values if known else {**values, _STEPS[1]: step}


def _created(path: Path, text: str) -> Any:
    """Replaces the file by one with this text, opened for `append`."""
    write_text(path, text)
    return open_to_append(path)


class TextFile:
    """Base class of files to which entries are appended.

    resumed  steps of a run that continues, whose earlier entries are kept; 0: a new file
    """

    entry: re.Pattern
    """matches a complete entry of the file"""

    def __init__(self, path: Path, resumed: int = 0) -> None:
        self._path = path
        text = ""
        if resumed and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")  # a kill may split a letter
        self._file = _created(path, self._kept(text, resumed))

    def _kept(self, text: str, steps: int) -> str:
        """The text without incomplete entries, and without later ones, which will be rewritten."""
        end = 0
        for found in self.entry.finditer(text):
            if self.steps(found[0]) > steps:
                break
            end = found.end()
        return text[:end]

    def write(self, values: dict[str, Any], step: int = 0) -> None:
        """Appends an entry, and flushes it. Raises SaveError if the disk is full."""
        append(self._file, self._path, self.text(_with_steps(values, step)) + "\n")

    def text(self, values: dict[str, Any]) -> str:
        """The entry for the values."""
        raise NotImplementedError

    def steps(self, text: str) -> float:
        """The steps of the run in an entry; 0 if it does not contain them."""
        raise NotImplementedError

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class BoxFile(TextFile):
    """Stable-Baselines3's tables."""

    entry = re.compile(r"^(-+\n)(?:\|.*\n)+\1", re.MULTILINE)
    _STEPS = re.compile(r"^\|\s+total_timesteps\s+\|\s+(\d+)", re.MULTILINE)

    def text(self, values: dict[str, Any]) -> str:
        """A table."""
        return box(values)

    def steps(self, text: str) -> float:
        """The steps in the row total_timesteps."""
        found = self._STEPS.search(text)
        return float(found[1]) if found else 0


class JsonLines(TextFile):
    """One JSON object per line. nan and infinity, which JSON lacks, become null."""

    entry = re.compile(r".*\n")

    def text(self, values: dict[str, Any]) -> str:
        """An object."""
        return json.dumps({key: _for_json(value) for key, value in values.items()})

    def steps(self, text: str) -> float:
        """The steps in time/total_timesteps."""
        try:
            return float(json.loads(text).get("time/total_timesteps", 0))
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            return math.inf  # not written by this class


def _for_json(value: Any) -> Any:
    if hasattr(value, "tolist"):  # NumPy's
        value = value.tolist()
    if isinstance(value, list):
        return [_for_json(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | None) else str(value)


class ProgressFile:
    """A CSV file with one line per record. New keys add columns. A record's cell is empty for a key
    that it lacks.

    `write` flushes each line, so that a running or killed run can be read.

    resumed  steps of a run that continues, whose earlier lines are kept; 0: a new file
    """

    def __init__(self, path: str | os.PathLike, resumed: int = 0) -> None:
        self._path = Path(path)
        kept = _rows_of(self._path, resumed) if resumed else None
        self._header = kept[0] if kept else []
        self._file = _created(self._path, _as_csv(kept) if kept else "")

    def write(self, record: dict[str, Any], step: int = 0) -> None:
        """Appends a line. Raises SaveError if the disk is full."""
        record = _with_steps(record, step)
        new = [key for key in record if key not in self._header]
        if new and self._header:
            self._widen(new)
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._header or new, restval="")
        if not self._header:
            writer.writeheader()
        writer.writerow(record)
        append(self._file, self._path, text.getvalue())
        self._header = self._header or new

    def _widen(self, new: list[str]) -> None:
        """Adds columns by replacing the file atomically."""
        header, rows = [*self._header, *new], _rows_of(self._path)
        file = _created(self._path, _as_csv([header, *(rows[1:] if rows else [])]))
        self._file.close()
        self._file, self._header = file, header

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> ProgressFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _rows_of(path: Path, steps: int | None = None) -> list[list[str]] | None:
    """The header and the complete rows; None if there is no header.

    steps  omits rows of later steps
    """
    if not path.is_file():
        return None
    # A kill may split a character.
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        lines = [line for line in file if line.endswith("\n")]
    try:
        header, *rows = _parsed(lines)
    except (csv.Error, ValueError):  # no CSV, or no header
        return None
    at = next((header.index(name) for name in _STEPS if name in header), None)
    if steps is None or at is None:
        return [header, *rows]
    return [header, *(row for row in rows if len(row) <= at or _steps_in(row[at]) <= steps)]


def _parsed(lines: list[str]) -> list[list[str]]:
    """The rows, with fields of any length. Raises csv.Error for invalid CSV."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        return list(csv.reader(lines))
    finally:
        csv.field_size_limit(before)


def _steps_in(cell: str) -> float:
    """The steps as a number (a callback can record 1e3); 0 for an empty cell."""
    try:
        return float(cell or 0)
    except ValueError:  # not written by this class
        return math.inf


def _as_csv(rows: list[list[str]]) -> str:
    """The rows as CSV, padded to the width of the first."""
    width = len(rows[0])
    text = io.StringIO(newline="")
    csv.writer(text).writerows([*row, *[""] * (width - len(row))] for row in rows)
    return text.getvalue()


def tensorboard_parts() -> tuple[Any, Any, Any]:
    """event_pb2, summary_pb2 and EventFileWriter. Raises ImportError if the package is missing."""
    try:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError as error:
        raise UserImportError(
            "logs for TensorBoard need the package tensorboard: pip install 'fasttrpo[tensorboard]'"
        ) from error
    return event_pb2, summary_pb2, EventFileWriter


class TensorBoard:
    """An event file for TensorBoard, written by the package tensorboard. Warns once per tag of
    values that TensorBoard cannot show (`summaries`). Raises ImportError without the package.

    resumed  steps of a run that continues: TensorBoard hides later events of files in the folder
    """

    def __init__(self, folder: Path, resumed: int = 0) -> None:
        event_pb2, summary_pb2, EventFileWriter = tensorboard_parts()
        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._path = folder / "events.out.tfevents.*"
        # The suffix is unpredictable, because the file is opened even through a link of its name.
        self._file = EventFileWriter(str(folder), filename_suffix=f".{os.urandom(8).hex()}")
        self._warned: set[str] = set()
        if resumed:
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._add(step=resumed + 1, session_log=start)

    def _add(self, **content: Any) -> None:
        """Writes and flushes an event. Raises SaveError if the disk is full."""
        with saving(self._path):
            self._file.add_event(self._event(wall_time=time.time(), **content))
            self._file.flush()

    def write(self, values: dict[str, Any], step: int = 0) -> None:
        """Writes an event with all values that can be shown."""
        shown = [each for tag, value in values.items() for each in self._summaries(tag, value)]
        self._add(step=step, summary=self._summary(value=shown))

    def _summaries(self, tag: str, value: Any) -> list[Any]:
        """A value's summaries; none if it cannot be shown, because a log must not end a run."""
        from fasttrpo.logs import summaries

        try:
            return summaries.convert(tag, value)
        except Exception as error:
            if tag not in self._warned:
                self._warned.add(tag)
                kind, reason = type(value).__name__, " ".join(str(error).split())
                warnings.warn(
                    f"TensorBoard cannot show {tag!r}, of type {kind}, and omits it: {reason}",
                    UserWarning,
                    stacklevel=6,
                )
            return []

    def close(self) -> None:
        """Closes the file. Raises SaveError if the disk is full."""
        with saving(self._path):
            self._file.close()
