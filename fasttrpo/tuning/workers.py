"""Measures jobs side by side in processes.

Processes rather than threads, because most of Gymnasium's environments hold Python's lock. A
process that dies fails its job only. With one worker, jobs run in the caller's process.

Messages to a worker are a Job, or the answer to a report; from it, a report (part, return) or an
Outcome.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any

from fasttrpo.core.backend import LIBRARY_THREADS
from fasttrpo.tuning.measure import Job, Outcome, measure

# Of a worker, unless the user has set them. The working folder is not searched for modules before
# the caller's `sys.path` is in place.
_ENVIRONMENT = dict.fromkeys((*LIBRARY_THREADS, "PYTHONSAFEPATH"), "1")
# (key of the job, part of the training, running return) -> whether to go on
Report = Callable[[Any, int, float], bool]


class Workers:
    """Up to `n` workers; as a context manager, ends their processes."""

    def __init__(self, n: int) -> None:
        self._n, self._idle = n, list[_Worker]()
        self._running = dict[Connection, tuple[_Worker, Job]]()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in [*self._idle, *(worker for worker, _ in self._running.values())]:
            worker.kill()

    def run(self, jobs: Iterator[Job], report: Report) -> Iterator[tuple[Job, Outcome]]:
        """Yields jobs and outcomes as they end. Takes the next job only when a worker is free."""
        return self._run_here(jobs, report) if self._n == 1 else self._run(jobs, report)

    def _run_here(self, jobs: Iterator[Job], report: Report) -> Iterator[tuple[Job, Outcome]]:
        for job in jobs:
            yield job, measure(job, partial(report, job.key))

    def _run(self, jobs: Iterator[Job], report: Report) -> Iterator[tuple[Job, Outcome]]:
        while self._start(jobs):
            for ready in wait([*self._running]):
                assert isinstance(ready, Connection)
                worker, job = self._running[ready]
                message = worker.receive()
                if not isinstance(message, Outcome):
                    worker.send(report(job.key, *message))
                    continue
                del self._running[ready]
                if worker.process.is_alive():
                    self._idle.append(worker)
                yield job, message

    def _start(self, jobs: Iterator[Job]) -> bool:
        """Starts jobs until all workers are busy; returns whether any is."""
        while len(self._running) < self._n and (job := next(jobs, None)) is not None:
            worker = self._idle.pop() if self._idle else _Worker()
            self._running[worker.connection] = worker, job
            worker.send(job)
        return bool(self._running)


class _Worker:
    """A process that measures one job at a time."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _ignoring_interrupts(), _variables():
            self.process.start()
        theirs.close()

    def send(self, message: Any) -> None:
        """Sends a message; a dead process is noticed in `receive`."""
        with suppress(OSError):
            self.connection.send(message)

    def receive(self) -> Any:
        """The next message; an Outcome with an error if the process has died."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode or 0
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            return Outcome(error=f"the process of the trial {how}")

    def kill(self) -> None:
        """Ends the process, whatever it is doing."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(connection: Connection) -> None:
    """Measures jobs until the caller is gone."""

    def report(part: int, value: float) -> bool:
        connection.send((part, value))
        return connection.recv()

    with suppress(EOFError, OSError):
        while True:
            connection.send(measure(connection.recv(), report))


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """A process started in the block ignores Ctrl-C for good: the caller ends it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.SIG_DFL)


@contextmanager
def _variables() -> Iterator[None]:
    """A process started in the block has `_ENVIRONMENT`."""
    added = {name: value for name, value in _ENVIRONMENT.items() if name not in os.environ}
    os.environ |= added
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
