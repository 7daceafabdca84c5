"""Checks of a single value: (name, value) -> a plain value, or ValueError."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any, NamedTuple

from fasttrpo.errors import UserError

LARGEST_SIZE = 2**24  # TRPO_LARGEST_SIZE in csrc/include/trpo.h


class Check(NamedTuple):
    """A callable (name, value) that returns the value as a plain type, or raises ValueError."""

    legal: str
    """the legal values in words, to follow "must be" """
    convert: Callable[[str, Any], Any]
    words: tuple[str, ...] = ()
    """the legal words, if only words are legal"""

    def __call__(self, name: str, value: Any) -> Any:
        return self.convert(name, value)


def refuse(name: str, value: Any, legal: str) -> ValueError:
    """The error to raise, with the name, the legal values and the value."""
    return UserError(f"{name} must be {legal}, got {value!r}")


def plain(value: Any) -> Any:
    """The Python object in a scalar or 0-d array of NumPy, PyTorch, ...; other values unchanged."""
    is_scalar = getattr(value, "shape", None) == () and hasattr(value, "item")
    return value.item() if is_scalar else value


def is_real(value: Any) -> bool:
    """Whether it is a real number, including Decimal (not a `numbers.Real`), but not bool."""
    if isinstance(value, numbers.Complex):
        return isinstance(value, numbers.Real) and not isinstance(value, bool)
    return isinstance(value, numbers.Number)


def _number(value: Any) -> Any:
    """A finite real number as a Python object; None for anything else, including bools."""
    value = plain(value)
    if not is_real(value):
        return None
    try:
        return value if math.isfinite(value) else None
    except (OverflowError, ValueError):  # too large for a float; a signaling NaN
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
    """Like `integer`, but also accepts integral values of other types, for example 1e6."""
    check = integer(low)

    def count_of(name: str, value: Any) -> int:
        number = _number(value)
        is_whole = number is not None and number == int(number)
        return check(name, int(number) if is_whole else value)

    return Check(check.legal, count_of)


size = integer(1, LARGEST_SIZE)


def real(legal: str, test: Callable[[float], bool]) -> Check:
    """A finite number that passes `test`; `legal` describes them."""

    def check(name: str, value: Any) -> float:
        number = _as_float(_number(value))
        if number is None or not test(number):
            raise refuse(name, value, legal)
        return number

    return Check(legal, check)


positive = real("a number > 0", lambda x: x > 0)


def _as_float(number: Any) -> float | None:
    """A float; None for None, and for an integer too large for a float."""
    try:
        return None if number is None else float(number)
    except OverflowError:
        return None


def _flag(name: str, value: Any) -> bool:
    if not isinstance(plain(value), bool):
        raise refuse(name, value, flag.legal)
    return bool(value)


flag = Check("True or False", _flag)  # also NumPy's


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
