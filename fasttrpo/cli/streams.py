"""Standard output and error that may be closed, full, or read by nobody any more.

Python raises BrokenPipeError in `print`, or only when it flushes at its end. A command whose output
is all that it is for then ends, as other programs do; training goes on without an output.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

END, DISCARD = "end", "discard"


class OutputEndedError(BaseException):
    """Nobody takes what is printed. Not an Exception, for nothing but `main` is to catch it."""


class guarded:
    """In here `sys.stdout` and `sys.stderr` can be written to, whatever they are connected to.

    What cannot be written is dropped; of standard output, under END, OutputEndedError is raised.
    """

    def __init__(self, policy: str) -> None:
        self._policy = policy

    def __enter__(self) -> guarded:
        _open_closed_ones()
        self._before = sys.stdout, sys.stderr
        self._streams = _Guarded(sys.stdout, self._policy), _Guarded(sys.stderr, DISCARD)
        sys.stdout, sys.stderr = self._streams
        return self

    def discard(self) -> None:
        """From now on the policy is DISCARD."""
        self._streams[0].policy = DISCARD

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        sys.stdout, sys.stderr = self._before
        if kind not in (None, SystemExit):  # which says more than a lost output would
            self.discard()
        for stream in self._streams:
            stream.flush()


class _Guarded:
    """A text stream; only `policy` decides what comes of its errors."""

    def __init__(self, stream: Any, policy: str) -> None:
        self.policy = policy
        self._stream, self._is_lost = stream, False

    def write(self, text: str) -> int:
        """How many characters were written, or dropped."""
        written = self._attempt(self._stream.write, text)
        return len(text) if written is None else written

    def writelines(self, lines: Iterable[str]) -> None:
        """All of them."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """What was written, if anybody takes it."""
        self._attempt(self._stream.flush)

    def _attempt(self, call: Callable, *args: Any) -> Any:
        if self._is_lost:
            return None
        try:
            return call(*args)
        except (OSError, ValueError):
            if isinstance(sys.exception(), ValueError) and not self._stream.closed:
                raise  # a text that cannot be encoded
            self._lose()
            return None

    def _lose(self) -> None:
        """The null device takes its place, for what is buffered and for all who share the file."""
        self._is_lost = True
        with suppress(OSError, ValueError, AttributeError):  # of a stream that is no file
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
        if self.policy == END:
            raise OutputEndedError

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _open_closed_ones() -> None:
    """Opens the null device in place of what the caller closed, where the next file would be
    opened else, and be written to by whoever means standard error.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdout is None:  # what is printed there is lost, so writing must fail: read-only
        nobody = os.open(os.devnull, os.O_RDONLY)
        sys.stdout = open(nobody, "w", encoding="utf-8")  # noqa: SIM115 (until the end)
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
