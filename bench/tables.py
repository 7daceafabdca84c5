"""Markdown tables and numbers with units."""

from __future__ import annotations

from collections.abc import Sequence

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (0.0, "ns"))


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; None becomes an empty cell."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(header), *cells]) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *cells]
    return "\n".join(_line(line, widths) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return f"| {' | '.join(padded)} |"


def seconds(value: float) -> str:
    """Three digits and the unit that fits: 1.25 ms."""
    scale, unit = next((s, u) for s, u in _UNITS if value >= s)
    return f"{digits(value / (scale or 1e-9))} {unit}"


def spread(median: float, low: float, high: float) -> str:
    """The median, and half the interquartile range in per cent of it."""
    return f"{seconds(median)} ±{50 * (high - low) / median:.0f}%"


def digits(value: float) -> str:
    """Three significant digits, never in the form 1e+03."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ratio(value: float) -> str:
    """A speed ratio; a loss is marked."""
    return f"{digits(value)}x" if value >= 1 else f"**{digits(value)}x (loss)**"


def percent(value: float | None) -> str:
    """A share."""
    return "" if value is None else f"{100 * value:.0f}%"


def verdict(value: float | None, target: float | None) -> str:
    """Whether a target of at least `target` was met; empty if there is none."""
    if target is None or value is None:
        return ""
    return f"{'met' if value >= target else '**missed**'} (>= {target:g})"


def limit(value: float, most: float) -> str:
    """Whether a target of at most `most` was met."""
    return f"{'met' if value <= most else '**missed**'} (<= {most:g})"
