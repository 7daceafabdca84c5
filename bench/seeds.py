"""Seeds in parallel: how much longer do N take on N cores than one takes on one core?

    python -m bench.seeds                # Pendulum-v1, 600,000 steps, a seed per core
    python -m bench.seeds CartPole-v1 --seeds 2 --total-timesteps 2000000 --rounds 5

Each measurement is a complete `fasttrpo train` process, evaluation included, with one thread per
seed. Both commands alternate; results are medians. Wall-clock seconds need idle cores. CPU seconds,
of the command and its children, hardly depend on other programs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import fasttrpo
from bench.tables import table
from fasttrpo.core import backend


def main(argv: list[str] | None = None) -> None:
    """Measures and prints."""
    args = _parse(argv)
    alone, together = [], []
    for _ in range(args.rounds):
        alone.append(seconds(args, "--seed", "0"))
        together.append(seconds(args, "--seeds", f"0-{args.seeds - 1}", "--jobs", str(args.seeds)))
    (one, one_cpu), (many, many_cpu) = _medians(alone), _medians(together)
    rows = [
        ["one seed", f"{one:.2f}", f"{one_cpu:.2f}"],
        [f"{args.seeds} seeds", f"{many:.2f}", f"{many_cpu / args.seeds:.2f}"],
        ["ratio", f"{many / one:.2f}", f"{many_cpu / args.seeds / one_cpu:.2f}"],
    ]
    print(f"{args.env_id}, {args.total_timesteps} steps a seed, {backend.cores()} cores")
    print(table(["", "seconds", "CPU seconds per seed"], rows))


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("env_id", nargs="?", default="Pendulum-v1")
    parser.add_argument("--seeds", type=int, default=backend.cores())
    parser.add_argument("--total-timesteps", type=int, default=600_000)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args(argv)


def _medians(measured: list[tuple[float, float]]) -> tuple[float, float]:
    wall, cpu = zip(*measured, strict=True)
    return statistics.median(wall), statistics.median(cpu)


def seconds(args: argparse.Namespace, *options: str) -> tuple[float, float]:
    """Wall-clock and CPU seconds of one command in a temporary folder."""
    size = ("--total-timesteps", str(args.total_timesteps), "--n-threads", "1", "--no-progress")
    command = [sys.executable, "-m", "fasttrpo", "train", args.env_id, *options, *size]
    measured = str(Path(fasttrpo.__file__).parents[1])  # the package that is imported here
    path = os.pathsep.join(filter(None, [measured, os.environ.get("PYTHONPATH")]))
    # With bytecode, as after an installation: compiling at each start costs 0.2 s per process.
    env = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": ""}
    with tempfile.TemporaryDirectory() as folder:
        started, before = time.perf_counter(), _cpu()
        subprocess.run(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - started, _cpu() - before


def _cpu() -> float:
    """CPU seconds of the children that have ended, theirs included."""
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    main()
