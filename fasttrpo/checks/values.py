"""Checks of one value that a user sets: (name, value) -> a plain value, or ValueError."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any, NamedTuple

from fasttrpo.errors import UserError

LARGEST_SIZE = 2**24  # TRPO_LARGEST_SIZE in csrc/include/trpo.h


class Check(NamedTuple):
    """Call it with a setting's name and value: the value as a plain type, or ValueError."""

    legal: str
    """which values are legal, as it follows "must be" """
    convert: Callable[[str, Any], Any]
    words: tuple[str, ...] = ()
    """the legal words, if only words are legal"""

    def __call__(self, name: str, value: Any) -> Any:
        return self.convert(name, value)


def refuse(name: str, value: Any, legal: str) -> ValueError:
    """The error to raise: which name, what is legal, what was given."""
    return UserError(f"{name} must be {legal}, got {value!r}")


def plain(value: Any) -> Any:
    """The Python object in a scalar or a 0-d array of NumPy's (or PyTorch's, ...); else `value`."""
    is_scalar = getattr(value, "shape", None) == () and hasattr(value, "item")
    return value.item() if is_scalar else value


def is_real(value: Any) -> bool:
    """Whether it is one of Python's real numbers. A bool is none; a Decimal is one, though it is
    none of `numbers.Real`."""
    if isinstance(value, numbers.Complex):
        return isinstance(value, numbers.Real) and not isinstance(value, bool)
    return isinstance(value, numbers.Number)


def _number(value: Any) -> Any:
    """A finite real number as Python has it; None for what is none, and bools are none."""
    value = plain(value)
    if not is_real(value):
        return None
    try:
        return value if math.isfinite(value) else None
    except (OverflowError, ValueError):  # beyond every float; a signaling NaN
        return value if isinstance(value, numbers.Integral) else None


def integer(low: int, high: int | None = None) -> Check:
    """An integer (never a bool) with low <= value <= high."""
    legal = f"an integer >= {low}" if high is None else f"an integer from {low} to {high}"

    def check(name: str, value: Any) -> int:
        number = _number(value)
        is_integer = isinstance(number, numbers.Integral)
        if not is_integer or number < low or (high is not None and number > high):
            raise refuse(name, value, legal)
        return int(number)

    return Check(legal, check)


def count(low: int) -> Check:
    """As `integer`, and also any other number that is whole: 1e6 steps."""
    check = integer(low)

    def count_of(name: str, value: Any) -> int:
        number = _number(value)
        is_whole = number is not None and number == int(number)
        return check(name, int(number) if is_whole else value)

    return Check(check.legal, count_of)


size = integer(1, LARGEST_SIZE)


def real(legal: str, test: Callable[[float], bool]) -> Check:
    """A finite number that passes `test`; `legal` says which those are."""

    def check(name: str, value: Any) -> float:
        number = _as_float(_number(value))
        if number is None or not test(number):
            raise refuse(name, value, legal)
        return number

    return Check(legal, check)


positive = real("a number > 0", lambda x: x > 0)


def _as_float(number: Any) -> float | None:
    """None for an integer beyond every float."""
    try:
        return None if number is None else float(number)
    except OverflowError:
        return None


def _flag(name: str, value: Any) -> bool:
    if not isinstance(plain(value), bool):
        raise refuse(name, value, flag.legal)
    return bool(value)


flag = Check("True or False", _flag)  # NumPy's too


def one_of(*words: str) -> Check:
    """One of the given words."""
    legal = " or ".join(map(repr, words))

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in words:
            raise refuse(name, value, legal)
        return value

    return Check(legal, check, words)


def optional(inner: Check) -> Check:
    """None, or what `inner` accepts."""
    return Check(
        f"{inner.legal} or None",
        lambda name, value: None if value is None else inner(name, value),
        inner.words,
    )
