"""Checks and conversions of arrays, shared by observations and actions.

`lead` are the axes before a space's own: () for one value, (n,) for n rows or environments, (T, E)
for a rollout. D components, each an integer from starts[d] to starts[d] + counts[d] - 1.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from fasttrpo.errors import UserError, UserTypeError

Lead = tuple[int, ...]


def numeric(name: str, array: Any) -> np.ndarray:
    """`array` as a NumPy array of real numbers. Raises TypeError for anything else."""
    array = np.asarray(array)
    if array.dtype.kind not in "fiub":
        raise UserTypeError(f"{name} must be an array of real numbers, got dtype {array.dtype}")
    return array


class Choices:
    """Converts D integer components to count from zero, and to one-hot rows."""

    def __init__(self, counts: tuple[int, ...], starts: tuple[int, ...]) -> None:
        self.counts = np.array(counts, np.int64)
        self.starts = np.array(starts, np.int64)

    @cached_property
    def total(self) -> int:
        """The sum of the counts."""
        return int(self.counts.sum())

    @cached_property
    def _offsets(self) -> np.ndarray:
        return np.cumsum(self.counts) - self.counts

    @cached_property
    def _limits(self) -> np.ndarray:
        return self.counts.astype(np.uint64)

    def from_zero(self, name: str, values: np.ndarray) -> np.ndarray:
        """(*lead, D) integers, in any number type -> int64 that count from zero.

        Raises ValueError for the first value out of its component's range.
        """
        if values.dtype == np.int64:
            choices = values - self.starts
            if not np.count_nonzero(choices.view(np.uint64) >= self._limits):  # negative: large
                return choices
        with np.errstate(invalid="ignore"):
            choices = (values - self.starts).astype(np.int64)
        # A value that is not finite becomes some integer, which does not equal it.
        legal = (choices >= 0) & (choices < self.counts) & (choices + self.starts == values)
        for index in np.argwhere(~legal)[:1].tolist():
            self._refuse(name, values, *index)
        return choices

    def _refuse(self, name: str, values: np.ndarray, *index: int) -> None:
        *lead, d = index
        component = f" (component {d})" if len(self.counts) > 1 else ""
        first, last = self.starts[d], self.starts[d] + self.counts[d] - 1
        raise UserError(
            f"{name} {values[tuple(index)]}{place(lead)} is not an integer "
            f"from {first} to {last}{component}"
        )

    def one_hot(self, name: str, values: np.ndarray) -> np.ndarray:
        """(*lead, D) integers -> (*lead, sum(counts)) float32, a one for each component."""
        places = (self.from_zero(name, values) + self._offsets).reshape(-1, len(self.counts))
        rows = np.zeros((len(places), self.total), np.float32)
        rows[np.arange(len(places))[:, None], places] = 1
        return rows.reshape(*values.shape[:-1], self.total)


def place(index: list[int], noun: str = "row") -> str:
    """Describes an index into `lead`, for messages."""
    if len(index) == 2:
        return f" of environment {index[1]} at step {index[0]}"
    return f" of {noun} {index[0]}" if index else ""
