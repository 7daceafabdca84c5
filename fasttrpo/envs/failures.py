"""The errors of simulations that fail."""

from __future__ import annotations

import os
from typing import NamedTuple

from fasttrpo.errors import UserError


class SimulationError(UserError):
    """A simulation failed, or returned NaN or infinity; the message says which, when and why.

    The other environments are unaffected: in `step`, those before it have stepped and those after
    it have not; in a compiled rollout all others have continued to its last row. `env` is the index
    of the environment, `step` the step of its episode (0: its reset).
    """

    def __init__(self, message: str, env: int, step: int) -> None:
        super().__init__(message)
        self.env, self.step = env, step

    def __reduce__(self) -> tuple:
        return type(self), (*self.args, self.env, self.step)


class CompileError(UserError):
    """A user's function cannot be compiled; the message has the file, the line and its text.

    `filename` and `line` (None if unknown) are for editors.
    """

    def __init__(self, message: str, filename: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.filename, self.line = filename, line


class Raised(NamedTuple):
    """An exception in a function called by a simulation, which cannot propagate through C."""

    function: str
    error: BaseException
    where: str
    """the file and line that raised it, or how to find them; may be empty"""

    def __str__(self) -> str:
        text = f"{self.function} raised {type(self.error).__name__}"
        text += f": {self.error}" if str(self.error) else ""
        return f"{text} ({self.where})" if self.where else text


# The start of the note on an exception from running a user's file; file and line follow.
RAN = "raised while running the file: "

# By the address of the simulation's state, which is unique.
_raised: dict[int, Raised] = {}


def note(state: int, function: str, error: BaseException, where: str) -> None:
    """Stores an exception for the code that reports the failure of the simulation at this state."""
    _raised[state] = Raised(function, error, where)


def line_of(filename: str, line: int) -> str:
    """The file and line in the form of `Raised.where`."""
    return f"{os.path.basename(filename)}, line {line}"


def noted(state: int) -> Raised | None:
    """The exception that was stored, or None."""
    return _raised.get(state)


def forget(first: int, end: int) -> None:
    """Drops the exceptions of simulations with states in this memory."""
    for state in [state for state in list(_raised) if first <= state < end]:
        _raised.pop(state, None)
