"""Tasks side by side in processes of their own: one that fails or dies takes no other along."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver
import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

# Forks and threads do not go together, so processes are new ones, or forks of one that has no
# threads: that saves each of them the imports. Other systems' numerical libraries forbid any fork.
_METHOD = "forkserver" if sys.platform == "linux" else "spawn"
_GRACE = 10.0  # seconds that a process has to end in
# Whose numerical libraries would start threads beside ours.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Outcome:
    """How a task ended; all but `task` empty: it was interrupted, or never begun."""

    task: Any
    value: Any = None
    error: str = ""
    """one line"""
    traceback: str = ""


class Pool:
    """Runs `work(task, tell)` in up to `jobs` processes.

    work  a module's function; what it passes to `tell` is shown to `told(task, message)` here
    """

    def __init__(self, work: Callable, jobs: int, told: Callable[[Any, Any], None]) -> None:
        self._work, self._jobs, self._told = work, jobs, told
        self._context = multiprocessing.get_context(_METHOD)
        self._workers: dict[Any, _Worker] = {}

    def run(self, tasks: Sequence[Any]) -> tuple[list[Outcome], bool]:
        """All tasks' outcomes in their order, and whether Ctrl-C cut it short: tasks then get a
        KeyboardInterrupt, and the time to end. A second Ctrl-C kills them.
        """
        outcomes: dict[int, Outcome] = {}
        interrupted = False
        try:
            with _one_thread_each():
                self._run(deque(enumerate(tasks)), outcomes)
        except KeyboardInterrupt:
            interrupted = True
            self._interrupt(outcomes)
        finally:
            self._end()
        return [outcomes.get(i, Outcome(task)) for i, task in enumerate(tasks)], interrupted

    def _run(self, waiting: deque, outcomes: dict[int, Outcome]) -> None:
        """Until every task has an outcome."""
        while waiting or self._busy():
            while waiting and len(self._busy()) < self._jobs:
                self._idle().begin(*waiting.popleft())
            self._hear(outcomes)

    def _busy(self) -> list[Any]:
        return [connection for connection, worker in self._workers.items() if worker.task]

    def _idle(self) -> _Worker:
        """A process without a task, a new one if there is none."""
        for worker in self._workers.values():
            if not worker.task:
                return worker
        worker = _Worker(self._context, self._work)
        self._workers[worker.connection] = worker
        return worker

    def _hear(self, outcomes: dict[int, Outcome]) -> None:
        """Waits until processes have something to say, and takes it."""
        for connection in multiprocessing.connection.wait(self._busy()):
            worker = self._workers[connection]
            assert worker.task is not None  # it is among the busy
            number, task = worker.task
            kind: str
            message: Any
            try:
                kind, message = worker.connection.recv()
            except (EOFError, ConnectionError):
                outcomes[number] = Outcome(task, error=worker.death())
                del self._workers[connection]
                continue
            if kind == "told":
                self._told(task, message)
            else:
                outcomes[number] = Outcome(task, **message)
                worker.task = None

    def _interrupt(self, outcomes: dict[int, Outcome]) -> None:
        with suppress(KeyboardInterrupt):
            for worker in self._workers.values():
                if worker.task:
                    worker.process.terminate()
            while self._busy():
                self._hear(outcomes)

    def _end(self) -> None:
        """No process is left. Ctrl-C would only lose what the tasks have come to: it is ignored."""
        with _ignoring_ctrl_c():
            for worker in self._workers.values():
                worker.end()
        self._workers.clear()


class _Worker:
    """A process, and the task that it is at: (number, task)."""

    def __init__(self, context: Any, work: Callable) -> None:
        self.connection, theirs = context.Pipe()
        given = theirs, work, dict(os.environ)
        self.process = context.Process(target=_serve, args=given, daemon=True)
        with _ignoring_ctrl_c():
            self.process.start()
        theirs.close()  # so that its end is noticed
        self.task: tuple[int, Any] | None = None

    def begin(self, number: int, task: Any) -> None:
        self.task = (number, task)
        with suppress(ConnectionError):  # of a process that died, which is heard of next
            self.connection.send(task)

    def death(self) -> str:
        """What it died of."""
        self.process.join()
        code = self.process.exitcode
        return f"its process was killed by signal {-code}" if code < 0 else f"exit code {code}"

    def end(self) -> None:
        if self.task:
            self.process.kill()
        with suppress(ConnectionError):
            self.connection.send(None)
        self.process.join(_GRACE)
        self.process.kill()  # one that hangs as it ends
        self.process.join()
        self.connection.close()


def prepare(modules: Sequence[str]) -> None:
    """Begins to import what the processes to come share, where they can; returns at once."""
    if _METHOD == "forkserver":
        multiprocessing.get_context(_METHOD).set_forkserver_preload(list(modules))
        with _one_thread_each(), _ignoring_ctrl_c():
            multiprocessing.forkserver.ensure_running()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """What is started in here does its linear algebra on one thread, unless told otherwise."""
    added = [name for name in _THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(added, "1"))
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def _ignoring_ctrl_c() -> Iterator[None]:
    """Nothing comes of the terminal's Ctrl-C in here; a process that is started in here ignores it
    from its first moment on.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.SIG_DFL)


# -- in the process -------------------------------------------------------------------------------


def _serve(connection: Any, work: Callable, environ: Mapping[str, str]) -> None:
    """Does the tasks that come, until there is none or the parent is gone."""
    os.environ.update(environ)  # a fork has those of the time when the first one was made
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the parent's to pass on
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(EOFError, ConnectionError, KeyboardInterrupt):
        while (task := connection.recv()) is not None:
            connection.send(("ended", _outcome(connection, work, task)))


def _outcome(connection: Any, work: Callable, task: Any) -> dict[str, Any]:
    """What `Outcome` is made of."""
    try:
        return {"value": work(task, lambda message: connection.send(("told", message)))}
    except KeyboardInterrupt:
        return {}
    except (Exception, SystemExit) as error:
        words = " ".join(str(error).split())
        line = f"{type(error).__name__}: {words}" if words else type(error).__name__
        return {"error": line, "traceback": traceback.format_exc()}
