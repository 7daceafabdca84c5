"""`fasttrpo train ENV_ID --seeds 0-9`: several runs in parallel, each in its own folder.

The folders are created first, as runs without steps; child processes then resume them. So each seed
is bit-identical to a solo run, and `--resume` of the parent folder continues unfinished runs.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fasttrpo.cli import children, consent, logs, options, progress, resume, training
from fasttrpo.cli.children import Outcome, Task, Watch
from fasttrpo.cli.errors import FAILED, INTERRUPTED, UsageError
from fasttrpo.cli.runs import is_run, read_config, write_json
from fasttrpo.core import backend
from fasttrpo.files.atomic import saving
from fasttrpo.files.run_folder import ERROR, SUMMARY
from fasttrpo.report.words import pluralize

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
        resume.plan_of(folder, config | resume.changes(args)).check()
        consent.require(folder, config["env_id"], args.trust)
    return run_all(args.resume, folders, args, given)


def run_all(
    group: Path, folders: list[Path], args: argparse.Namespace, given: dict[str, Any]
) -> int:
    """Trains and evaluates all runs and reports on them; returns the exit code."""
    free = {name: given[name] for name in resume.FREE if name in given}
    common = free, resume.changes(args), options.every(args), logs.requested(args)
    tasks = [Task(str(folder), *common) for folder in folders]
    n_threads = args.n_threads or read_config(folders[0])["settings"].get("n_threads") or 1
    jobs = jobs_for(args.jobs, n_threads, len(folders))
    with _progress(folders, args.total_timesteps, args.progress) as watch:
        outcomes, interrupted = children.run(tasks, jobs, watch)
    done = [outcome for outcome in outcomes if outcome.is_done]
    if interrupted:
        where = f"interrupted: {len(done)} of {len(tasks)} seeds are finished; saved in {group}"
        print(f"{where}; {training.how_to_resume(group, folders[0])}")
        return INTERRUPTED
    if done:
        _summarize(group, read_config(folders[0])["env_id"], done)
    failed = [outcome for outcome in outcomes if not outcome.is_done]
    for outcome in failed:
        _print_failure(outcome, args.debug)
    if failed:
        print(f"saved in {group}; {training.how_to_resume(group, folders[0])}")
        return FAILED
    print(f"saved in {group}")
    return 0


def _summarize(group: Path, env_id: str, done: list[Outcome]) -> None:
    """Prints the statistics over seeds and writes them to the folder, if they were evaluated."""
    import numpy as np  # here, so that the children start before it is imported

    from fasttrpo.report.statistics import iqm

    returns = {Path(each.task.folder).name: each.result for each in done if each.result is not None}
    if not returns:
        with saving(group / SUMMARY):
            (group / SUMMARY).unlink(missing_ok=True)
        print(f"{env_id}: {pluralize(len(done), 'seed')} trained; not evaluated")
        return
    values = np.array(list(returns.values()))
    mean, std, middle = (float(statistic(values)) for statistic in (np.mean, np.std, iqm))
    summary = {"env_id": env_id, "mean": mean, "std": std, "iqm": middle}
    write_json(group / SUMMARY, summary | returns)
    print(
        f"{env_id}: {pluralize(len(returns), 'seed')}: return mean {mean:.2f}, std {std:.2f}, "
        f"IQM {middle:.2f}"
    )


def _print_failure(outcome: Outcome, debug: bool) -> None:
    if debug and outcome.traceback:
        print(outcome.traceback, end="", file=sys.stderr)
    kept = Path(outcome.task.folder) / ERROR
    where = f"; its traceback: {kept}" if kept.is_file() else ""  # none if the process died
    print(f"failed: {outcome.task.folder}: {outcome.error or 'interrupted'}{where}")


@contextmanager
def _progress(folders: list[Path], total: int | None, wanted: bool | None) -> Iterator[Watch]:
    """What shows the progress of all runs; None if nothing does."""
    shown = progress.kind(wanted)
    if shown == progress.NOTHING:
        yield None
        return
    totals = [total or read_config(folder)["total_timesteps"] for folder in folders]
    done = sum(min(_steps_of(folder), most) for folder, most in zip(folders, totals, strict=True))
    if shown == progress.LINES:
        yield _Progress(progress.Lines(sum(totals), done).add).add
        return
    from tqdm.auto import tqdm

    with tqdm(total=sum(totals), initial=done, unit="step", unit_scale=True) as bar:

        def advance(steps: int, words: str) -> None:
            bar.set_postfix_str(words, refresh=False)
            bar.update(steps)

        yield _Progress(advance).add


class _Progress:
    """Shows the steps of all runs together, and the mean of their latest returns and KL."""

    def __init__(self, show: Callable[[int, str], None]) -> None:
        self._show = show
        self._latest: dict[Path, tuple[float, float]] = {}

    def add(self, folder: Path, steps: int, mean: float, kl: float) -> None:
        """Adds the steps that a run has trained."""
        self._latest[folder] = mean, kl
        n = len(self._latest)
        means = (sum(values) / n for values in zip(*self._latest.values(), strict=True))
        record = dict(zip(("return_mean", "kl"), means, strict=True))
        self._show(steps, f"{progress.of_record(record)}, {pluralize(n, 'seed')}")


def _steps_of(folder: Path) -> int:
    """The steps trained; 0 for an unreadable checkpoint, which the child will report."""
    try:
        return training.steps_saved(folder)
    except (OSError, ValueError):
        return 0
