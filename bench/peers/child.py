"""Measures one case at one thread count in a process: `python -m bench.peers.child`.

Started by `processes.py`, which sets the environment variables that size the peers' thread pools
before anything is imported. The first argument is the request (JSON), the second the file for the
result.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from bench.peers import INSTALL


def main() -> None:
    """Measures, and writes {"skipped": why} if a peer is missing, or {"failed": why} if a
    contestant computes a wrong result.
    """
    warnings.simplefilter("ignore")
    request, result = json.loads(sys.argv[1]), Path(sys.argv[2])
    try:
        found = _measured(**request)
    except ImportError as error:
        found = {"skipped": f"{error}: {INSTALL}"}
    except AssertionError as error:
        found = {"failed": str(error)}
    result.write_text(json.dumps(found, default=_plain))


def _measured(
    function: str, arguments: dict[str, Any], threads: int, counts: list[int], seconds: float
) -> dict[str, Any]:
    _limit_torch(function, arguments, threads)
    module, name = function.split(".")
    run = getattr(importlib.import_module(f"bench.peers.{module}"), name)
    return run(**arguments, threads=threads, counts=counts, seconds=seconds)


def _limit_torch(function: str, arguments: dict[str, Any], threads: int) -> None:
    """Sizes torch's pool; torch is imported only if it is the peer."""
    if {"torch", "sb3-contrib", "tianshou"} & {str(value) for value in arguments.values()}:
        import torch

        torch.set_num_threads(threads)


def _plain(value: Any) -> Any:
    """Converts a value for JSON."""
    if is_dataclass(value):
        return asdict(value)
    return value.item()


if __name__ == "__main__":
    main()
