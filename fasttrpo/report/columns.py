"""Reads the CSV files of a run's folder as columns, in pieces, to keep memory use low.

Raises DamagedError for contents that no run can have written (binary data, a row longer than the
header, a number beyond 1e300) and for files that would need too much memory.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import TextIO

import numpy as np

from fasttrpo.files.run_folder import MAX_NUMBER, DamagedError, unreadable

MAX_COLUMNS = 10_000
MAX_VALUES = 20_000_000  # 160 MB of numbers; a million records have as many
MAX_LINE = 1 << 20  # characters
_PIECE = 1 << 20  # characters held as text at once
_TEXT = {"rejected", "ended", "train/rejected", "train/ended"}


def is_text(name: str) -> bool:
    """Whether the column contains text instead of numbers."""
    return name in _TEXT


def read_csv(path: Path) -> dict[str, np.ndarray]:
    """The columns of a CSV file with a header, (R,) each: float64 with NaN for missing numbers, or
    text as objects; {} if there are no rows.

    Ignores an incomplete last line. Rows may be shorter than the header: those written before a
    column was added.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
            return _read(path, _Lines(path, file))
    except OSError as error:
        raise unreadable(path, error) from error
    except csv.Error as error:
        raise DamagedError(path, str(error)) from error


class _Lines:
    """Reads a file's complete lines in pieces."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path, self._file = path, file

    def records(self, size: int) -> tuple[list[str], bool]:
        """The next lines, at least `size` characters if available, and whether some are quoted.
        They stop at the end of a record, after an even number of quotes; if that is too far away,
        the file is malformed and the CSV reader reports it.
        """
        lines, quotes = [], 0
        while (size > 0 or quotes % 2) and size > -_PIECE:
            line = self._line()
            if not line:
                break
            lines.append(line)
            size -= len(line)
            quotes += line.count('"')
        return lines, quotes > 0

    def _line(self) -> str:
        line = self._file.readline(MAX_LINE)
        if line.endswith(("\n", "\r")):
            return line
        if len(line) == MAX_LINE:
            raise DamagedError(self._path, f"a line has more than {MAX_LINE:,} characters")
        return ""


def _read(path: Path, lines: _Lines) -> dict[str, np.ndarray]:
    header = next(csv.reader(lines.records(1)[0], strict=True), [])
    if len(header) > MAX_COLUMNS:
        raise DamagedError(path, f"it has more than {MAX_COLUMNS:,} columns")
    parts: list[list[np.ndarray]] = [[] for _ in header]
    room = MAX_VALUES
    while (piece := lines.records(_PIECE))[0]:
        for name, part, values in zip(header, parts, _columns(path, header, *piece), strict=True):
            if not is_text(name) and np.any((np.abs(values) > MAX_NUMBER) & np.isfinite(values)):
                raise DamagedError(path, f"{name[:60]!r} has a number beyond {MAX_NUMBER:g}")
            part.append(values)
            room -= values.size if values.strides[0] else 0
        if room < 0:
            raise DamagedError(path, f"it has more than {MAX_VALUES:,} values")
    columns = {name: _joined(part) for name, part in zip(header, parts, strict=True) if part}
    return columns if any(map(len, columns.values())) else {}


def _columns(
    path: Path, header: Sequence[str], lines: Sequence[str], quoted: bool
) -> Iterable[np.ndarray]:
    """The records' columns, read by NumPy if possible, else by Python's csv, four times slower."""
    kinds = [(f"{i}", object if is_text(name) else float) for i, name in enumerate(header)]
    if kinds and not quoted and any(map(str.strip, lines)):  # NumPy warns if there are no rows
        with suppress(ValueError):  # an empty cell, a word, a row that is shorter
            table = np.loadtxt(lines, kinds, None, ",", ndmin=1, encoding=None)
            return [np.ascontiguousarray(table[name]) for name, _ in kinds]
    rows = list(filter(None, csv.reader(lines, strict=True)))
    longest = max(map(len, rows), default=0)
    if longest > len(header):
        raise DamagedError(path, f"a row has {longest} cells, the header {len(header)}")
    if len(rows) * longest > MAX_VALUES:
        raise DamagedError(path, f"it has more than {MAX_VALUES:,} values")
    words = zip_longest(*rows, fillvalue="")
    return [_values(name, next(words, None), len(rows)) for name in header]


def _values(name: str, words: Sequence[str] | None, n: int) -> np.ndarray:
    """A piece of one column; an empty one is a broadcast NaN, which needs no memory per row."""
    if is_text(name):
        return np.array(words or [""] * n, object)
    if words is None or not any(words):
        return np.broadcast_to(np.nan, n)
    try:
        return np.fromiter(map(float, words), float, n)
    except ValueError:
        return np.array([_number(word) for word in words])


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return {"True": 1.0, "False": 0.0}.get(word, float("nan"))


def _joined(part: list[np.ndarray]) -> np.ndarray:
    """Concatenates a column's pieces, and releases them."""
    if len(part) > 1 and any(piece.strides[0] for piece in part):
        part[:] = [np.concatenate(part)]
    return part[0] if len(part) == 1 else np.broadcast_to(np.nan, sum(map(len, part)))
