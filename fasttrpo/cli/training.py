"""Trains one run, keeping its folder up to date, and evaluates it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from fasttrpo.cli import eval as evaluation
from fasttrpo.cli.consent import trusted_argument
from fasttrpo.cli.errors import INTERRUPTED
from fasttrpo.cli.runs import write_json, write_machine
from fasttrpo.cli.signals import deferred
from fasttrpo.files.run_folder import CHECKPOINT, EVALUATION, MODEL, PROGRESS

CHECKPOINT_EVERY = 10.0  # seconds


class Checkpoints:
    """checkpoint.npz of a run: kept in memory each iteration, written to disk periodically.

    every  seconds between writes; 0: each iteration
    """

    def __init__(self, folder: Path, every: float, model: Any) -> None:
        self._folder, self._every = folder, every
        self._latest, self._on_disk = model.snapshot(), None
        self._written = monotonic()

    def take(self, model: Any) -> None:
        """Takes a snapshot after an iteration, and writes it if it is time to."""
        self._latest = model.snapshot()
        if monotonic() - self._written >= self._every:
            self.write()

    def write(self) -> None:
        """Writes the latest snapshot, unless it is on the disk already."""
        from fasttrpo.files import checkpoint

        if self._latest is not self._on_disk:
            checkpoint.write(self._folder / CHECKPOINT, self._latest)
            self._on_disk, self._written = self._latest, monotonic()

    def finish(self) -> None:
        """Writes the latest snapshot as checkpoint and model."""
        from fasttrpo.files import checkpoint

        self.write()
        checkpoint.write(self._folder / MODEL, replace(self._latest, run={}))


def learn(
    model: Any,
    total: int,
    folder: Path,
    every: float = CHECKPOINT_EVERY,
    progress_bar: bool | None = False,
    watch: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Trains up to `total` steps, writing a line of progress.csv per iteration; calls `watch` with
    each record.

    Saves the last complete iteration as model and checkpoint even if KeyboardInterrupt or an error
    of the environment ends the training.
    """
    from fasttrpo.logs.writers import ProgressFile

    write_machine(folder, model)
    checkpoints = Checkpoints(folder, every, model)
    with ProgressFile(folder / PROGRESS, model.num_timesteps) as progress:

        def after(record: dict[str, Any]) -> None:
            progress.write(record)
            checkpoints.take(model)
            if watch is not None:
                watch(record)

        try:
            steps = total - model.num_timesteps
            model.learn(steps, after, progress_bar=progress_bar, reset_num_timesteps=False)
        finally:
            with deferred():
                checkpoints.finish()


def evaluate(
    model: Any, env_id: str, folder: Path, progress_bar: bool | None = False
) -> dict[str, Any]:
    """Runs the standard evaluation, writes evaluation.json and returns its contents."""
    episodes, seed = evaluation.EVAL_EPISODES, evaluation.EVAL_SEED
    result = evaluation.evaluate(model, env_id, episodes, seed, True, progress_bar)
    write_json(folder / EVALUATION, result)
    return result


def complete(
    model: Any, env_id: str, total: int, folder: Path, every: float, progress_bar: bool | None
) -> int:
    """Trains the remaining steps, evaluates and prints the result; returns the exit code. Before an
    error propagates, prints where the run is saved.
    """
    try:
        if model.num_timesteps < total:
            learn(model, total, folder, every, progress_bar)
        result = evaluate(model, env_id, folder, progress_bar)
    except KeyboardInterrupt:
        print(f"interrupted {_what_is_saved(folder, total)}")
        return INTERRUPTED
    except Exception:
        with suppress(OSError, ValueError):  # an unreadable disk may be the cause
            print(f"failed {_what_is_saved(folder, total)}")
        raise
    print(evaluation.describe(env_id, result))
    print(f"saved in {folder}")
    return 0


def _what_is_saved(folder: Path, total: int) -> str:
    """How far the run got, where it is saved, and how to resume it."""
    steps = steps_saved(folder)
    when = f"at step {steps}" if steps < total else f"during the evaluation, after {steps} steps"
    return f"{when}; saved in {folder}; {how_to_resume(folder, folder)}"


def steps_saved(folder: Path) -> int:
    """The steps of the run's checkpoint. Raises OSError or ValueError if it cannot be read."""
    from fasttrpo.files import checkpoint

    return checkpoint.read(folder / CHECKPOINT).num_timesteps


def how_to_resume(folder: Path, run: Path) -> str:
    """The command that resumes a folder, which is `run` or contains `run`."""
    command = f"fasttrpo train --resume {shlex.quote(str(folder))}{trusted_argument(run)}"
    return f"resume with: {command}"
