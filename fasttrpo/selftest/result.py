"""What a check answers: how far two computations of the same numbers lie apart, and may lie.

Errors are relative to the largest entry of what is expected, so that a vector has one error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

# float64, by reason to differ. The tests of the library hold tighter ones, case by case.
ROUNDING = 1e-11  # the same formula, its sums in another order
DIFFERENCES = 1e-7  # 4th-order differences
SECOND_DIFFERENCES = 1e-5  # second differences of values
SOLVED = 1e-7  # through a linear system
UPDATES = {"float64": 1e-9, "float32": 5e-3}  # whole updates by two implementations


class Outcome(NamedTuple):
    """What one check found."""

    compared: str
    """with what, in a few words; or, where the check does not apply, why"""
    error: float | None
    """the worst relative error, 0 for the same bits; None where the check does not apply"""
    tolerance: float
    """the largest error that passes; 0 asks for the same bits"""


def does_not_apply(why: str) -> Outcome:
    """The outcome of a check that this backend or machine has no use for."""
    return Outcome(why, None, 0.0)


@dataclass(frozen=True)
class Result:
    """A check by name, what it found, and the seconds it took."""

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
        """As it is printed."""
        return f"{self.status:<7} {self.name:<40} {self._bound():<18} {self.outcome.compared}"

    def _bound(self) -> str:
        _, error, tolerance = self.outcome
        if error is None:
            return "does not apply"
        if not math.isfinite(error):
            return "wrong"
        if tolerance == 0:
            return "the same bits" if error == 0 else "other bits"
        return f"{error:.1e} {'<=' if error <= tolerance else '> '} {tolerance:.0e}"


def error(actual: ArrayLike, expected: ArrayLike) -> float:
    """max |actual - expected| / max |expected|; infinite for other shapes or what is not finite."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    if actual.shape != expected.shape or not np.isfinite([actual, expected]).all():
        return math.inf
    scale = float(np.max(np.abs(expected), initial=0.0))
    apart = float(np.max(np.abs(actual - expected), initial=0.0))
    return apart / scale if scale > 0 else apart


def state_error(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """The worst error among two agents' states; 0 only for the same bits."""
    if list(one) != list(other):
        return math.inf
    if all(one[name].tobytes() == other[name].tobytes() for name in one):
        return 0.0
    return max(5e-324, *(error(one[name], other[name]) for name in one))
