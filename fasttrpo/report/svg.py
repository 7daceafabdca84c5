"""Charts as inline SVG, coloured by the page's style sheet: lines with bands, and stacked bars.

The classes of elements are `c0`, `c1`, ... (a group's colour) and `band`, `line`, `dashed`,
`dotted`, so a chart works on light, dark and printed pages. page.js makes tooltips from its
`data-points`. `thinning` limits long lines to the points that a screen can show.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fasttrpo.checks.printable import readable
from fasttrpo.report.markup import Markup, element, joined
from fasttrpo.report.thinning import PER_COLUMN, visible
from fasttrpo.report.words import count, number

LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 24
N_COLOURS = 6
MAX_POINTS = 6000
"""All lines of a chart together have at most as many, tooltips a sixth; limits the page's size."""
_DECADES = 300  # a logarithmic axis shows 1e-300 to 1e300


@dataclass(frozen=True)
class Line:
    """A curve x, y (G,), with an optional band low, high (G,).

    style   "line", "dashed", "dotted" or "faint"
    colour  number of the group; None for a neutral line
    name    in tooltips; "" to omit it there
    """

    x: np.ndarray
    y: np.ndarray
    name: str = ""
    colour: int | None = 0
    style: str = "line"
    low: np.ndarray | None = None
    high: np.ndarray | None = None


@dataclass(frozen=True)
class Scale:
    """Maps values from low to high to pixels from start to stop, linearly; if `log`, linearly in
    their logarithms to base 10 (low and high are logarithms too).
    """

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, values: np.ndarray | float) -> np.ndarray:
        """Pixels; values outside are placed at the edge."""
        values = np.asarray(values, float)
        values = _logarithms(values) if self.log else values
        share = (values - self.low) / (self.high - self.low)
        return self.start + np.clip(share, 0, 1) * (self.stop - self.start)

    def ticks(self, about: int) -> list[float]:
        """About this many round values within the range."""
        if self.log:
            return _round_logarithms(self.low, self.high, about)
        return _round_values(self.low, self.high, about)


def _logarithms(values: np.ndarray) -> np.ndarray:
    return np.log10(np.maximum(values, 10.0**-_DECADES))


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
    if len(powers) > 1:
        return powers[:: max(1, round(len(powers) / about))]
    between = [m * 10.0**k for k in range(math.floor(low), math.ceil(high) + 1) for m in (1, 2, 5)]
    return [value for value in between if low <= math.log10(value) <= high] or _round_values(
        10.0**low, 10.0**high, about
    )


def line_chart(
    lines: Sequence[Line],
    width: int,
    height: int,
    title: str,
    log: bool = False,
    within: tuple[float, float] | None = None,
    marks: np.ndarray | None = None,
    unit: str | None = None,
) -> Markup:
    """A chart of lines over environment steps or another x: finite points with ascending x.

    log     use a logarithmic y axis if all values are positive and span a power of ten
    within  limits of the y axis; values beyond are drawn at the edge
    marks   (M,) x of ticks at the top
    title   text for screen readers
    unit    unit of x in tooltips; steps by default
    """
    lines = [line for line in lines if len(line.x)]
    columns = max(1, min(width // 2, MAX_POINTS // (PER_COLUMN * len(lines))))
    tips = [_thinned(line, max(1, columns // 6)) for line in lines if line.name]
    lines = [_thinned(line, columns) for line in lines]
    x = _scale([line.x for line in lines], LEFT, width - RIGHT, pad=0.0)
    shown = [v for line in lines for v in (line.y, line.low, line.high) if v is not None]
    least, most = (f([f(line.y) for line in lines]) for f in (np.min, np.max))
    y = _scale(shown, height - BOTTOM, TOP, 0.06, log and most > 10 * least > 0, within)
    parts = [_grid(x, y, width, height), *(_band(line, x, y) for line in lines)]
    parts += [_path(line, x, y) for line in lines]
    parts += [_mark(at) for at in np.unique(np.round(x(marks)))] if marks is not None else []
    points = [_points(line, x, y) for line in tips]
    return element(
        "svg",
        *parts,
        data_unit=unit,
        class_="chart",
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=title,
        data_points=json.dumps(points, separators=(",", ":")),
    )


def _thinned(line: Line, columns: int) -> Line:
    ys = tuple(v for v in (line.y, line.low, line.high) if v is not None)
    keep = visible(line.x, ys, columns)
    low, high = (None if v is None else v[keep] for v in (line.low, line.high))
    return replace(line, x=line.x[keep], y=line.y[keep], low=low, high=high)


def _scale(
    values: Sequence[np.ndarray],
    start: float,
    stop: float,
    pad: float,
    log: bool = False,
    within: tuple[float, float] | None = None,
) -> Scale:
    """A scale over all values, with a margin of `pad` of the range at both ends."""
    joined = np.concatenate([np.asarray(v, float) for v in values])
    joined = _logarithms(joined[joined > 0]) if log else joined
    low, high = float(joined.min()), float(joined.max())
    if within is not None:
        low, high = (min(max(value, within[0]), within[1]) for value in (low, high))
    if not high - low > 1e-12 * max(abs(low), abs(high), 1e-270):  # constant up to rounding
        around = abs(low) * 0.5 if abs(low) > 1e-270 else 1.0
        low, high = low - around, high + around
    free = pad * (high - low)
    return Scale(low - free, high + free, start, stop, log)


def _grid(x: Scale, y: Scale, width: int, height: int) -> Markup:
    """Horizontal grid lines, and the labels of both axes."""
    parts, bottom = [], height - BOTTOM
    for value in y.ticks(max(3, height // 45)):
        at = float(y(value))
        parts.append(element("path", class_="grid", d=f"M{LEFT} {at:.1f}H{width - RIGHT}"))
        parts.append(element("text", _tick(value), class_="y", x=LEFT - 6, y=f"{at + 4:.1f}"))
    for value in x.ticks(max(3, width // 110)):
        at = float(x(value))
        parts.append(element("text", _tick(value), class_="x", x=f"{at:.1f}", y=bottom + 16))
    parts.append(element("path", class_="axis", d=f"M{LEFT} {bottom}H{width - RIGHT}"))
    return joined(parts)


def _tick(value: float) -> str:
    if value and abs(value) < 1e-3:
        return f"{value:.0e}".replace("e-0", "e-")
    return count(value).replace("-", "\N{MINUS SIGN}")


def _class(line: Line, *names: str) -> str:
    return " ".join([*names, "n" if line.colour is None else f"c{line.colour % N_COLOURS}"])


def _band(line: Line, x: Scale, y: Scale) -> Markup | None:
    if line.low is None or line.high is None:
        return None
    there, back = _pairs(x(line.x), y(line.high)), _pairs(x(line.x), y(line.low))[::-1]
    return element("path", class_=_class(line, "band"), d=f"M{'L'.join(there + back)}Z")


def _path(line: Line, x: Scale, y: Scale) -> Markup:
    pairs = _pairs(x(line.x), y(line.y))
    if len(pairs) == 1:
        cx, cy = pairs[0].split()
        return element("circle", class_=_class(line, "dot"), cx=cx, cy=cy, r=3)
    return element("path", class_=_class(line, line.style), d=f"M{'L'.join(pairs)}")


def _pairs(x: np.ndarray, y: np.ndarray) -> list[str]:
    return [f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True)]


def _mark(at: float) -> Markup:
    return element("path", class_="mark", d=f"M{at:.1f} {TOP - 8}v7")


def _points(line: Line, x: Scale, y: Scale) -> dict:
    """The tooltip's data: name, style, and position and value of each point."""
    return {
        "name": readable(line.name),
        "class": _class(line),
        "style": line.style,
        "x": np.round(x(line.x), 1).tolist(),
        "y": np.round(y(line.y), 1).tolist(),
        "at": [count(v) for v in line.x],
        "value": [number(v) for v in line.y],
    }


def bars(rows: Sequence[tuple[str, Sequence[tuple[str, float]]]], unit: str) -> Markup:
    """HTML of a stacked bar for each row (name, [(part, amount), ...]).

    unit  unit of the amounts, for the tooltips
    """
    parts = []
    for name, amounts in rows:
        total = sum(amount for _, amount in amounts) or 1.0
        pieces = (
            _piece(i, f"{part}: {number(amount)} {unit}", amount / total)
            for i, (part, amount) in enumerate(amounts)
            if amount > 0
        )
        label = element("span", name) if name else None
        parts.append(element("div", label, element("b", *pieces), class_="bar"))
    return joined(parts)


def _piece(i: int, title: str, share: float) -> Markup:
    return element(
        "i",
        f"{share:.0%}" if share > 0.09 else None,
        class_=f"p{i}",
        style=f"width:{100 * share:.3f}%",
        title=f"{title}, {share:.1%}",
    )
