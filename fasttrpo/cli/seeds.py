"""`fasttrpo train ENV_ID --seeds 0-9`: many runs side by side, each in a folder of its own.

The folders are made first, each a run that has not begun; then processes go on with them. So the
same seed alone has the same bits, and `--resume` of the folder above goes on with what is left.
"""

from __future__ import annotations

import argparse
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from fasttrpo.cli import consent, logs, resume, training
from fasttrpo.cli.errors import FAILED, INTERRUPTED, UsageError
from fasttrpo.cli.pool import OtherModulesError, Outcome, Pool
from fasttrpo.cli.runs import is_run, read_config, write_json
from fasttrpo.core import backend
from fasttrpo.files.atomic import SaveError, alone_in, write_text
from fasttrpo.files.run_folder import ERROR, SUMMARY

MOST = 10_000
_TELL_EVERY = 0.1  # seconds
# With what takes time to import.
_IMPORTS = (
    __name__,
    "gymnasium",
    "fasttrpo.trpo",
    "fasttrpo.evaluate",
    "fasttrpo.core._core32",
    "fasttrpo.core._envs",
)


@dataclass(frozen=True)
class Task:
    """A run to go on with, in a process of its own."""

    folder: Path
    given: dict[str, Any]
    total: int | None
    every: float
    formats: tuple[str, ...]
    system: dict[str, Any]
    """what runs in the process that gives the task, as `backend.describe` has it"""


def parse(text: str) -> list[int]:
    """The seeds of "0-9" or "0,3,5-7". UsageError for anything else."""
    seeds: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if last < first or last - first >= MOST:
            raise UsageError(f"--seeds takes seeds like 0-9 or 0,3,5, got {text!r}")
        seeds += range(first, last + 1)
    for seed in seeds:
        if seeds.count(seed) > 1:
            raise UsageError(f"--seeds {text} names seed {seed} twice")
    return seeds


def is_group(folder: Path) -> bool:
    """Whether this is a folder of many seeds' runs."""
    return not is_run(folder) and bool(folders_in(folder))


def folders_in(folder: Path) -> list[Path]:
    """The seeds' runs, in their order."""
    runs = [path for path in folder.glob("seed*") if is_run(path)]
    return sorted(runs, key=lambda path: (len(path.name), path.name))


def jobs_for(wanted: int | None, n_threads: int, n_runs: int) -> int:
    """How many at once: by default as many as there are cores for."""
    return min(n_runs, wanted or max(1, backend.cores() // n_threads))


# -- all of them ----------------------------------------------------------------------------------


def resume_all(args: argparse.Namespace, given: dict[str, Any]) -> int:
    """Goes on with every seed's run in the folder."""
    folders = folders_in(args.resume)
    for folder in folders:
        if folder.is_symlink():
            raise UsageError(f"{folder} is a link; resume {folder.resolve()} by itself, or move it")
        config = read_config(folder)
        resume.check_same(folder, config, args.env_id, given)
        consent.require(folder, config["env_id"], args.trust)
    n_threads = args.n_threads or read_config(folders[0])["settings"].get("n_threads") or 1
    with pool(args.jobs, n_threads, len(folders)) as started:
        return run_all(started, args.resume, folders, args, given)


def pool(jobs: int | None, n_threads: int, n_runs: int) -> Pool:
    """The processes for that many runs."""
    return Pool(work, jobs_for(jobs, max(1, n_threads), n_runs), imports=_IMPORTS)


def run_all(
    pool: Pool, group: Path, folders: list[Path], args: argparse.Namespace, given: dict[str, Any]
) -> int:
    """Trains and evaluates all of them, and tells how it went; the exit code."""
    common = given, args.total_timesteps, args.checkpoint_every, logs.asked(args)
    tasks = [Task(folder, *common, backend.describe()) for folder in folders]
    with _Progress(tasks, args.progress) as progress:
        pool.told = progress.told
        outcomes, interrupted = pool.run(tasks)
    done = [outcome for outcome in outcomes if outcome.value is not None]
    if interrupted:
        where = f"interrupted: {len(done)} of {len(tasks)} seeds are finished; saved in {group}"
        print(f"{where}; {training.how_to_resume(group, folders[0])}")
        return INTERRUPTED
    if done:
        _summarize(group, read_config(folders[0])["env_id"], done)
    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in failed:
        _tell_failure(outcome)
    if failed:
        print(f"saved in {group}; {training.how_to_resume(group, folders[0])}")
        return FAILED
    print(f"saved in {group}")
    return 0


def _summarize(group: Path, env_id: str, done: list[Outcome]) -> None:
    """The line over seeds, and the file that has it."""
    import numpy as np  # here, so that the processes start before it is imported

    from fasttrpo.report.statistics import iqm

    returns = {o.task.folder.name: o.value for o in done}
    values = np.array(list(returns.values()))
    mean, std, middle = (float(statistic(values)) for statistic in (np.mean, np.std, iqm))
    summary = {"env_id": env_id, "mean": mean, "std": std, "iqm": middle}
    write_json(group / SUMMARY, summary | returns)
    print(
        f"{env_id}: {len(returns)} seeds: return mean {mean:.2f}, std {std:.2f}, IQM {middle:.2f}"
    )


def _tell_failure(outcome: Outcome) -> None:
    kept = outcome.task.folder / ERROR
    where = f"; its traceback: {kept}" if kept.is_file() else ""  # not of a process that died
    print(f"failed: {outcome.task.folder}: {outcome.error}{where}")


# -- one of them, in its process ------------------------------------------------------------------


def work(task: Task, tell: Any) -> float:
    """Goes on with a run until it is evaluated; the mean return. Tells (steps done, return)."""
    with alone_in(task.folder), _failure_kept(task.folder / ERROR):
        return _work(task, tell)


@contextmanager
def _failure_kept(path: Path) -> Iterator[None]:
    """Writes down what made the run fail."""
    try:
        yield
    except (Exception, SystemExit):
        with suppress(SaveError):  # a full disk may be what it was
            write_text(path, traceback.format_exc())
        raise


def _work(task: Task, tell: Any) -> float:
    _check_same_system(task.system)
    consent.admit(read_config(task.folder)["env_id"])  # which was required, or named
    resumed = resume.opened(task.folder, task.given, None, task.total)
    if resumed.is_finished:
        return resume.evaluation_of(task.folder)["mean_return"]
    resume.ready(resumed)
    if not resumed.is_trained:
        teller = _Teller(tell)
        logs.attach(resumed.model, task.folder, task.formats)
        training.learn(resumed.model, resumed.total, task.folder, task.every, False, teller.watch)
        teller.tell()
    return training.evaluate(resumed.model, resumed.env_id, task.folder)["mean_return"]


def _check_same_system(expected: dict[str, Any]) -> None:
    """OtherModulesError names what runs otherwise here than in the process that gives the tasks."""
    here = backend.describe()
    for name, value in expected.items():
        if here[name] != value:
            raise OtherModulesError(f"{name} is {here[name]} in this process, not {value}")


class _Teller:
    """Tells how far it is, not too often."""

    def __init__(self, tell: Any) -> None:
        self._tell, self._told = tell, -_TELL_EVERY
        self._steps, self._return = 0, float("nan")

    def watch(self, record: dict[str, Any]) -> None:
        """One more iteration."""
        self._steps += record["n_samples"]
        self._return = record["return_mean"]
        if monotonic() - self._told >= _TELL_EVERY:
            self.tell()

    def tell(self) -> None:
        """What has not been told yet."""
        self._tell((self._steps, self._return))
        self._told, self._steps = monotonic(), 0


class _Progress:
    """One bar for all runs: the steps of all, and what the latest returns are on average."""

    def __init__(self, tasks: list[Task], shown: bool | None) -> None:
        from tqdm.auto import tqdm

        from fasttrpo.training.progress_bar import hidden

        self._returns: dict[Path, float] = {}
        total = sum(_steps_left(task) for task in tasks)
        self._bar = tqdm(total=total, unit="step", unit_scale=True, disable=hidden(shown))

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def told(self, task: Task, message: tuple[int, float]) -> None:
        """A run is that many steps further."""
        steps, self._returns[task.folder] = message
        mean = sum(self._returns.values()) / len(self._returns)
        self._bar.set_postfix_str(f"return {mean:.1f}, {len(self._returns)} seeds", refresh=False)
        self._bar.update(steps)


def _steps_left(task: Task) -> int:
    """None of a checkpoint that cannot be read, which its own process will tell."""
    total = task.total or read_config(task.folder)["total_timesteps"]
    try:
        return max(0, total - training.steps_saved(task.folder))
    except (OSError, ValueError):
        return 0
