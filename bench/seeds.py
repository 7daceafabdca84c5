"""Seeds side by side: how much longer do N take on N cores than one takes on one core?

    python -m bench.seeds                # Pendulum-v1, 600,000 steps, as many as there are cores
    python -m bench.seeds CartPole-v1 --seeds 2 --total-timesteps 2000000 --rounds 5

Each run is a whole process of `fasttrpo train`, one thread to a seed, evaluation included; by
turns, told by medians. Beside the wall clock stands the processor's time per seed, which other
users of the machine disturb less: what it grows by is lost to shared caches and memory.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

from bench import ROOT
from bench.tables import table
from fasttrpo import backend


class Cost(NamedTuple):
    """Seconds of a command: by the clock, and of all its processes' cores."""

    wall: float
    cpu: float


def main(argv: list[str] | None = None) -> None:
    """Measures and prints."""
    args = _parse(argv)
    alone, together = [], []
    for _ in range(args.rounds):
        alone.append(cost(args, "--seed", "0"))
        together.append(cost(args, "--seeds", f"0-{args.seeds - 1}", "--jobs", str(args.seeds)))
    wall, cpu = (statistics.median(c[i] for c in alone) for i in range(2))
    many_wall, many_cpu = (statistics.median(c[i] for c in together) for i in range(2))
    rows = [
        ["one seed", f"{wall:.2f}", f"{cpu:.2f}"],
        [f"{args.seeds} seeds", f"{many_wall:.2f}", f"{many_cpu / args.seeds:.2f}"],
        ["ratio", f"{many_wall / wall:.2f}", f"{many_cpu / args.seeds / cpu:.2f}"],
    ]
    print(f"{args.env_id}, {args.total_timesteps} steps a seed, {backend.cores()} cores")
    print(table(["", "seconds", "processor seconds per seed"], rows))


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("env_id", nargs="?", default="Pendulum-v1")
    parser.add_argument("--seeds", type=int, default=backend.cores())
    parser.add_argument("--total-timesteps", type=int, default=600_000)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args(argv)


def cost(args: argparse.Namespace, *options: str) -> Cost:
    """Of one command, in a folder that is thrown away."""
    size = ("--total-timesteps", str(args.total_timesteps), "--n-threads", "1", "--no-progress")
    command = [sys.executable, "-m", "fasttrpo", "train", args.env_id, *options, *size]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    before, started = os.times(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
            check=True,
        )
    after = os.times()
    cpu = after.children_user + after.children_system
    return Cost(time.perf_counter() - started, cpu - before.children_user - before.children_system)


if __name__ == "__main__":
    main()
