"""`fasttrpo train ENV_ID --seeds 0-9`: several runs in parallel, each in its own folder.

The folders are created first, as runs without steps; child processes then resume them. So each seed
is bit-identical to a solo run, and `--resume` of the parent folder continues unfinished runs.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from fasttrpo.cli import children, consent, logs, resume, training
from fasttrpo.cli.children import Outcome, Task
from fasttrpo.cli.errors import FAILED, INTERRUPTED, UsageError
from fasttrpo.cli.runs import is_run, read_config, write_json
from fasttrpo.core import backend
from fasttrpo.files.run_folder import ERROR, SUMMARY

MAX_RANGE = 10_000


def parse(text: str) -> list[int]:
    """The seeds of "0-9" or "0,3,5-7". Raises UsageError for anything else."""
    seeds: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if last < first or last - first >= MAX_RANGE:
            raise UsageError(f"--seeds must be seeds like 0-9 or 0,3,5, got {text!r}")
        seeds += range(first, last + 1)
    for seed in seeds:
        if seeds.count(seed) > 1:
            raise UsageError(f"--seeds {text} contains seed {seed} twice")
    return seeds


def is_group(folder: Path) -> bool:
    """Whether the folder contains the runs of several seeds."""
    return not is_run(folder) and bool(folders_in(folder))


def folders_in(folder: Path) -> list[Path]:
    """The seeds' runs, in order of the seeds."""
    runs = [path for path in folder.glob("seed*") if is_run(path)]
    return sorted(runs, key=lambda path: (len(path.name), path.name))


def jobs_for(wanted: int | None, n_threads: int, n_runs: int) -> int:
    """How many runs to train at once; by default as many as the cores allow."""
    return min(n_runs, wanted or max(1, backend.cores() // n_threads))


def resume_all(args: argparse.Namespace, given: dict[str, Any]) -> int:
    """Resumes every seed's run in the folder."""
    folders = folders_in(args.resume)
    for folder in folders:
        if folder.is_symlink():
            raise UsageError(f"{folder} is a link; resume {folder.resolve()} instead")
        config = read_config(folder)
        resume.check_same(folder, config, args.env_id, given)
        consent.require(folder, config["env_id"], args.trust)
    return run_all(args.resume, folders, args, given)


def run_all(
    group: Path, folders: list[Path], args: argparse.Namespace, given: dict[str, Any]
) -> int:
    """Trains and evaluates all runs and reports on them; returns the exit code."""
    free = {name: given[name] for name in resume.FREE if name in given}
    common = free, args.total_timesteps, args.checkpoint_every, logs.requested(args)
    tasks = [Task(str(folder), *common) for folder in folders]
    n_threads = args.n_threads or read_config(folders[0])["settings"].get("n_threads") or 1
    jobs = jobs_for(args.jobs, n_threads, len(folders))
    is_shown = sys.stderr.isatty() if args.progress is None else args.progress
    with _Progress(folders, args.total_timesteps) if is_shown else nullcontext() as watch:
        outcomes, interrupted = children.run(tasks, jobs, watch)
    done = [outcome for outcome in outcomes if outcome.result is not None]
    if interrupted:
        where = f"interrupted: {len(done)} of {len(tasks)} seeds are finished; saved in {group}"
        print(f"{where}; {training.how_to_resume(group, folders[0])}")
        return INTERRUPTED
    if done:
        _summarize(group, read_config(folders[0])["env_id"], done)
    failed = [outcome for outcome in outcomes if outcome.result is None]
    for outcome in failed:
        _print_failure(outcome, args.debug)
    if failed:
        print(f"saved in {group}; {training.how_to_resume(group, folders[0])}")
        return FAILED
    print(f"saved in {group}")
    return 0


def _summarize(group: Path, env_id: str, done: list[Outcome]) -> None:
    """Prints the statistics over seeds and writes them to the folder."""
    import numpy as np  # here, so that the children start before it is imported

    from fasttrpo.report.statistics import iqm

    returns = {Path(outcome.task.folder).name: outcome.result for outcome in done}
    values = np.array(list(returns.values()))
    mean, std, middle = (float(statistic(values)) for statistic in (np.mean, np.std, iqm))
    summary = {"env_id": env_id, "mean": mean, "std": std, "iqm": middle}
    write_json(group / SUMMARY, summary | returns)
    print(
        f"{env_id}: {len(returns)} seeds: return mean {mean:.2f}, std {std:.2f}, IQM {middle:.2f}"
    )


def _print_failure(outcome: Outcome, debug: bool) -> None:
    if debug and outcome.traceback:
        print(outcome.traceback, end="", file=sys.stderr)
    kept = Path(outcome.task.folder) / ERROR
    where = f"; its traceback: {kept}" if kept.is_file() else ""  # none if the process died
    print(f"failed: {outcome.task.folder}: {outcome.error or 'interrupted'}{where}")


class _Progress:
    """One bar for all runs: the steps of all, and the mean of their latest returns."""

    def __init__(self, folders: list[Path], total: int | None) -> None:
        from tqdm.auto import tqdm

        self._returns: dict[Path, float] = {}
        steps = sum(_steps_left(folder, total) for folder in folders)
        self._bar = tqdm(total=steps, unit="step", unit_scale=True)

    def __enter__(self) -> Callable[[Path, int, float], None]:
        return self._update

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def _update(self, folder: Path, steps: int, latest: float) -> None:
        """Adds the steps that a run has trained."""
        self._returns[folder] = latest
        mean = sum(self._returns.values()) / len(self._returns)
        self._bar.set_postfix_str(f"return {mean:.1f}, {len(self._returns)} seeds", refresh=False)
        self._bar.update(steps)


def _steps_left(folder: Path, total: int | None) -> int:
    """The steps to train; 0 for an unreadable checkpoint, which the child will report."""
    total = total or read_config(folder)["total_timesteps"]
    try:
        return max(0, total - training.steps_saved(folder))
    except (OSError, ValueError):
        return 0
