"""Complete runs, timed as processes: `python -m bench.learning [ENV_ID...]`.

Each run is a process that trains until a target is reached: with this library and its built-in
settings, or with sb3-contrib's TRPO and rl-baselines3-zoo's settings. See bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bench import machine
from bench.learning import processes, report
from bench.learning.tasks import Task, Throughput, chosen

PACKAGES = ("numpy", "gymnasium", "mujoco", "torch", "sb3-contrib")


def main(argv: list[str] | None = None) -> int:
    """Prints the table; returns 1 if a process failed."""
    arguments = _arguments(argv)
    tasks, throughputs = chosen(arguments.env_ids)
    results: list[dict[str, Any]] = []
    rows = []
    for task in tasks:
        runs = _races(task, arguments)
        results += runs
        rows += report.learning(task, runs, arguments.budget)
    for each in throughputs:
        found = {"env_id": each.env_id, **_throughput(each, arguments)}
        results.append(found)
        rows += [report.throughput(each, found)] if "times" in found else []
    print(_where(), "", report.tables(rows, results), sep="\n")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": _where(), "runs": results}, indent=1))
    return int(any("failed" in result for result in results))


def _races(task: Task, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Runs ours and the peer's alternately, seed by seed; a missing peer is tried only once."""
    runs: list[dict[str, Any]] = []
    absent = {processes.PEER} if arguments.alone else set()
    for seed in range(arguments.seeds):
        for who in (processes.OURS, processes.PEER):
            if who in absent:
                continue
            run = processes.race(task, who, seed, arguments.budget, arguments.peer_threads)
            absent |= {who} if "skipped" in run else set()
            runs.append(run)
            print(report.progress(run), file=sys.stderr, flush=True)
    return runs


def _throughput(task: Throughput, arguments: argparse.Namespace) -> dict[str, Any]:
    with_peer = not arguments.alone
    return processes.throughput(task, machine.cores(), arguments.seconds, with_peer)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.learning", description=__doc__.splitlines()[0]
    )
    parser.add_argument("env_ids", nargs="*", metavar="ENV_ID", help="default: all")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="runs of each [5]")
    most = "seconds, without evaluations, after which a run is stopped [60]"
    parser.add_argument("--budget", type=float, default=60.0, metavar="S", help=most)
    peers = "size of torch's thread pool in the races [all cores, torch's default]"
    cores = machine.cores()
    parser.add_argument("--peer-threads", type=int, default=cores, metavar="N", help=peers)
    long = "seconds of the throughput measurement [20]"
    parser.add_argument("--seconds", type=float, default=20.0, metavar="S", help=long)
    parser.add_argument("--alone", action="store_true", help="without sb3-contrib")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    arguments = parser.parse_args(argv)
    try:
        chosen(arguments.env_ids)
    except ValueError as error:
        parser.error(str(error))
    return arguments


def _where() -> str:
    found = machine.describe()
    versions = ", ".join(f"{p} {v}" for p in PACKAGES if (v := machine.version(p)))
    return (
        f"{found['processor']}, {found['cores']} cores; fasttrpo {found['fasttrpo']} "
        f"({found['library']}), Python {found['python']}, {versions}; {found['time']}"
    )


if __name__ == "__main__":
    sys.exit(main())
