"""Notes on exceptions: which of them an environment raised, and in which of its calls."""

from __future__ import annotations

from typing import Any

_NOTE = "raised by the environment's "


class Noted:
    """An exception from in here passes through, with a note on which of its calls raised it."""

    def __init__(self, call: str) -> None:
        self._call = call

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, Exception):
            error.add_note(_NOTE + self._call)


def is_environments(error: BaseException) -> bool:
    """Whether the environment itself raised `error`."""
    return any(note.startswith(_NOTE) for note in getattr(error, "__notes__", ()))
