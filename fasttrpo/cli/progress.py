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

    total, done  environment steps; those that an earlier process has done
    """

    def __init__(self, total: int, done: int = 0, clock: Callable[[], float] = monotonic) -> None:
        self._total, self._done, self._first = total, done, done
        self._clock = clock
        self._started = self._printed = clock()

    def add(self, n: int, words: str) -> None:
        """Counts `n` more, and prints a line if it is time to."""
        self._done += n
        now = self._clock()
        if now - self._printed >= EVERY:
            self._printed = now
            print(self._line(words, now - self._started), file=sys.stderr, flush=True)

    def _line(self, words: str, seconds: float) -> str:
        rate = (self._done - self._first) / max(seconds, 1e-9)
        left = duration(max(0, self._total - self._done) / max(rate, 1e-9))
        share = f"step {self._done} of {self._total} ({self._done / self._total:.0%})"
        return f"{share}, {words}, {rate:.0f} steps/s, {left} left"


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


class Episodes:
    """Shows the progress of an evaluation: the episodes that have ended, and the steps, because
    all episodes of a batch may end together.
    """

    def __init__(self, total: int, progress: bool | None) -> None:
        self._total, self._ended, self._steps = total, 0, 0
        self._is_lines, self._bar = (shown := kind(progress)) == LINES, None
        if shown == BAR:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, desc="evaluation", unit="episode")
        self._started = self._printed = monotonic()

    def counted(self, episodes: Iterable[Item]) -> Iterator[Item]:
        """Yields the episodes of `play`."""
        try:
            for episode in episodes:
                self._ended += 1
                if self._bar is not None:
                    self._bar.update(1)
                yield episode
        finally:
            if self._bar is not None:
                self._bar.close()

    def watch(self, env: Any, obs: Any, actions: Any, step: Any, ended: Any) -> None:
        """For `play`, which calls it after each step of all environments."""
        self._steps += len(step.rewards)
        if self._bar is not None:
            self._bar.set_postfix_str(f"{self._steps} steps", refresh=False)
            self._bar.update(0)
        elif self._is_lines and (now := monotonic()) - self._printed >= EVERY:
            self._printed = now
            rate = self._steps / max(now - self._started, 1e-9)
            words = f"evaluation: {self._ended} of {self._total} episodes ended, "
            print(f"{words}{self._steps} steps, {rate:.0f} steps/s", file=sys.stderr, flush=True)
