"""What a command answers when it cannot be carried out: an exit code, one line for the user."""

from __future__ import annotations

from fasttrpo.envs.failures import RAN

FAILED = 1
INTERRUPTED = 130
OUTPUT_ENDED = 141  # as shells tell of a process that SIGPIPE ended
# What the library answers to values that it cannot work with.
REFUSALS = (ValueError, OverflowError, MemoryError, ImportError, FileNotFoundError)


class UsageError(Exception):
    """The command cannot be carried out as it was given; one line for the user."""


def line(error: BaseException) -> str:
    """The error in one line; where the user's own file raised it, with the place and its type."""
    kind, words = type(error).__name__, " ".join(str(error).split())
    for note in getattr(error, "__notes__", ()):
        if note.startswith(RAN):
            return f"{note.removeprefix(RAN)}: {kind}: {words}"
    return words or kind
