"""Which errors a command shows in one line, and the exit codes.

One line is for what the user can put right: `UserError`, and what a file of the user's raises as it
is run. Everything else is shown with its traceback, what the user's environment raises among it.
"""

from __future__ import annotations

from fasttrpo.envs.failures import RAN, SimulationError
from fasttrpo.errors import UserError
from fasttrpo.files.atomic import SaveError
from fasttrpo.stream.notes import is_from_environment

FAILED = 1
WRONG = 2
INTERRUPTED = 130
OUTPUT_ENDED = 141  # as shells report a process that SIGPIPE ended


class UsageError(UserError):
    """The command cannot be carried out as it was given."""


def line(error: BaseException) -> str:
    """The error in one line; if the user's own file raised it, with the place and its type."""
    words = error.strerror if isinstance(error, SaveError) else str(error)
    kind, words = type(error).__name__, " ".join(str(words).split())
    place = _place(error)
    return f"{place}: {kind}: {words}" if place else words or kind


def is_the_users(error: Exception) -> bool:
    """Whether one line says what the user needs to know."""
    if is_from_environment(error):
        return isinstance(error, SimulationError)
    return isinstance(error, UserError) or _place(error) != ""


def exit_code(error: Exception) -> int:
    """What the command returns for one of the user's errors."""
    return FAILED if isinstance(error, SaveError) else WRONG


def _place(error: BaseException) -> str:
    """Where the user's own file raised it as it was run, or ""."""
    notes = getattr(error, "__notes__", ())
    return next((note.removeprefix(RAN) for note in notes if note.startswith(RAN)), "")
