"""Signals that end a command, and those that a terminal sends to all processes of a command."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def _existing(*names: str) -> tuple[signal.Signals, ...]:
    return tuple(getattr(signal, name) for name in names if hasattr(signal, name))


# `kill` sends SIGTERM; a terminal or connection that closes sends SIGHUP.
_ENDING = _existing("SIGTERM", "SIGHUP")
_FROM_TERMINAL = _existing("SIGINT", "SIGHUP")


@contextmanager
def deferred() -> Iterator[None]:
    """Delays Ctrl-C, SIGTERM and SIGHUP until the block ends."""
    received: list[int] = []
    with _handler(lambda number, frame: received.append(number), signal.SIGINT, *_ENDING):
        yield
    for number in received[:1]:
        signal.raise_signal(number)


@contextmanager
def as_keyboard_interrupt() -> Iterator[None]:
    """Turns the first SIGTERM or SIGHUP into KeyboardInterrupt and ignores the rest: when a
    terminal closes, both its shell and the system send one.
    """

    def interrupt(number: int, frame: Any) -> None:
        for each in _ENDING:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    with _handler(interrupt, *_ENDING):
        yield


@contextmanager
def ignored_from_terminal() -> Iterator[None]:
    """Ignores Ctrl-C and SIGHUP. A process started in the block ignores them for good."""
    with _handler(signal.SIG_IGN, *_FROM_TERMINAL):
        yield


@contextmanager
def _handler(handler: Any, *numbers: int) -> Iterator[None]:
    """Installs a handler, except for signals that are ignored already (nohup). Does nothing
    outside the main thread, where Python cannot install handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handled = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in handled}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old if old is not None else signal.SIG_DFL)
