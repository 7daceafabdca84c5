"""The scales of axes: from values to pixels, with round ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LINEAR, LOG, NEGATIVE_LOG = 0, 1, -1
"""Kinds. NEGATIVE_LOG is the logarithmic scale of negative values: -1000, -100, -10 upwards."""
SQUASHED = 0.1
"""Half of the values within this share of an axis are hard to tell apart."""
FAR = 20
"""A logarithmic scale is only for values that span this factor."""
_DECADES = 300  # a logarithmic axis shows 1e-300 to 1e300


@dataclass(frozen=True)
class Scale:
    """Maps values to pixels from start to stop, linearly in the value or its logarithm to base 10;
    low and high are the limits in that unit.
    """

    low: float
    high: float
    start: float
    stop: float
    kind: int = LINEAR

    def __call__(self, values: np.ndarray | float) -> np.ndarray:
        """Pixels; values outside are placed at the edge."""
        values = transform(np.asarray(values, float), self.kind)
        share = (values - self.low) / (self.high - self.low)
        return self.start + np.clip(share, 0, 1) * (self.stop - self.start)

    def ticks(self, about: int) -> list[float]:
        """About this many round values within the range."""
        if self.kind == LINEAR:
            return _round_values(self.low, self.high, about)
        ends = (self.low, self.high) if self.kind == LOG else (-self.high, -self.low)
        return [self.kind * value for value in _round_logarithms(*ends, about)]


def transform(values: np.ndarray, kind: int) -> np.ndarray:
    """The values in the unit of a kind of scale."""
    if kind == LINEAR:
        return values
    return kind * np.log10(np.maximum(kind * values, 10.0**-_DECADES))


def scale(
    values: Sequence[np.ndarray],
    start: float,
    stop: float,
    pad: float,
    kind: int = LINEAR,
    within: tuple[float, float] | None = None,
) -> Scale:
    """A scale over all values, with a margin of `pad` of the range at both ends."""
    joined = np.concatenate([np.asarray(v, float) for v in values])
    joined = transform(joined[joined * kind > 0], kind) if kind else joined
    low, high = float(joined.min()), float(joined.max())
    if within is not None:
        low, high = (min(max(value, within[0]), within[1]) for value in (low, high))
    if not high - low > 1e-12 * max(abs(low), abs(high), 1e-270):  # constant up to rounding
        around = abs(low) * 0.5 if abs(low) > 1e-270 else 1.0
        low, high = low - around, high + around
    free = pad * (high - low)
    return Scale(low - free, high + free, start, stop, kind)


def _round_values(low: float, high: float, about: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(k * unit for k in (1, 2, 5, 10) if k * unit >= rough * 0.999)
    return [
        k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    ]


def _round_logarithms(low: float, high: float, about: int) -> list[float]:
    """Powers of ten from 10^low to 10^high; their multiples by 1, 2 and 5 if there are fewer than
    two.
    """
    low, high = max(low, -_DECADES), min(high, _DECADES)
    powers = [10.0**k for k in range(math.ceil(low), math.floor(high) + 1)]
    if len(powers) > 2:
        return powers[:: max(1, round(len(powers) / about))]
    between = [m * 10.0**k for k in range(math.floor(low), math.ceil(high) + 1) for m in (1, 2, 5)]
    return [value for value in between if low <= math.log10(value) <= high] or _round_values(
        10.0**low, 10.0**high, about
    )


# -- which kind -----------------------------------------------------------------------------------


def spans_powers(values: Sequence[np.ndarray]) -> bool:
    """Whether the values span a power of ten and are positive, but for a few zeros."""
    joined = np.concatenate(values)
    positive = joined[joined > 0]
    if joined.min() < 0 or len(positive) < 0.8 * len(joined) or not len(positive):
        return False
    return bool(positive.max() > 10 * positive.min())


def kind_for(
    lines: Sequence[np.ndarray], all_shown: Sequence[np.ndarray], target: float | None
) -> tuple[int, bool]:
    """The kind of scale on which lines and a target can be read, and whether to draw the target.

    A far target, or far values at the start, squash the lines on a linear scale. A logarithmic one
    is used if that helps and all values have one sign. Otherwise a far target is left out.
    """
    values, shown = np.concatenate(lines), np.concatenate(all_shown)
    with_target = shown if target is None else np.append(shown, target)
    share = _share(values, with_target, LINEAR)
    if share >= SQUASHED:
        return LINEAR, True
    kind = _kind(with_target)
    if kind != LINEAR and _share(values, with_target, kind) > 2 * share:
        return kind, True
    return LINEAR, not _share(values, shown, LINEAR) > 2 * share


def _kind(values: np.ndarray) -> int:
    """The logarithmic kind for values of one sign that span a large factor."""
    sizes = np.abs(values)
    if sizes.max() / FAR < sizes.min():
        return LINEAR
    return LOG if values.min() > 0 else NEGATIVE_LOG if values.max() < 0 else LINEAR


def _share(values: np.ndarray, shown: np.ndarray, kind: int) -> float:
    """The share of the axis of all shown values that the closest half of the values take."""
    values, shown = np.sort(transform(values, kind)), transform(shown, kind)
    span, half = float(shown.max() - shown.min()), len(values) // 2
    return float((values[half:] - values[: len(values) - half]).min()) / span if span > 0 else 1.0
