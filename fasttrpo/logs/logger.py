"""Logs values by tag to several formats, with Stable-Baselines3's calls and tags.

    from fasttrpo.logs.logger import configure

    model.set_logger(configure("logs", ["stdout", "csv", "tensorboard"]))

In a callback `self.logger.record("custom/height", 1.5)` adds a value to the next `dump`, which
`TRPO.learn` calls every `log_interval` iterations. Values are numbers and strings; TensorBoard also
shows arrays as histograms, and `Figure`, `Image`, `Video` and `HParam` (`fasttrpo.logs.media`).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from glob import escape
from numbers import Number
from pathlib import Path
from typing import Any

from fasttrpo.checks.suggest import unknown
from fasttrpo.checks.values import integer, plain
from fasttrpo.errors import UserError, UserTypeError
from fasttrpo.files.run_folder import PROGRESS
from fasttrpo.logs.description import DescriptionFile
from fasttrpo.logs.media import Figure, HParam, Image, Video, medium
from fasttrpo.logs.writers import Box, BoxFile, JsonLines, ProgressFile, Rows, TensorBoard

__all__ = [
    "DEBUG",
    "DISABLED",
    "ERROR",
    "FORMATS",
    "INFO",
    "WARN",
    "Figure",
    "HParam",
    "Image",
    "Logger",
    "Video",
    "as_logger",
    "configure",
]

DEBUG, INFO, WARN, ERROR, DISABLED = 10, 20, 30, 40, 50
_IN_TERMINAL = ("stdout", "rows")
# Functions (logger, folder) -> writer.
_FORMATS: dict[str, Callable[[Logger, Path], Any]] = {
    "stdout": lambda logger, folder: Box(logger.say),
    "rows": lambda logger, folder: Rows(logger.say),
    "log": lambda logger, folder: BoxFile(folder / "log.txt", logger.resumed),
    "csv": lambda logger, folder: ProgressFile(folder / "progress.csv", logger.resumed),
    "json": lambda logger, folder: JsonLines(folder / "progress.json", logger.resumed),
    "tensorboard": lambda logger, folder: TensorBoard(folder, logger.resumed),
}
FORMATS = tuple(_FORMATS)


def configure(
    folder: str | os.PathLike | None = None,
    format_strings: Sequence[str] | None = None,
    resumed: int = 0,
) -> Logger:
    """Returns a logger that writes to `folder`, which is created if necessary.

    format_strings  any of "stdout" (a table per iteration), "rows" (a line per iteration), "log"
                    (the tables, in log.txt), "csv" (progress.csv), "json" (a JSON object per line,
                    progress.json) and "tensorboard" (an event file; the extra `tensorboard`);
                    None: stdout, log and csv
    resumed         `model.num_timesteps` of a run that continues: entries of later steps are
                    removed from the files; 0: the files are overwritten

    Raises ValueError for an unknown format and for files without a folder, TypeError for a string.
    """
    if isinstance(format_strings, str):
        raise UserTypeError(
            f"format_strings must be a list: configure(folder, [{format_strings!r}])"
        )
    formats = ("stdout", "log", "csv") if format_strings is None else tuple(format_strings)
    for name in formats:
        if name not in FORMATS:
            raise UserError(unknown("log format", name, FORMATS))
    in_files = [name for name in formats if name not in _IN_TERMINAL]
    if folder is None and in_files:
        raise UserError(f"the log format {in_files[0]!r} needs a folder: configure(folder, ...)")
    return Logger(folder, formats, resumed)


class Logger:
    """Collects values by tag until `dump` writes them. Created by `configure`.

    name_to_value  the values of the next `dump`
    """

    def __init__(
        self,
        folder: str | os.PathLike | None,
        formats: Iterable[str] = (),
        resumed: int = 0,
    ) -> None:
        self.resumed: int = integer(0)("resumed", resumed)
        self.dir = None if folder is None else str(folder)
        self.level = INFO
        self.print: Callable[[str], Any] = print
        self.name_to_value: dict[str, Any] = {}
        self._name_to_count: dict[str, int] = {}
        self._excluded: dict[str, tuple[str, ...]] = {}
        self._recorded: dict[str, Any] = {}
        self._warned: set[tuple[str, str]] = set()
        path = Path(folder or ".")
        if folder is not None:
            path.mkdir(parents=True, exist_ok=True)
        self._writers = {name: _FORMATS[name](self, path) for name in formats}
        self._description = DescriptionFile(path, self.resumed)
        self._last_step = self.resumed

    @property
    def has_writers(self) -> bool:
        """Whether `dump` writes anywhere."""
        return bool(self._writers)

    @property
    def has_progress(self) -> bool:
        """Whether `dump` writes progress.csv, which makes the folder a run for reports."""
        return "csv" in self._writers

    def describe(self, run: dict[str, Any], first_step: int) -> None:
        """Writes what `learn` learns, with which settings, beside progress.csv (`description`).

        first_step  `model.num_timesteps` where `learn` starts
        """
        if self.has_progress:
            self._description.add(run, first_step, self._last_step)

    def describe_end(self, reason: str) -> None:
        """Adds why `learn` ended early."""
        self._description.end(reason)

    def say(self, text: str) -> None:
        """Prints a message on the terminal, above a progress bar if there is one."""
        self.print(text)

    def record(self, key: str, value: Any, exclude: str | Sequence[str] | None = None) -> None:
        """Sets a value of the next `dump`, replacing an earlier one of the same key.

        exclude  formats that do not show it
        """
        self._recorded[key] = value
        self.put(key, value, exclude)

    def put(self, key: str, value: Any, exclude: str | Sequence[str] | None = None) -> None:
        """Like `record`, for values that the iteration's record contains already."""
        self.name_to_value[key] = value
        excluded = (exclude,) if isinstance(exclude, str) else tuple(exclude or ())
        # Stable-Baselines3 treats both as one format; scripts name either.
        self._excluded[key] = (*excluded, *_TABLES) if {*excluded} & {*_TABLES} else excluded

    def record_mean(
        self, key: str, value: float | None, exclude: str | Sequence[str] | None = None
    ) -> None:
        """Like `record`, but `dump` writes the mean of the values since the last. Ignores None."""
        if value is None:
            return
        count = self._name_to_count.get(key, 0)
        mean = self.name_to_value.get(key, 0.0)
        self.record(key, mean + (value - mean) / (count + 1), exclude)
        self._name_to_count[key] = count + 1

    def dump(self, step: int = 0) -> None:
        """Writes and clears the recorded values.

        step  `model.num_timesteps`; written as time/total_timesteps unless that was recorded
        """
        if self.level == DISABLED:
            return
        for name, writer in self._writers.items():
            shown = {key: self.name_to_value[key] for key in self._shown_by(name)}
            if shown:
                writer.write(shown, step)
        self.name_to_value, self._name_to_count, self._excluded = {}, {}, {}
        self._last_step = step

    def _shown_by(self, name: str) -> list[str]:
        """The keys that a format shows. Warns once per key of media that it cannot show."""
        keys = []
        for key, value in self.name_to_value.items():
            if name in self._excluded[key]:
                continue
            kind = "" if name == "tensorboard" else medium(value)
            if not kind:
                keys.append(key)
            elif name != "rows" and (name, key) not in self._warned:
                self._warned.add((name, key))
                warnings.warn(
                    f"the log format {name!r} cannot show {key!r}, of type {kind}, and omits it; "
                    f"record(..., exclude={name!r}) silences this warning",
                    UserWarning,
                    stacklevel=4,
                )
        return keys

    def take_recorded(self) -> dict[str, Any]:
        """Returns and clears the values recorded since the last call, dumped or not, for the
        iteration's record: only numbers and strings, because others would make that large.
        """
        recorded = {key: plain(value) for key, value in self._recorded.items()}
        self._recorded = {}
        return {
            key: value
            for key, value in recorded.items()
            if key not in _TAGS.values() and (value is None or isinstance(value, str | Number))
        }

    def log(self, *args: Any, level: int = INFO) -> None:
        """Prints the arguments if the level is high enough and the logger prints to a terminal."""
        if self.level <= level and any(name in self._writers for name in _IN_TERMINAL):
            self.say(" ".join(map(str, args)))

    def debug(self, *args: Any) -> None:
        """`log` at the level DEBUG."""
        self.log(*args, level=DEBUG)

    def info(self, *args: Any) -> None:
        """`log` at the level INFO."""
        self.log(*args, level=INFO)

    def warn(self, *args: Any) -> None:
        """`log` at the level WARN."""
        self.log(*args, level=WARN)

    def error(self, *args: Any) -> None:
        """`log` at the level ERROR."""
        self.log(*args, level=ERROR)

    def set_level(self, level: int) -> None:
        """Messages of a lower level are not printed; DISABLED stops `dump` too."""
        self.level = level

    def get_dir(self) -> str | None:
        """The folder."""
        return self.dir

    def close(self) -> None:
        """Closes the files."""
        for writer in self._writers.values():
            writer.close()


def for_learning(verbose: int, folder: str | None, name: str, resumed: int | None) -> Logger:
    """The logger of one `learn`: prints tables if `verbose`, logs to TensorBoard if given a folder.

    The TensorBoard run is a new folder name_N with the next free N. A run that continues (from
    `resumed` steps) uses the last one, unless that is a link, which could lead anywhere.
    """
    formats = ["stdout"] if verbose else []
    if folder is None:
        return Logger(None, formats)
    last = max(_runs(Path(folder), name), default=0)
    path, following = (Path(folder) / f"{name}_{number}" for number in (last, last + 1))
    continues = resumed is not None and last > 0 and not path.is_symlink()
    return Logger(path if continues else following, [*formats, "tensorboard"], resumed or 0)


def _runs(folder: Path, name: str) -> list[int]:
    """The existing numbers. The name can contain folders and special characters."""
    first = folder / f"{name}_"
    ends = (p.name.removeprefix(first.name) for p in first.parent.glob(f"{escape(first.name)}*"))
    return [int(end) for end in ends if end.isdecimal()]


# -- Stable-Baselines3 loggers ---------------------------------------------------------------------


class WrappedLogger(Logger):
    """Passes its values to a Stable-Baselines3 logger that a script created.

    given  the Stable-Baselines3 logger, whose formats write the values
    """

    def __init__(self, given: Any) -> None:
        super().__init__(given.get_dir())
        self.given = given

    @property
    def has_writers(self) -> bool:
        """Always True, because the other logger's formats are unknown."""
        return True

    @property
    def has_progress(self) -> bool:
        """Whether the other logger has made progress.csv."""
        return self.dir is not None and (Path(self.dir) / PROGRESS).is_file()

    def dump(self, step: int = 0) -> None:
        """Writes what was recorded by either logger."""
        for key, value in self.name_to_value.items():
            self.given.record(key, value, exclude=self._excluded[key])
        super().dump(step)
        self.given.dump(step)

    def log(self, *args: Any, level: int = INFO) -> None:
        """Calls the other logger."""
        self.given.log(*args, level=level)

    def set_level(self, level: int) -> None:
        """Sets the level of both loggers."""
        super().set_level(level)
        self.given.set_level(level)

    def close(self) -> None:
        """Closes the other logger's files."""
        self.given.close()


_SB3_METHODS = ("record", "dump", "log", "set_level", "get_dir", "close")


def as_logger(logger: Any) -> Logger:
    """Returns the logger itself, or wraps a Stable-Baselines3 logger, which is recognised by its
    methods. Raises TypeError for other objects.
    """
    if isinstance(logger, Logger):
        return logger
    if isinstance(logger, type) or not all(hasattr(logger, name) for name in _SB3_METHODS):
        raise UserTypeError(
            f"set_logger needs a logger from fasttrpo.configure(...), got {logger!r}"
        )
    return WrappedLogger(logger)


# -- a record's tags ------------------------------------------------------------------------------

# Keys of a record that have a tag in Stable-Baselines3's logs. Its tables show only these.
_TAGS = {
    "iteration": "time/iterations",
    "num_timesteps": "time/total_timesteps",
    "return_mean": "rollout/ep_rew_mean",
    "length_mean": "rollout/ep_len_mean",
    "success_rate": "rollout/success_rate",
    "kl": "train/kl_divergence_loss",
    "surr_gain": "train/policy_objective",
    "value_loss": "train/value_loss",
    "explained_variance": "train/explained_variance",
    "learning_rate": "train/learning_rate",
    "std": "train/std",
}
_GROUPS = {"episodes": "rollout", "steps_per_second": "time"}
_TABLES = ("stdout", "log")
_KEYS = {tag: key for key, tag in _TAGS.items()}


def key_of(tag: str) -> str:
    """The record's key for a tag that `log_record` writes: return_mean for rollout/ep_rew_mean."""
    group, _, name = tag.rpartition("/")
    return _KEYS.get(tag, name if group in ("rollout", "time", "train") else tag)


def log_record(logger: Logger, record: dict[str, Any]) -> None:
    """Adds an iteration's record, or some of it, to the log, without nan values."""
    for key, value in record.items():
        if "/" in key or (isinstance(value, float) and value != value):
            continue
        tag = _TAGS.get(key)
        group = _GROUPS.get(key, "time" if key.startswith("seconds_") else "train")
        excluded: tuple[str, ...] = () if tag else _TABLES
        # TensorBoard would show a page of text, with a new entry for each iteration.
        excluded += ("tensorboard",) if isinstance(value, str) else ()
        logger.put(tag or f"{group}/{key}", value, exclude=excluded)
    if "outcome" in record:
        logger.put("train/n_updates", record["iteration"])
        logger.put("train/is_line_search_success", float(record["outcome"] == 0))
