"""Starts the processes in turn, and times each from start to exit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from bench import ROOT
from bench.learning.tasks import Task, Throughput
from bench.peers.processes import POOLS

# The step at which a run ends even if no target is reached.
LIMIT = 10_000_000
OURS, PEER = "ours", "sb3-contrib"


def race(task: Task, who: str, seed: int, budget: float, threads: int) -> dict[str, Any]:
    """One run: `reached` has the process's `seconds` and `steps` for each target, in order.

    threads  size of the peer's thread pools
    """
    arguments = {
        "env_id": task.env_id,
        "seed": seed,
        "targets": [target.mean for target in task.targets],
        "budget": budget,
        "limit": LIMIT,
    }
    limits = {}
    if who == PEER:
        arguments["settings"] = task.peer
        limits = dict.fromkeys(POOLS, str(threads))
    found, wall = _process({"function": who, "arguments": arguments}, limits)
    return {"env_id": task.env_id, "who": who, "seed": seed, **with_all(found, wall)}


def with_all(found: dict[str, Any], wall: float) -> dict[str, Any]:
    """Adds the time outside the module to each time: the interpreter's start and exit."""
    outside = wall - found.get("lived", wall)
    for each in found.get("reached", []):
        each["seconds"] += outside
    return found | {"wall": wall, "outside": outside}


def throughput(task: Throughput, threads: int, seconds: float, with_peer: bool) -> dict[str, Any]:
    """Alternating measurements in one process."""
    arguments = {
        "env_id": task.env_id,
        "n_envs": task.n_envs,
        "rows": task.rows,
        "threads": threads,
        "seconds": seconds,
        "sb3_contrib": with_peer,
    }
    found, _ = _process({"function": "throughput", "arguments": arguments}, {})
    return found


def _process(request: dict[str, Any], variables: dict[str, str]) -> tuple[dict[str, Any], float]:
    """What the child found, and its duration in seconds; `variables` are set in its environment."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, "-m", "bench.learning.child", json.dumps(request), str(result)]
        start = perf_counter()
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | variables,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        wall = perf_counter() - start
        if done.returncode != 0 or not result.exists():
            lines = done.stderr.strip().splitlines() or ["no message"]
            return {"failed": f"exited with {done.returncode}: {lines[-1]}"}, wall
        return json.loads(result.read_text()), wall
