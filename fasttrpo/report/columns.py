"""CSV files of a run's folder as columns, read in pieces: the text is never in memory as a whole.

What no run can have written (binary junk, a row longer than the header, a number beyond 1e300) is
a DamagedError; so is what would take more memory than a report may.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TextIO

import numpy as np

from fasttrpo.run_files import LARGEST, DamagedError, unreadable

MOST_COLUMNS = 10_000
MOST_VALUES = 20_000_000  # 160 MB of numbers; a million records have as many
LONGEST_LINE = 1 << 20  # characters
_PIECE_CELLS, _PIECE_CHARACTERS = 1 << 17, 1 << 21  # held as text at once
_TEXT = {"rejected", "ended", "train/rejected", "train/ended"}


def is_text(name: str) -> bool:
    """Whether the column has words, not numbers."""
    return name in _TEXT


def read_csv(path: Path) -> dict[str, np.ndarray]:
    """The columns of a CSV file with a header, (R,) each: float64, NaN where there is no number,
    or text as objects; {} without a row.

    A last line that is still being written is left out. Rows may be shorter than the header, as
    those before a column came.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
            return _read(path, _Lines(path, file))
    except OSError as error:
        raise unreadable(path, error) from error
    except csv.Error as error:
        raise DamagedError(path, str(error)) from error


class _Lines:
    """A file's whole lines. taken: characters so far."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path, self._file = path, file
        self.taken = 0

    def __iter__(self) -> Iterator[str]:
        while line := self._file.readline(LONGEST_LINE):
            if not line.endswith(("\n", "\r")):
                if len(line) == LONGEST_LINE:
                    words = f"a line has more than {LONGEST_LINE:,} characters"
                    raise DamagedError(self._path, words)
                return
            self.taken += len(line)
            yield line


def _read(path: Path, lines: _Lines) -> dict[str, np.ndarray]:
    rows = csv.reader(lines, strict=True)
    header = next(rows, [])
    if len(header) > MOST_COLUMNS:
        raise DamagedError(path, f"it has more than {MOST_COLUMNS:,} columns")
    parts: list[list[np.ndarray]] = [[] for _ in header]
    room = MOST_VALUES
    for piece in _pieces(path, lines, rows, len(header)):
        columns = zip_longest(*piece, fillvalue="")
        for name, part, words in zip_longest(header, parts, columns):
            part.append(_values(path, name, words, len(piece)))
            room -= part[-1].size if part[-1].strides[0] else 0
        if room < 0:
            raise DamagedError(path, f"it has more than {MOST_VALUES:,} values")
    return {name: _joined(part) for name, part in zip(header, parts, strict=True) if part}


def _pieces(
    path: Path, lines: _Lines, rows: Iterable[list[str]], width: int
) -> Iterator[list[list[str]]]:
    """The rows that are not empty, some at a time."""
    piece: list[list[str]] = []
    begun = lines.taken
    for number, row in enumerate(rows, start=1):
        if len(row) > width:
            raise DamagedError(path, f"row {number} has {len(row)} cells, the header {width}")
        if not row:
            continue
        piece.append(row)
        if len(piece) * width >= _PIECE_CELLS or lines.taken - begun >= _PIECE_CHARACTERS:
            yield piece
            piece, begun = [], lines.taken
    if piece:
        yield piece


def _values(path: Path, name: str, words: Sequence[str] | None, n: int) -> np.ndarray:
    """One column's piece; where it is empty, one value that takes no memory for each row."""
    if is_text(name):
        return np.array(words or [""] * n, object)
    if words is None or not any(words):
        return np.broadcast_to(np.nan, n)
    try:
        values = np.fromiter(map(float, words), float, n)
    except ValueError:
        values = np.array([_number(word) for word in words])
    if np.any((np.abs(values) > LARGEST) & np.isfinite(values)):
        raise DamagedError(path, f"a number in column {name[:60]!r} is beyond {LARGEST:g}")
    return values


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return {"True": 1.0, "False": 0.0}.get(word, float("nan"))


def _joined(part: list[np.ndarray]) -> np.ndarray:
    """The column, whose pieces are given back."""
    if len(part) > 1 and any(piece.strides[0] for piece in part):
        part[:] = [np.concatenate(part)]
    return part[0] if len(part) == 1 else np.broadcast_to(np.nan, sum(map(len, part)))
