"""Times of functions to compare: measured in turns and summarised by medians.

The speed of a shared machine changes within a second. So contestants run alternately,
A B C A B C ..., in many short turns each, and a ratio is that of two medians of the same run.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

TURN = 0.02  # seconds per turn of a fast function
PAUSE = 0.02  # seconds between turns: several ticks of the clock that counts a thread's time
MOST_PAUSES = 100


@dataclass(frozen=True)
class Contestant:
    """A timed function, and an untimed setup before each call."""

    run: Callable[[], object]
    setup: Callable[[], object] | None = None


@dataclass(frozen=True)
class Times:
    """Seconds per call: the median and the quartiles of all turns."""

    median: float
    low: float
    high: float
    rounds: int


def alternate(
    contestants: dict[str, Contestant],
    seconds: float = 2.0,
    min_rounds: int = 5,
    between: Callable[[], object] | None = None,
) -> dict[str, Times]:
    """Times of all contestants in turns, until `seconds` have passed, at least `min_rounds` each.

    between: called before each round.
    """
    repetitions = {name: _calibrate(each) for name, each in contestants.items()}
    turns: dict[str, list[float]] = {name: [] for name in contestants}
    end, rounds = time.perf_counter() + seconds, 0
    while rounds < min_rounds or time.perf_counter() < end:
        if between:
            between()
        for name, each in contestants.items():
            wait_for_idle_threads()
            turns[name].append(_turn(each, repetitions[name]))
        rounds += 1
    return {name: summary(of) for name, of in turns.items()}


def wait_for_idle_threads() -> None:
    """Waits until the previous contestant's threads sleep: some spin for 0.2 s after their work is
    done, on the core that the next one needs.
    """
    for _ in range(MOST_PAUSES):
        used = time.process_time()
        time.sleep(PAUSE)
        if time.process_time() - used < PAUSE / 4:
            return


def summary(turns: list[float]) -> Times:
    """Median and quartiles."""
    low, median, high = statistics.quantiles(turns, n=4, method="inclusive")
    return Times(median, low, high, len(turns))


def _calibrate(each: Contestant) -> int:
    """Calls per turn, after a warm-up call; one if each call needs its setup."""
    _turn(each, 1)
    if each.setup:
        return 1
    return max(1, round(TURN / max(_turn(each, 1), 1e-9)))


def _turn(each: Contestant, repetitions: int) -> float:
    """Seconds per call."""
    if each.setup:
        each.setup()
    run, was_enabled = each.run, gc.isenabled()
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in range(repetitions):
            run()
        return (time.perf_counter() - start) / repetitions
    finally:
        if was_enabled:
            gc.enable()
