"""Progress on standard error: a bar on a terminal, and elsewhere a line from time to time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from time import monotonic
from typing import Any, TypeVar

EVERY = 10.0  # seconds between lines
BAR, LINES, NOTHING = "a bar", "lines", ""

Item = TypeVar("Item")


def kind(progress: bool | None) -> str:
    """What to show for --progress (True), --no-progress (False) or neither."""
    if progress is None:
        return BAR if sys.stderr.isatty() else LINES
    return BAR if progress else NOTHING


class Lines:
    """Prints a line every `EVERY` seconds: how much is done, some words, the rate, the time left.

    total, done  of `unit`s; `done` of an earlier process
    """

    def __init__(
        self, total: int, done: int = 0, unit: str = "step", clock: Callable[[], float] = monotonic
    ) -> None:
        self._total, self._done, self._first, self._unit = total, done, done, unit
        self._clock = clock
        self._started = self._printed = clock()

    def add(self, n: int, words: str = "") -> None:
        """Counts `n` more, and prints a line if it is time to."""
        self._done += n
        now = self._clock()
        if now - self._printed >= EVERY:
            self._printed = now
            print(self._line(words, now - self._started), file=sys.stderr, flush=True)

    def _line(self, words: str, seconds: float) -> str:
        rate = (self._done - self._first) / max(seconds, 1e-9)
        left = duration(max(0, self._total - self._done) / max(rate, 1e-9))
        share = f"{self._unit} {self._done} of {self._total} ({self._done / self._total:.0%})"
        shown = f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"
        return ", ".join(filter(None, [share, words, f"{shown} {self._unit}s/s", f"{left} left"]))


def duration(seconds: float) -> str:
    """A duration in its two largest units."""
    left = round(seconds)
    for size, large, part, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if left >= size:
            return f"{left // size} {large} {left % size // part} {small}"
    return f"{left // 60} min {left % 60} s" if left >= 60 else f"{left} s"


def of_record(record: dict[str, Any]) -> str:
    """What the bar says about an iteration, too."""
    return f"return {record['return_mean']:.1f}, KL {record['kl']:.4f}"


def tracked(items: Iterable[Item], total: int, progress: bool | None) -> Iterator[Item]:
    """Yields the episodes of an evaluation, showing how many have ended."""
    shown = kind(progress)
    if shown == BAR:
        from tqdm.auto import tqdm

        items = tqdm(items, total=total, desc="evaluation")
    lines = Lines(total, unit="episode") if shown == LINES else None
    for item in items:
        if lines is not None:
            lines.add(1, "evaluation")
        yield item
