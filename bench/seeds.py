"""Seeds side by side: how much longer do N take on N cores than one takes on one core?

    python -m bench.seeds                # Pendulum-v1, 600,000 steps, as many as there are cores
    python -m bench.seeds CartPole-v1 --seeds 2 --total-timesteps 2000000 --rounds 5

Each run is a whole process of `fasttrpo train`, one thread to a seed, evaluation included; by
turns, told by medians. Together they need every core: whatever else runs there shows.
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
    one, many = statistics.median(alone), statistics.median(together)
    rows = [
        ["one seed", f"{one:.2f}"],
        [f"{args.seeds} seeds", f"{many:.2f}"],
        ["ratio", f"{many / one:.2f}"],
    ]
    print(f"{args.env_id}, {args.total_timesteps} steps a seed, {backend.cores()} cores")
    print(table(["", "seconds"], rows))


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("env_id", nargs="?", default="Pendulum-v1")
    parser.add_argument("--seeds", type=int, default=backend.cores())
    parser.add_argument("--total-timesteps", type=int, default=600_000)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args(argv)


def seconds(args: argparse.Namespace, *options: str) -> float:
    """Of one command, in a folder that is thrown away."""
    size = ("--total-timesteps", str(args.total_timesteps), "--n-threads", "1", "--no-progress")
    command = [sys.executable, "-m", "fasttrpo", "train", args.env_id, *options, *size]
    measured = str(Path(fasttrpo.__file__).parents[1])  # what is imported here, too
    path = os.pathsep.join(filter(None, [measured, os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return time.perf_counter() - started


if __name__ == "__main__":
    main()
