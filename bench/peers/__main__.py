"""Comparison of this library with its peers in one run: `python -m bench.peers [CASE...]`.

Prints Markdown tables; missing peers are skipped with a line that says how to install them. Exits
with 1 if a contestant computed a wrong result, which is then not timed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bench import machine
from bench.peers import processes, report
from bench.peers.cases import chosen


def main() -> int:
    """Runs the program."""
    arguments = _arguments()
    cases = chosen(arguments.cases)
    if arguments.list:
        print("\n".join(case.name for case in cases))
        return 0
    about = {"machine": machine.describe(), "peak": _peaks(arguments.threads)}
    results = []
    for result in processes.run(cases, arguments.threads, arguments.seconds):
        results.append(result)
        print(report.progress(result), file=sys.stderr, flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(about | {"results": results}, indent=1))
    print(report.header(about))
    print(report.tables(results))
    return int(any("failed" in result for result in results))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers", description=__doc__.splitlines()[0]
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help="prefixes of names [all cases]")
    parser.add_argument("--list", action="store_true", help="list the cases and exit")
    default = sorted({1, min(2, machine.cores())})
    parser.add_argument("--threads", type=_count, nargs="+", default=default, metavar="N")
    parser.add_argument("--seconds", type=float, default=1.5, help="timing per process [1.5]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    arguments = parser.parse_args()
    arguments.threads = sorted(set(arguments.threads))
    try:
        chosen(arguments.cases)
    except ValueError as error:
        parser.error(str(error))
    return arguments


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= machine.cores():
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to {machine.cores()}")
    return count


def _peaks(counts: list[int]) -> dict[str, Any]:
    return {str(count): machine.peak(0.3, count) for count in counts}


if __name__ == "__main__":
    sys.exit(main())
