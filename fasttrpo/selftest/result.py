"""Results of checks: the difference between two computations of the same numbers, and its limit.

Errors are relative to the largest expected entry, so that a vector has one error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

# Tolerances for float64 by reason of the difference. The tests use tighter ones for each case.
ROUNDING = 1e-11  # the same formula, with sums in another order
DIFFERENCES = 1e-7  # 4th-order differences
SECOND_DIFFERENCES = 1e-5  # second differences of values
SOLVED = 1e-7  # solutions of a linear system
UPDATES = {"float64": 1e-9, "float32": 5e-3}  # complete updates by two implementations


class Outcome(NamedTuple):
    """What a check found."""

    compared: str
    """what the result was compared with, or why the check does not apply"""
    error: float | None
    """the largest relative error, 0 for the same bits; None if the check does not apply"""
    tolerance: float
    """the largest error that passes; 0 requires the same bits"""


def does_not_apply(why: str) -> Outcome:
    """The outcome of a check that does not apply to this backend or machine."""
    return Outcome(why, None, 0.0)


@dataclass(frozen=True)
class Result:
    """A check's name, outcome and duration."""

    name: str
    outcome: Outcome
    seconds: float = 0.0

    @property
    def status(self) -> str:
        """ "ok", "FAILED" or "-" (does not apply)."""
        _, error, tolerance = self.outcome
        if error is None:
            return "-"
        return "ok" if error <= tolerance else "FAILED"

    def line(self) -> str:
        """The line that is printed."""
        return f"{self.status:<7} {self.name:<40} {self._bound():<18} {self.outcome.compared}"

    def _bound(self) -> str:
        _, error, tolerance = self.outcome
        if error is None:
            return "does not apply"
        if not math.isfinite(error):
            return "wrong"
        if tolerance == 0:
            return "same bits" if error == 0 else "different bits"
        return f"{error:.1e} {'<=' if error <= tolerance else '> '} {tolerance:.0e}"


def error(actual: ArrayLike, expected: ArrayLike) -> float:
    """max |actual - expected| / max |expected|; infinite if shapes differ or any is not finite."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    if actual.shape != expected.shape or not np.isfinite([actual, expected]).all():
        return math.inf
    scale = float(np.max(np.abs(expected), initial=0.0))
    apart = float(np.max(np.abs(actual - expected), initial=0.0))
    return apart / scale if scale > 0 else apart


def state_error(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """The largest error between two agents' states; 0 only for the same bits."""
    if list(one) != list(other):
        return math.inf
    if all(one[name].tobytes() == other[name].tobytes() for name in one):
        return 0.0
    return max(5e-324, *(error(one[name], other[name]) for name in one))
