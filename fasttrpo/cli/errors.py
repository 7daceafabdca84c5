"""Which errors a command reports in one line, and the exit codes.

One line is enough for what the user can fix: `UserError`, and errors that the user's file raises
when it is loaded. Other errors, including those of the user's environment, keep their traceback.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fasttrpo.checks.printable import readable
from fasttrpo.envs.failures import RAN, SimulationError
from fasttrpo.errors import UserError
from fasttrpo.files.atomic import SaveError
from fasttrpo.stream.notes import is_from_environment

PACKAGE = os.path.join(Path(__file__).parents[1], "")
FAILED = 1
WRONG = 2
INTERRUPTED = 130
OUTPUT_ENDED = 141  # what a shell reports for a process killed by SIGPIPE


class UsageError(UserError):
    """The command line asks for something that is not possible."""


def line(error: BaseException) -> str:
    """The error in one line, with place and type if the user's file raised it."""
    words = error.strerror if isinstance(error, SaveError) else str(error)
    kind, words = type(error).__name__, " ".join(str(words).split())
    place = _place(error)
    return f"{place}: {kind}: {words}" if place else words or kind


def is_user_error(error: Exception) -> bool:
    """Whether one line is enough for the user to fix it."""
    if is_from_environment(error):
        return isinstance(error, SimulationError)
    return isinstance(error, UserError) or _place(error) != ""


def exit_code(error: Exception) -> int:
    """The exit code for a user error."""
    return FAILED if isinstance(error, SaveError) else WRONG


def _place(error: BaseException) -> str:
    """The line of the user's file that raised the error, or ""."""
    notes = getattr(error, "__notes__", ())
    return next((note.removeprefix(RAN) for note in notes if note.startswith(RAN)), "")


@contextmanager
def warnings_in_lines() -> Iterator[None]:
    """Prints each of this package's warnings once, in one line: the place where a command causes
    it would not help the user.
    """
    original = warnings.formatwarning
    printed: set[str] = set()

    def in_line(
        message: Any, category: Any, filename: str, lineno: int, line: str | None = None
    ) -> str:
        if not filename.startswith(PACKAGE):
            return original(message, category, filename, lineno, line)
        text = f"fasttrpo: warning: {readable(' '.join(str(message).split()))}\n"
        is_new = text not in printed
        printed.add(text)
        return text if is_new else ""

    warnings.formatwarning = in_line
    try:
        yield
    finally:
        warnings.formatwarning = original
