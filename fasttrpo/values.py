"""Checks of one value that a user sets: (name, value) -> a plain value, or ValueError."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any

Check = Callable[[str, Any], Any]
LARGEST_SIZE = 2**24  # as in csrc/core/settings.c: what an int holds with room to spare


def refuse(name: str, value: Any, legal: str) -> ValueError:
    """The error to raise: which name, what is legal, what was given."""
    return ValueError(f"{name} must be {legal}, got {value!r}")


def integer(low: int, high: int | None = None) -> Check:
    """An integer (never a bool) with low <= value <= high."""
    legal = f"an integer >= {low}" if high is None else f"an integer from {low} to {high}"

    def check(name: str, value: Any) -> int:
        is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if not is_integer or value < low or (high is not None and value > high):
            raise refuse(name, value, legal)
        return int(value)

    return check


def count(low: int) -> Check:
    """As `integer`, and also a float that is one: 1e6 steps."""
    check = integer(low)

    def count_of(name: str, value: Any) -> int:
        is_whole = isinstance(value, float) and value.is_integer()  # NumPy's float64 is a float
        return check(name, int(value) if is_whole else value)

    return count_of


size = integer(1, LARGEST_SIZE)


def real(legal: str, test: Callable[[float], bool]) -> Check:
    """A finite number that passes `test`; `legal` says which those are."""

    def check(name: str, value: Any) -> float:
        is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not is_real or not _is_finite(value) or not test(value):
            raise refuse(name, value, legal)
        return float(value)

    return check


positive = real("a number > 0", lambda x: x > 0)


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False


def flag(name: str, value: Any) -> bool:
    """True or False (NumPy's too)."""
    if type(value).__name__ not in ("bool", "bool_"):
        raise refuse(name, value, "True or False")
    return bool(value)


def one_of(*legal: str) -> Check:
    """One of the given words."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in legal:
            raise refuse(name, value, " or ".join(map(repr, legal)))
        return value

    return check


def optional(inner: Check) -> Check:
    """None, or what `inner` accepts."""
    return lambda name, value: None if value is None else inner(name, value)
