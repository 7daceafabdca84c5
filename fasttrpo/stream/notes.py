"""Notes on exceptions raised by environments, which name the call."""

from __future__ import annotations

from typing import Any

_NOTE = "raised by the environment's "


class Noted:
    """A context manager that adds a note with the environment's `call` to exceptions."""

    def __init__(self, call: str) -> None:
        self._call = call

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, Exception):
            error.add_note(_NOTE + self._call)


def is_from_environment(error: BaseException) -> bool:
    """Whether the environment itself raised `error`."""
    return any(note.startswith(_NOTE) for note in getattr(error, "__notes__", ()))
