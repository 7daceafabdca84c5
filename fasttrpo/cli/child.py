"""The program that a child process runs: `python -P child.py JOB`, see `children.py`.

JOB is JSON: the parent's `sys.path` and a task. Standard input is the pipe to the parent.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

_REPORT_EVERY = 0.1  # seconds

Report = Callable[[dict[str, Any]], None]


def main() -> int:
    """Finishes the task's run; returns the exit code."""
    report = connect()
    job = json.loads(sys.argv[1])
    sys.path[:] = job["path"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the parent has shown them
        _load("fasttrpo", Path(__file__).parents[1] / "__init__.py")
        import fasttrpo.trpo  # noqa: F401

    from fasttrpo.cli.errors import INTERRUPTED, warnings_in_lines
    from fasttrpo.cli.signals import as_keyboard_interrupt
    from fasttrpo.cli.streams import DISCARD, guarded

    try:
        with warnings_in_lines(), guarded(DISCARD), as_keyboard_interrupt():
            report(_outcome(job["task"], report))
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def connect() -> Report:
    """Returns a function that sends a message to the parent. If the parent is gone, the function
    raises KeyboardInterrupt, so that the run saves and ends.
    """
    pipe, null = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)

    def report(message: dict[str, Any]) -> None:
        line = json.dumps(message).encode() + b"\n"
        try:
            while line:
                line = line[os.write(pipe, line) :]
        except OSError:
            raise KeyboardInterrupt from None

    return report


def _load(name: str, file: Path) -> None:
    """Imports the package from this __init__.py, even if `sys.path` has another of that name."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def _outcome(task: dict[str, Any], report: Report) -> dict[str, Any]:
    """Runs the task; returns the last message."""
    from fasttrpo.files.atomic import alone_in
    from fasttrpo.files.run_folder import ERROR

    folder = Path(task.pop("folder"))
    try:
        with alone_in(folder), _traceback_kept(folder / ERROR):
            return {"is_done": True, "result": _finish(folder, report, **task)}
    except (Exception, SystemExit) as error:
        words = " ".join(str(error).split())
        line = f"{type(error).__name__}: {words}" if words else type(error).__name__
        return {"error": line, "traceback": traceback.format_exc()}


@contextmanager
def _traceback_kept(path: Path) -> Iterator[None]:
    """Writes the traceback of a failure to the file."""
    from fasttrpo.files.atomic import SaveError, write_text

    try:
        yield
    except (Exception, SystemExit):
        with suppress(SaveError):  # a full disk may be the failure
            write_text(path, traceback.format_exc())
        raise


def _finish(
    folder: Path,
    report: Report,
    settings: dict[str, Any],
    changes: dict[str, Any],
    checkpoint_every: float,
    formats: list[str],
) -> float | None:
    """Trains the remaining steps and evaluates; returns the mean return, or None if the run has no
    evaluation.
    """
    from fasttrpo.cli import consent, logs, resume, training
    from fasttrpo.cli.children import module_files
    from fasttrpo.cli.runs import read_config
    from fasttrpo.core import backend

    consent.admit(read_config(folder)["env_id"])  # agreed to in the parent
    resumed = resume.load(folder, settings, None, changes)
    report({"modules": module_files(), "system": backend.describe()})
    plan = resumed.plan(checkpoint_every)
    if resumed.is_finished:
        return resume.evaluation_of(folder)["mean_return"] if plan.eval_episodes else None
    resume.prepare(resumed)
    played: Sequence[Any] = ()
    if not resumed.is_trained:
        logs.attach(resumed.model, folder, tuple(formats))
        progress = _Progress(report)
        played = training.learn(resumed.model, plan, False, progress.add)
        progress.report()
    result = training.evaluate(resumed.model, plan, False, played)
    return None if result is None else result["mean_return"]


class _Progress:
    """Reports steps, return and KL at most every `_REPORT_EVERY` seconds."""

    def __init__(self, report: Report) -> None:
        self._report, self._last = report, -_REPORT_EVERY
        self._steps, self._return, self._kl = 0, float("nan"), float("nan")

    def add(self, record: dict[str, Any]) -> None:
        """Adds an iteration, and reports if it is time to."""
        self._steps += record["n_samples"]
        self._return, self._kl = record["return_mean"], record["kl"]
        if monotonic() - self._last >= _REPORT_EVERY:
            self.report()

    def report(self) -> None:
        """Reports the steps since the last report, and the latest return and KL."""
        self._report({"steps": self._steps, "mean": self._return, "kl": self._kl})
        self._last, self._steps = monotonic(), 0


if __name__ == "__main__":
    raise SystemExit(main())
