"""Formats numbers and names for readers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

MAX_LENGTH = 300  # characters of a text from a run's folder
_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def shorten(text: str, most: int = MAX_LENGTH) -> str:
    """The text, shortened to `most` characters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def count(value: float) -> str:
    """A number with a unit prefix: 1500000 is "1.5M"."""
    if not math.isfinite(value):
        return "-"
    for size, unit in _UNITS:
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.4g}"


def median(values: Sequence[float]) -> float:
    """The median of the finite values; NaN if there are none."""
    finite = [value for value in values if math.isfinite(value)]
    return statistics.median(finite) if finite else math.nan


def number(value: float | None) -> str:
    """Four significant digits with thousands separators; "-" if not finite."""
    if value is None or not math.isfinite(value):
        return "-"
    if value == 0 or 1e-4 <= abs(value) < 1e7:
        digits = 0 if value == 0 else max(0, 3 - math.floor(math.log10(abs(value))))
        text = f"{value:,.{digits}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """ "0.42 s", "35 s", "12 min", "3 h 20 min" """
    if not math.isfinite(seconds):
        return "-"
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def percent(share: float) -> str:
    """ "12%", "0.4%" """
    return f"{100 * share:.2g}%" if 0 < share < 0.01 else f"{100 * share:.0f}%"


def pluralize(n: int, what: str) -> str:
    """ "1 seed", "2 seeds" """
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def join_words(items: list[str]) -> str:
    """ "a", "a and b", "a, b and c" """
    return " and ".join(filter(None, [", ".join(items[:-1]), items[-1]])) if items else ""
