"""Time of each kernel on each instruction set: `python -m bench.kernels [--rounds N]`.

A table of the figures of bench/c/kernels.c: kernels by instruction set, with the share of the set's
own peak (bench/c/peak.c) where operations are counted; kernels in double count against half of it.
Sizes: "17x64" are a layer's inputs and outputs, for 64 rows; a matrix; steps and environments; or
numbers.
"""

from __future__ import annotations

import argparse
import subprocess
from typing import NamedTuple

from bench import machine
from bench.tables import percent, seconds, table

IN_DOUBLE = {"multiply", "cholesky", "cholesky_solve"}


class Time(NamedTuple):
    """Seconds of one call, median and quartiles; floating-point operations, 0 if not counted."""

    median: float
    low: float
    high: float
    flops: float


def times(rounds: int = 101) -> dict[tuple[str, str], dict[str, Time]]:
    """{(kernel, size): {instruction set: time}}."""
    command = [str(machine.compiled("kernels", with_core=True)), str(rounds)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found: dict[tuple[str, str], dict[str, Time]] = {}
    for kernel, size, name, *numbers in map(str.split, lines):
        median, low, high, flops = map(float, numbers)
        time = Time(median * 1e-9, low * 1e-9, high * 1e-9, flops)
        found.setdefault((kernel, size), {})[name] = time
    return found


def _cell(kernel: str, time: Time, gflops: float) -> str:
    if not time.flops:
        return seconds(time.median)
    rate = time.flops / time.median / 1e9 * (2 if kernel in IN_DOUBLE else 1)
    return f"{seconds(time.median)} ({percent(rate / gflops)})"


def show(found: dict[tuple[str, str], dict[str, Time]], peaks: dict[str, float]) -> str:
    """The table, with the share of the peak in brackets."""
    sets = list(next(iter(found.values())))
    rows = [
        [kernel, size, *(_cell(kernel, of_set[name], peaks[name]) for name in sets)]
        for (kernel, size), of_set in found.items()
    ]
    return table(("kernel", "size", *sets), rows)


def main() -> None:
    """Runs the program."""
    parser = argparse.ArgumentParser(prog="python -m bench.kernels", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rounds", type=int, default=101, help="rounds per kernel [101]")
    print(show(times(parser.parse_args().rounds), machine.peak()))


if __name__ == "__main__":
    main()
