"""Runs each case in a fresh process, and for each thread count where that matters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import ROOT
from bench.peers.cases import Case

# Variables that size the pools of OpenMP (torch), OpenBLAS (NumPy), MKL, Numba and XLA (JAX).
POOLS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NPROC",
)


def environment(threads: int) -> dict[str, str]:
    """This process's environment variables, with every pool limited."""
    limits = dict.fromkeys(POOLS, str(threads))
    return os.environ | limits | {"JAX_PLATFORMS": "cpu"}


def run(cases: Sequence[Case], counts: list[int], seconds: float) -> Iterator[dict[str, Any]]:
    """Yields a result per process: case, group, threads, arguments, targets, and what was found."""
    for case in cases:
        for threads in counts if case.per_count else [max(counts)]:
            found = _found(case, threads, counts, seconds)
            yield {
                "case": case.name,
                "group": case.group,
                "threads": threads,
                "arguments": case.arguments,
                "targets": case.targets,
                **found,
            }


def _found(case: Case, threads: int, counts: list[int], seconds: float) -> dict[str, Any]:
    request = {
        "function": case.function,
        "arguments": case.arguments,
        "threads": threads,
        "counts": counts,
        "seconds": seconds,
    }
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, "-m", "bench.peers.child", json.dumps(request), str(result)]
        done = subprocess.run(
            command, cwd=ROOT, env=environment(threads), capture_output=True, text=True, check=False
        )
        if done.returncode != 0 or not result.exists():
            lines = done.stderr.strip().splitlines() or ["no message"]
            return {"failed": f"exited with {done.returncode}: {lines[-1]}"}
        return json.loads(result.read_text())
