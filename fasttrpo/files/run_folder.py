"""The names of the files in a run's folder, and readers of its JSON files, which check every value:
the folder may be damaged or from somebody else.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fasttrpo.errors import UserError

CONFIG = "config.json"
PROGRESS = "progress.csv"
CHECKPOINT = "checkpoint.npz"
MODEL = "model.npz"
BEST = "best_model.npz"
EVALUATION = "evaluation.json"
EVALUATIONS = "evaluations.csv"
ERROR = "error.txt"
# In a folder of several seeds.
SUMMARY = "summary.json"

MAX_JSON = 4 << 20  # bytes; fasttrpo writes a few kilobytes
MAX_DEPTH = 20
MAX_SETTINGS = 1000
MAX_NAME = 4096
MAX_COUNT = 2**63 - 1
MAX_THREADS = 1024
MAX_NUMBER = 1e300
"""The largest finite number: sums and differences of such numbers do not overflow."""

Rules = Mapping[str, tuple[Callable[[Any], bool], str]]


class DamagedError(UserError):
    """A file has contents that no run can have written; the message names file and reason."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is damaged: {reason}")


def is_there(path: Path) -> bool:
    """Whether the file exists. Raises ValueError if it is not a regular file (a folder, or a pipe,
    which never ends) or cannot be examined.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise unreadable(path, error) from error
    if not stat.S_ISREG(mode):
        raise DamagedError(path, "it is not a file")
    return True


def unreadable(path: Path, error: OSError) -> ValueError:
    """The error for a file that cannot be read."""
    return UserError(f"{path} cannot be read: {error.strerror or error}")


def read_object(path: Path) -> dict[str, Any] | None:
    """Reads a JSON object; None if the file is missing. Raises DamagedError for anything else."""
    if not is_there(path):
        return None
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_JSON + 1)
    except OSError as error:
        raise unreadable(path, error) from error
    if len(text) > MAX_JSON:
        raise DamagedError(path, f"it has more than {MAX_JSON >> 20} MiB")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedError(path, str(error)) from error
    if not isinstance(data, dict):
        raise DamagedError(path, "it is not a JSON object")
    if _is_deeper(data, MAX_DEPTH):
        raise DamagedError(path, f"it is nested more than {MAX_DEPTH} levels deep")
    return data


def _is_deeper(value: Any, most: int) -> bool:
    """Whether objects and lists are nested more than `most` levels deep."""
    level = [value]
    for _ in range(most):
        within = [v.values() if isinstance(v, dict) else v for v in level]
        level = [v for values in within for v in values if isinstance(v, dict | list)]
    return bool(level)


def read_config(path: Path) -> dict[str, Any] | None:
    """Reads config.json; None if it is missing. Raises DamagedError for an invalid value; any value
    may be missing.
    """
    config = read_object(path)
    if config is not None:
        check(path, config, _CONFIG)
        check(path, config.get("settings", {}), _SETTINGS)
    return config


def read_evaluation(path: Path) -> dict[str, Any] | None:
    """Reads evaluation.json, like `read_config`."""
    evaluation = read_object(path)
    if evaluation is not None:
        check(path, evaluation, _EVALUATION)
    return evaluation


def check(path: Path, data: dict[str, Any], rules: Rules) -> None:
    """Raises DamagedError for the first value that breaks its rule."""
    for name, (holds, words) in rules.items():
        if name in data and not holds(data[name]):
            raise DamagedError(path, f"{name} must be {words}, got {_short(data[name])}")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# -- rules for values -----------------------------------------------------------------------------


def is_number(value: Any) -> bool:
    """Whether it is a number within `MAX_NUMBER`, or NaN or infinity, which runs can have."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= MAX_NUMBER or value in (math.inf, -math.inf) or value != value


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_COUNT


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and len(value) <= MAX_SETTINGS


_COUNT = _is_count, "an integer from 0 to 2^63 - 1"
_NUMBER = is_number, "a number"
_TABLE = _is_table, f"an object of at most {MAX_SETTINGS:,} values"
_CONFIG: Rules = {
    "env_id": (
        lambda v: isinstance(v, str) and 0 < len(v) <= MAX_NAME,
        f"a string of 1 to {MAX_NAME:,} characters",
    ),
    "total_timesteps": _COUNT,
    "eval_freq": (lambda v: v is None or (_is_count(v) and v > 0), "an integer >= 1 or null"),
    "eval_episodes": _COUNT,
    "settings": _TABLE,
    "system": _TABLE,
    "versions": _TABLE,
}
_SETTINGS: Rules = {
    "seed": (lambda v: v is None or (type(v) is int and abs(v) < 2**64), "an integer or null"),
    "policy": (lambda v: isinstance(v, str), "a string"),
    "n_threads": (
        lambda v: v is None or (type(v) is int and 1 <= v <= MAX_THREADS),
        f"an integer from 1 to {MAX_THREADS} or null",
    ),
}
_EVALUATION: Rules = {
    "mean_return": _NUMBER,
    "std_return": _NUMBER,
    "episodes": _COUNT,
    "deterministic": (lambda v: isinstance(v, bool), "true or false"),
    "returns": (lambda v: isinstance(v, list) and all(map(is_number, v)), "a list of numbers"),
}
