"""Trains one run, keeping its folder up to date, and evaluates it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from fasttrpo.cli import eval as evaluation
from fasttrpo.cli import progress
from fasttrpo.cli.consent import trusted_argument
from fasttrpo.cli.errors import INTERRUPTED, UsageError
from fasttrpo.cli.runs import write_json, write_machine
from fasttrpo.cli.signals import deferred
from fasttrpo.files.run_folder import CHECKPOINT, EVALUATION, MODEL, PROGRESS

if TYPE_CHECKING:
    from fasttrpo.training.episodes import Episode


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


@dataclass(frozen=True)
class Plan:
    """What to do with a run: train it in its folder up to `total` steps, and evaluate it.

    eval_freq      steps between evaluations during training (None: no evaluation)
    eval_episodes  episodes of each evaluation; 0: none, at the end of training either
    """

    env_id: str
    folder: Path
    total: int
    checkpoint_every: float
    eval_freq: int | None
    eval_episodes: int

    def check(self) -> None:
        """Raises UsageError for a contradiction."""
        if self.eval_freq is not None and not self.eval_episodes:
            raise UsageError(
                "--eval-freq needs episodes, but --eval-episodes is 0: raise it, or omit "
                "--eval-freq"
            )


def learn(
    model: Any,
    plan: Plan,
    show: bool | None = False,
    watch: Callable[[dict[str, Any]], None] | None = None,
) -> list[Episode]:
    """Trains up to the plan's steps, writing a line of progress.csv per iteration, and evaluates in
    between; calls `watch` with each record. Returns the episodes of an evaluation of the trained
    model, or [] if there was none.

    Saves the last complete iteration as model and checkpoint even if KeyboardInterrupt or an error
    of the environment ends the training.
    """
    from fasttrpo.logs.writers import ProgressFile

    folder = plan.folder
    write_machine(folder, model)
    checkpoints = Checkpoints(folder, plan.checkpoint_every, model)
    shown = progress.kind(show)
    evaluations = _evaluations(plan, has_lines=shown == progress.LINES)
    lines = progress.Lines(plan.total, model.num_timesteps) if shown == progress.LINES else None
    with ProgressFile(folder / PROGRESS, model.num_timesteps) as table:

        def after(record: dict[str, Any]) -> None:
            table.write(record)
            checkpoints.take(model)
            if lines is not None:
                lines.add(record["n_samples"], progress.of_record(record))
            if watch is not None:
                watch(record)

        # An evaluation comes before the checkpoint, so that one that is interrupted is repeated.
        callbacks = [*evaluations, after]
        try:
            steps = plan.total - model.num_timesteps
            is_bar = shown == progress.BAR
            model.learn(steps, callbacks, progress_bar=is_bar, reset_num_timesteps=False)
        finally:
            with deferred():
                checkpoints.finish()
    return evaluations[0].played_at(model.num_timesteps) if evaluations else []


def _evaluations(plan: Plan, has_lines: bool) -> list[Any]:
    """The callback that evaluates during training, if there is one."""
    if plan.eval_freq is None:
        return []
    from fasttrpo.cli.evaluations import Evaluations

    arguments = plan.env_id, plan.folder, plan.eval_freq, plan.eval_episodes
    return [Evaluations(*arguments, has_lines)]


def evaluate(
    model: Any, plan: Plan, show: bool | None = False, played: Sequence[Episode] = ()
) -> dict[str, Any] | None:
    """Runs the standard evaluation, unless its episodes were `played`; writes evaluation.json and
    returns its contents. None: the plan has no episodes.
    """
    if not plan.eval_episodes:
        return None
    seed = evaluation.EVAL_SEED
    if played:
        result = evaluation.summary(model, played, seed, True)
    else:
        result = evaluation.evaluate(model, plan.env_id, plan.eval_episodes, seed, True, show)
    write_json(plan.folder / EVALUATION, result)
    return result


def complete(model: Any, plan: Plan, show: bool | None) -> int:
    """Trains the remaining steps, evaluates and prints the result; returns the exit code. Before an
    error propagates, prints where the run is saved.
    """
    played: Sequence[Episode] = ()
    try:
        if model.num_timesteps < plan.total:
            played = learn(model, plan, show)
        result = evaluate(model, plan, show, played)
    except KeyboardInterrupt:
        print(f"interrupted {_what_is_saved(plan.folder, plan.total)}")
        return INTERRUPTED
    except Exception:
        with suppress(OSError, ValueError):  # an unreadable disk may be the cause
            print(f"failed {_what_is_saved(plan.folder, plan.total)}")
        raise
    print(evaluation.describe(plan.env_id, result) if result else _describe(model, plan))
    print(f"saved in {plan.folder}")
    return 0


def _describe(model: Any, plan: Plan) -> str:
    """The result of a run without evaluation, in one line."""
    last = [episode.total for episode in model.episodes]
    mean = (
        f", return {sum(last) / len(last):.2f} over the last {len(last)} episodes" if last else ""
    )
    return f"{plan.env_id}: trained {model.num_timesteps} steps{mean}; not evaluated"


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
