"""What the user sees of a training run: table rows, a progress bar, `progress.csv`.

A record is a flat dict, one per iteration; `TRPO.learn` says what it holds.
"""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

from fasttrpo.files import saving, write_text

# heading, key of the record, format
_COLUMNS = (
    ("iter", "iteration", "d"),
    ("steps", "num_timesteps", "d"),
    ("return", "return_mean", ".2f"),
    ("length", "length_mean", ".1f"),
    ("kl", "kl", ".5f"),
    ("gain", "surr_gain", ".5f"),
    ("entropy", "entropy", ".3f"),
    ("expl.var", "explained_variance", ".3f"),
    ("cg", "cg_steps", "d"),
    ("search", "line_search_steps", "d"),
    ("outcome", "outcome", "d"),
    ("steps/s", "steps_per_second", ".0f"),
)
_WIDTH = 10


def table_header() -> str:
    """The headings, aligned with `table_row`."""
    return " ".join(f"{heading:>{_WIDTH}}" for heading, _, _ in _COLUMNS)


def table_row(record: dict[str, Any]) -> str:
    """One record as a line of the table."""
    return " ".join(f"{format(record[key], form):>{_WIDTH}}" for _, key, form in _COLUMNS)


class Display:
    """Shows a run as it goes; a context manager, so that the bar is closed whatever happens.

    verbose       0: no table; 1: a row every `log_interval` iterations, below a header
    progress_bar  a tqdm bar over `total` steps, with return, KL and steps/s (None: if it is a
                  terminal that shows it)
    """

    def __init__(
        self,
        total: int,
        verbose: int = 0,
        log_interval: int = 1,
        progress_bar: bool | None = False,
    ) -> None:
        self._verbose = verbose
        self._log_interval = log_interval
        self._rows = 0
        self._bar = None if progress_bar is False else _make_bar(total, progress_bar)

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, record: dict[str, Any]) -> None:
        """One more iteration."""
        if self._verbose:
            self._show_row(record)
        if self._bar is not None:
            self._bar.set_postfix_str(_postfix(record), refresh=False)
            self._bar.update(record["n_samples"])

    def _show_row(self, record: dict[str, Any]) -> None:
        # Printing through the bar keeps the rows above it.
        write = print if self._bar is None else self._bar.write
        if self._rows == 0:
            write(table_header())
        if self._rows % self._log_interval == 0:
            write(table_row(record))
        self._rows += 1


def hidden(progress_bar: bool | None) -> bool | None:
    """tqdm's `disable`: None, there as here, means unless on a terminal."""
    return None if progress_bar is None else not progress_bar


def _make_bar(total: int, shown: bool | None) -> Any:
    from tqdm.auto import tqdm

    disable = hidden(shown)
    return tqdm(total=total, unit="step", unit_scale=True, dynamic_ncols=True, disable=disable)


def _postfix(record: dict[str, Any]) -> str:
    return (
        f"return {record['return_mean']:.1f}, KL {record['kl']:.4f}, "
        f"{record['steps_per_second']:.0f} steps/s"
    )


def _keep_rows(path: Path, iterations: int) -> list[str] | None:
    """Drops what is not of the first `iterations`; the header, or None if there is none."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
    except (FileNotFoundError, ValueError):
        return None
    at = header.index("iteration")
    kept = io.StringIO(newline="")
    csv.writer(kept).writerows([header, *(row for row in rows if _is_among(row, at, iterations))])
    write_text(path, kept.getvalue())
    return header


def _is_among(row: list[str], at: int, iterations: int) -> bool:
    """Whether the row, which a kill may have cut short, is of the first iterations."""
    return len(row) > at and row[at].isdecimal() and int(row[at]) <= iterations


class ProgressFile:
    """A CSV file with one line per record; the first record's keys are the header.

    Each line is on the disk's side of Python's buffers before `write` returns, so that a run
    can be watched, and read after a kill.

    resumed  the number of iterations to go on after: the lines of later ones are dropped; 0: none
             is kept
    """

    def __init__(self, path: str | os.PathLike, resumed: int = 0) -> None:
        self._path = Path(path)
        header = _keep_rows(self._path, resumed) if resumed else None
        mode = "w" if header is None else "a"
        self._file = open(path, mode, newline="", encoding="utf-8")  # noqa: SIM115
        self._writer = None if header is None else csv.DictWriter(self._file, header)

    def write(self, record: dict[str, Any]) -> None:
        """One line. ValueError if the record has other keys than the first; SaveError where the
        disk is full.
        """
        with saving(self._path):
            if self._writer is None:
                self._writer = csv.DictWriter(self._file, fieldnames=list(record))
                self._writer.writeheader()
            self._writer.writerow(record)
            self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> ProgressFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
