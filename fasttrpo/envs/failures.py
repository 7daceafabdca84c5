"""What a simulation that went wrong raises."""

from __future__ import annotations

import os
from typing import NamedTuple

from fasttrpo.errors import UserError


class SimulationError(UserError):
    """A simulation failed, or answered what is no number; the message says which, when and why.

    No other environment is harmed: in a step, those before it have stepped and those after it have
    not; in a compiled rollout all others have gone on to its last row. `env` is the failing one's
    index, `step` the step of its episode (0: its reset).
    """

    def __init__(self, message: str, env: int, step: int) -> None:
        super().__init__(message)
        self.env, self.step = env, step

    def __reduce__(self) -> tuple:
        return type(self), (*self.args, self.env, self.step)


class CompileError(UserError):
    """A function of the user's cannot be compiled; the message has the file, the line, its text.

    `filename` and `line` (None where unknown) are for editors.
    """

    def __init__(self, message: str, filename: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.filename, self.line = filename, line


class Raised(NamedTuple):
    """An exception from a function that a simulation called, which C could not let through."""

    function: str
    error: BaseException
    where: str
    """the file and line that raised it, or how to learn them; may be empty"""

    def __str__(self) -> str:
        text = f"{self.function} raised {type(self.error).__name__}"
        text += f": {self.error}" if str(self.error) else ""
        return f"{text} ({self.where})" if self.where else text


# Begins the note on what a file of the user's raised as it was run; the file and the line follow.
RAN = "raised as the file was run: "

# By the place of the simulation's state, of which no two live at once.
_raised: dict[int, Raised] = {}


def note(state: int, function: str, error: BaseException, where: str) -> None:
    """Keeps an exception for whoever learns that the simulation at this state failed."""
    _raised[state] = Raised(function, error, where)


def line_of(filename: str, line: int) -> str:
    """As `Raised.where` has it."""
    return f"{os.path.basename(filename)}, line {line}"


def noted(state: int) -> Raised | None:
    """The exception that was kept."""
    return _raised.get(state)


def forget(first: int, end: int) -> None:
    """Drops what was kept of the simulations whose states are in this memory."""
    for state in [state for state in list(_raised) if first <= state < end]:
        _raised.pop(state, None)
