"""A row of the core's table of settings, and the check of its range."""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple

from fasttrpo.checks.values import Check, flag, integer, one_of, real


class Row(NamedTuple):
    """A setting of the core (csrc/include/trpo_settings.h)."""

    name: str
    type: str
    """int, real, flag, word, sizes (a tuple of ints) or seed"""
    default: Any
    """None: the caller must set it"""
    low: float
    high: float
    """the range is low <= x <= high, and finite; for sizes, of each"""
    low_open: bool
    high_open: bool
    """the bound itself is excluded"""
    words: tuple[str, ...]
    """the legal words of a word, in the order of the core's enumerators"""
    meaning: str

    @property
    def choices(self) -> tuple[str, ...]:
        """The legal words, the default first."""
        return tuple(sorted(self.words, key=lambda word: word != self.default))

    @property
    def check(self) -> Check:
        """(name, value) -> the value as a plain type, or ValueError; for sizes, of each one."""
        if self.type == "flag":
            return flag
        if self.type == "word":
            return one_of(*self.choices)
        if self.type == "real":
            return real(self._numbers(), self.has)
        return integer(int(self.low), 2**64 - 1 if self.type == "seed" else int(self.high))

    def has(self, x: float) -> bool:
        """Whether a finite number is in the range."""
        above = x > self.low if self.low_open else x >= self.low
        return above and (x < self.high if self.high_open else x <= self.high)

    def _numbers(self) -> str:
        """The range in words, for a real."""
        low = f"{'>' if self.low_open else '>='} {self.low:g}"
        if self.high == inf:
            return f"a number {low}"
        if self.low_open and self.high_open:
            return f"a number between {self.low:g} and {self.high:g}"
        if self.low_open or self.high_open:
            return f"a number {low} and {'<' if self.high_open else '<='} {self.high:g}"
        return f"a number from {self.low:g} to {self.high:g}"
