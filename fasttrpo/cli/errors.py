"""Which errors a command reports in one line, and the exit codes.

One line is enough for what the user can fix: `UserError`, and errors that the user's file raises
when it is loaded. Other errors, including those of the user's environment, keep their traceback.
"""

from __future__ import annotations

from fasttrpo.envs.failures import RAN, SimulationError
from fasttrpo.errors import UserError
from fasttrpo.files.atomic import SaveError
from fasttrpo.stream.notes import is_from_environment

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
