"""Runs tasks in child processes; one that fails or dies does not affect the others.

A child runs `child.py`, which does what `fasttrpo train --resume` does, with this process's
interpreter options and `sys.path`. `OtherModulesError` is raised if it imports modules from other
files. It reports over a pipe, one JSON object per line:

    {"modules": {name: file}, "system": {...}}   after loading the run
    {"steps": 400, "mean": -3.5, "kl": 0.01}     progress: steps since the last report, return, KL
    {"is_done": true, "result": -1.5}            finished: the mean return, null if not evaluated
    {"error": "...", "traceback": "..."}         failed

A child takes the CPU time of a solo run; the start of the command itself adds 0.6 s. Two seeds of
600,000 steps of Pendulum-v1 on two cores take 1.17 times as long as one (`bench.seeds`). Forked
workers that import while the folders are made are no faster: 1.31, to 1.28 in the same minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from fasttrpo.cli.errors import INTERRUPTED
from fasttrpo.cli.signals import deferred, ignored_from_terminal
from fasttrpo.core import backend
from fasttrpo.errors import UserImportError

PROGRAM = Path(__file__).with_name("child.py")
_GRACE = 10.0  # seconds for a child to exit after its last message
# Attribute of `sys.flags` -> interpreter option.
_OPTIONS = {
    "optimize": "-O",
    "dont_write_bytecode": "-B",
    "no_user_site": "-s",
    "no_site": "-S",
    "ignore_environment": "-E",
    "bytes_warning": "-b",
    "utf8_mode": "-Xutf8",
    "dev_mode": "-Xdev",
}

Watch = Callable[[Path, int, float, float], None] | None


@dataclass(frozen=True)
class Task:
    """The run to finish, and how: JSON values.

    settings, changes  what options change in its settings, and in its config.json
    """

    folder: str
    settings: dict[str, Any]
    changes: dict[str, Any]
    checkpoint_every: float
    formats: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """How a task ended: done or with an error; neither if it was interrupted."""

    task: Task
    is_done: bool = False
    result: float | None = None
    """the mean return; None if the run was not evaluated"""
    error: str = ""
    """one line"""
    traceback: str = ""


class OtherModulesError(UserImportError):
    """A child does not run the code that this process runs; the message says why."""


def run(tasks: Sequence[Task], jobs: int, watch: Watch) -> tuple[list[Outcome], bool]:
    """Runs up to `jobs` tasks at once. Returns their outcomes in order, and whether they were
    interrupted: Ctrl-C makes the children save and exit, a second one kills them.

    watch  called with a task's folder, the steps since its last call, the latest return and KL
    """
    children = _Children(watch)
    try:
        children.run(deque(tasks), jobs)
        interrupted = False
    except KeyboardInterrupt:
        interrupted = True
        with suppress(KeyboardInterrupt):
            children.interrupt()
    finally:
        children.kill()
    return [children.outcomes.get(task.folder, Outcome(task)) for task in tasks], interrupted


class _Children:
    """The running children, and the outcomes of those that ended."""

    def __init__(self, watch: Watch) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._watch = watch
        self._running: set[_Child] = set()
        self._messages: SimpleQueue = SimpleQueue()

    def run(self, waiting: deque[Task], jobs: int) -> None:
        """Runs the tasks until each has an outcome."""
        while waiting or self._running:
            while waiting and len(self._running) < jobs:
                self._running.add(_Child(waiting.popleft(), self._messages))
            self._receive()

    def interrupt(self) -> None:
        """Asks the children to save and exit, and waits for them."""
        for child in self._running:
            child.process.terminate()
        while self._running:
            self._receive()

    def kill(self) -> None:
        """Kills the children, ignoring Ctrl-C, which could only lose outcomes."""
        with ignored_from_terminal():
            for child in self._running:
                child.process.kill()
                child.process.wait()
        self._running.clear()

    def _receive(self) -> None:
        """Waits for one message and handles it."""
        child, message = self._messages.get()
        if child not in self._running:
            return
        if "modules" in message:
            check_same_modules(module_files(), message["modules"])
            _check_same_system(message["system"])
        elif "steps" in message:
            if self._watch is not None:
                folder, latest = Path(child.task.folder), (message["mean"], message["kl"])
                self._watch(folder, message["steps"], *latest)
        else:
            with deferred():
                self.outcomes[child.task.folder] = child.outcome(message)
                self._running.remove(child)


class _Child:
    """One process, and a thread that queues its messages, and {} when its pipe closes."""

    def __init__(self, task: Task, messages: SimpleQueue) -> None:
        self.task = task
        self._messages = messages
        read, write = os.pipe()
        job = json.dumps({"path": [*map(str, sys.path)], "task": vars(task)})
        with ignored_from_terminal():
            # The pipe is its standard input, which any platform can pass to a child.
            self.process = subprocess.Popen(
                [sys.executable, *_interpreter_options(), "-P", str(PROGRAM), job],
                stdin=write,
                env=dict.fromkeys(backend.LIBRARY_THREADS, "1") | os.environ,
            )
        os.close(write)
        threading.Thread(target=self._forward, args=(read,), daemon=True).start()

    def _forward(self, pipe: int) -> None:
        with open(pipe, encoding="ascii") as lines:
            for line in lines:
                if line.endswith("\n"):  # else a kill cut it off
                    self._messages.put((self, json.loads(line)))
        self._messages.put((self, {}))

    def outcome(self, last: dict[str, Any]) -> Outcome:
        """Waits until the process has exited; kills it if it hangs."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_GRACE)
        self.process.kill()
        code = self.process.wait()
        if last or code in (0, INTERRUPTED):
            return Outcome(self.task, **last)
        killed = f"its process was killed by signal {-code}"
        return Outcome(self.task, error=killed if code < 0 else f"exit code {code}")


def _interpreter_options() -> list[str]:
    """This interpreter's options."""
    options = [option for name, option in _OPTIONS.items() if getattr(sys.flags, name)]
    return [*options, *(f"-W{warning}" for warning in sys.warnoptions)]


def module_files() -> dict[str, str]:
    """The file of each loaded module, except the main program."""
    files = {name: getattr(module, "__file__", None) for name, module in [*sys.modules.items()]}
    return {n: f for n, f in files.items() if isinstance(f, str) and n not in _PROGRAMS}


_PROGRAMS = ("__main__", "__mp_main__")


def check_same_modules(ours: dict[str, str], theirs: dict[str, str]) -> None:
    """Raises OtherModulesError for the first module that the child loaded from another file."""
    for name in sorted(ours.keys() & theirs.keys()):
        here, there = ours[name], theirs[name]
        if here != there and os.path.realpath(here) != os.path.realpath(there):
            raise OtherModulesError(
                f"a child process imports {name} from {there}, not from {here}; "
                "rename one of them, or start Python in another folder"
            )


def _check_same_system(theirs: dict[str, Any]) -> None:
    """Raises OtherModulesError if the child's backend, precision or machine differs."""
    for name, value in backend.describe().items():
        if theirs[name] != value:
            raise OtherModulesError(f"{name} is {theirs[name]} in a child process, not {value}")
