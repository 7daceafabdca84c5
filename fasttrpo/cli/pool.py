"""Tasks side by side in processes of their own: one that fails or dies takes no other along.

The processes run the same program as this one: the same interpreter flags, the same `sys.path`
and the same file for each module (`worker.py`), or the pool raises `OtherModulesError`.
multiprocessing would start them with the working folder in front of the path.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import multiprocessing.spawn
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fasttrpo
from fasttrpo.cli.streams import DISCARD, guarded
from fasttrpo.errors import UserImportError

_PROGRAM = Path(__file__).with_name("worker.py")
_GRACE = 10.0  # seconds that a process has to end in
# A terminal sends them to every process that it has; the pool passes them on.
_TERMINAL_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)
)
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


class OtherModulesError(UserImportError):
    """A process of the pool does not run the code that this one runs; the message says why."""


class Pool:
    """Runs `work(task, tell)` in up to `jobs` processes.

    work     a module's function; what it passes to `tell` is shown to `told(task, message)` here
    imports  modules that each process imports as it starts, as far as they are installed

    As a context it starts the processes at once, and ends them however it is left.
    """

    def __init__(
        self,
        work: Callable,
        jobs: int,
        told: Callable[[Any, Any], None] | None = None,
        imports: Sequence[str] = (),
    ) -> None:
        self._work, self._jobs, self._imports = work, jobs, imports
        self.told = told
        self._workers: dict[Any, _Worker] = {}

    def __enter__(self) -> Pool:
        with _one_thread_each():
            for _ in range(self._jobs):
                self._new_worker()
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()

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
        return self._new_worker()

    def _new_worker(self) -> _Worker:
        worker = _Worker(self._work, self._imports)
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
                if self.told is not None:
                    self.told(task, message)
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
        with _ignoring_terminal():
            for worker in self._workers.values():
                worker.end()
        self._workers.clear()


class _Worker:
    """A process, and the task that it is at: (number, task)."""

    def __init__(self, work: Callable, imports: Sequence[str]) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        command = [*_interpreter(), "-P", str(_PROGRAM), str(theirs.fileno())]
        with _ignoring_terminal():
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, **_handing_over(theirs)
            )
        theirs.close()  # so that its end is noticed
        parent = {"path": sys.path, "package": fasttrpo.__file__, "imports": [*imports]}
        with suppress(ConnectionError):  # of a process that died, which is heard of next
            self.connection.send(parent)
            self.connection.send(work)
        self.is_ready = False
        self.task: tuple[int, Any] | None = None

    def begin(self, number: int, task: Any) -> None:
        """OtherModulesError if the process does not run what this one runs."""
        if not self.is_ready:
            self._await_start()
        self.task = (number, task)
        with suppress(ConnectionError):
            self.connection.send(task)

    def _await_start(self) -> None:
        try:
            kind, told = self.connection.recv()
        except (EOFError, ConnectionError):
            kind, told = "failed", self.death()
        if kind == "failed":
            raise OtherModulesError(f"a process beside this one could not start: {told}")
        check_same_modules(module_files(), told)
        self.is_ready = True

    def death(self) -> str:
        """What it died of."""
        code = self.process.wait()
        return f"its process was killed by signal {-code}" if code < 0 else f"exit code {code}"

    def end(self) -> None:
        """Ends it, at once if it has a task or has not come as far as taking one."""
        if self.task or not self.is_ready:
            self.process.kill()
        with suppress(ConnectionError):
            self.connection.send(None)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_GRACE)
        self.process.kill()  # one that hangs as it ends
        self.process.wait()
        self.connection.close()


def _interpreter() -> list[str]:
    """The command that starts this interpreter, with the options that this process has."""
    executable, *options = multiprocessing.spawn.get_command_line()
    return [os.fsdecode(executable), *options[: options.index("-c")]]


def _handing_over(connection: Any) -> dict[str, Any]:
    """What lets a process that is started inherit the connection, for `Popen`."""
    if sys.platform == "win32":
        os.set_handle_inheritable(connection.fileno(), True)
        return {"close_fds": False}
    return {"pass_fds": [connection.fileno()]}


def module_files() -> dict[str, str]:
    """The file of each module that is loaded, but for the program itself."""
    files = {name: getattr(module, "__file__", None) for name, module in [*sys.modules.items()]}
    return {n: f for n, f in files.items() if isinstance(f, str) and n not in _PROGRAMS}


_PROGRAMS = ("__main__", "__mp_main__")


def check_same_modules(ours: dict[str, str], theirs: dict[str, str]) -> None:
    """OtherModulesError names the first module that comes from another file there than here."""
    for name in sorted(ours.keys() & theirs.keys()):
        here, there = ours[name], theirs[name]
        if here != there and os.path.realpath(here) != os.path.realpath(there):
            raise OtherModulesError(
                f"a process beside this one imports another {name}: {there}, not {here}; "
                "rename one of them, or start Python in another folder"
            )


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
def _ignoring_terminal() -> Iterator[None]:
    """Ctrl-C and the terminal's end have no effect in here; a process that is started in here
    ignores them from its first moment on.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _TERMINAL_SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old if old is not None else signal.SIG_DFL)


# -- in the process -------------------------------------------------------------------------------


def serve(connection: Any) -> None:
    """Does the tasks that come, until there is none or the parent is gone."""
    for number in _TERMINAL_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt_once)
    with guarded(DISCARD), suppress(EOFError, ConnectionError, KeyboardInterrupt):
        work = connection.recv()
        while (task := connection.recv()) is not None:
            connection.send(("ended", _outcome(connection, work, task)))


def _interrupt_once(number: int, frame: Any) -> None:
    """The first is Ctrl-C. One more, as where the sender means the whole group, is no reason to
    break off what the task saves at its end.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


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
