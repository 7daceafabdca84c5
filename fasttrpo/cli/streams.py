"""Standard output and error that may be closed, full, or without a reader.

Python raises BrokenPipeError in `print`, or only when it flushes at exit. Most commands then end,
as other programs do; training continues without output.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

END, DISCARD = "end", "discard"


class OutputEndedError(BaseException):
    """Output can no longer be written. Not an Exception, so that only `main` catches it."""


class guarded:
    """In this context, writing to `sys.stdout` and `sys.stderr` never fails.

    What cannot be written is dropped. With the policy END, standard output raises OutputEndedError.
    """

    def __init__(self, policy: str) -> None:
        self._policy = policy

    def __enter__(self) -> guarded:
        _open_closed_streams()
        self._before = sys.stdout, sys.stderr
        self._streams = _Guarded(sys.stdout, self._policy), _Guarded(sys.stderr, DISCARD)
        sys.stdout, sys.stderr = self._streams
        return self

    def discard(self) -> None:
        """Changes the policy to DISCARD."""
        self._streams[0].policy = DISCARD

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        sys.stdout, sys.stderr = self._before
        if kind not in (None, SystemExit):  # the error matters more than lost output
            self.discard()
        for stream in self._streams:
            stream.flush()


class _Guarded:
    """A text stream whose errors `policy` handles."""

    def __init__(self, stream: Any, policy: str) -> None:
        self.policy = policy
        self._stream, self._is_lost = stream, False

    def write(self, text: str) -> int:
        """Returns the number of characters written or dropped."""
        written = self._attempt(self._stream.write, text)
        return len(text) if written is None else written

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes all lines."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flushes the stream unless it is lost."""
        self._attempt(self._stream.flush)

    def _attempt(self, call: Callable, *args: Any) -> Any:
        if self._is_lost:
            return None
        try:
            return call(*args)
        except (OSError, ValueError):
            if isinstance(sys.exception(), ValueError) and not self._stream.closed:
                raise  # the text cannot be encoded
            self._lose()
            return None

    def _lose(self) -> None:
        """Redirects the file to the null device, also for buffered data and other writers."""
        self._is_lost = True
        with suppress(OSError, ValueError, AttributeError):  # the stream is not a file
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
        if self.policy == END:
            raise OutputEndedError

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _open_closed_streams() -> None:
    """Opens the null device for each standard stream that is closed; otherwise the next file opened
    would get its number, and receive what is meant for standard error.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdout is None:  # read-only, so that writing fails: the output is lost
        null = os.open(os.devnull, os.O_RDONLY)
        sys.stdout = open(null, "w", encoding="utf-8")  # noqa: SIM115 (open until exit)
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
