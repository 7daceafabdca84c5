"""Charts as inline SVG, coloured by the page's style sheet: lines with bands, and stacked bars.

The classes of elements are `c0`, `c1`, ... (a group's colour) and `band`, `line`, `dashed`,
`dotted`, so a chart works on light, dark and printed pages. page.js makes tooltips from its
`data-points`. `thinning` limits long lines to the points that a screen can show.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fasttrpo.checks.printable import readable
from fasttrpo.report.markup import Markup, element, joined
from fasttrpo.report.scales import LINEAR, Scale, scale
from fasttrpo.report.thinning import PER_COLUMN, visible
from fasttrpo.report.words import count, number

LEFT, RIGHT, TOP, BOTTOM = 46, 12, 26, 40  # page.js has the last two as well
N_COLOURS = 6
MAX_POINTS = 6000
"""All lines of a chart together have at most as many, tooltips a sixth; limits the page's size."""


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
class Axes:
    """What a chart's axes show.

    x       "steps" or "seconds"
    y       what the y axis shows, with its unit
    kind    of the y axis (`scales`)
    within  limits of the y axis; values beyond are drawn at the edge
    target  a value of y that gets a line
    """

    x: str = "steps"
    y: str = ""
    kind: int = LINEAR
    within: tuple[float, float] | None = None
    target: float | None = None


X_TITLES = {"steps": "environment steps", "seconds": "seconds of training"}


def line_chart(
    lines: Sequence[Line],
    width: int,
    height: int,
    title: str,
    axes: Axes,
    marks: np.ndarray | None = None,
) -> Markup:
    """A chart of lines: finite points with ascending x.

    title   text for screen readers
    marks   (M,) x of ticks at the top
    """
    lines = [line for line in lines if len(line.x)]
    columns = max(1, min(width // 2, MAX_POINTS // (PER_COLUMN * len(lines))))
    tips = [_thinned(line, max(1, columns // 6)) for line in lines if line.name]
    lines = [_thinned(line, columns) for line in lines]
    x = scale([line.x for line in lines], LEFT, width - RIGHT, pad=0.0)
    y = _y_scale(lines, height, axes)
    parts: list[Markup | None] = [_grid(x, y, width, height), *_titles(axes, width, height)]
    parts += [_band(line, x, y) for line in lines]
    parts += [_path(line, x, y) for line in lines]
    parts += [_mark(at) for at in np.unique(np.round(x(marks)))] if marks is not None else []
    parts += _target(axes.target, y, width) if axes.target is not None else []
    points = [_points(line, x, y) for line in tips]
    return element(
        "svg",
        *parts,
        data_unit=axes.x.removesuffix("s"),
        class_="chart",
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=title,
        data_points=json.dumps(points, separators=(",", ":")),
    )


def _y_scale(lines: Sequence[Line], height: int, axes: Axes) -> Scale:
    shown = [v for line in lines for v in (line.y, line.low, line.high) if v is not None]
    shown += [np.array([axes.target])] if axes.target is not None else []
    return scale(shown, height - BOTTOM, TOP, 0.06, axes.kind, axes.within)


def _titles(axes: Axes, width: int, height: int) -> list[Markup]:
    """The titles of both axes; the y axis's stands above it, where it needs no rotation."""
    y = f"{axes.y} (log scale)" if axes.kind else axes.y
    return [
        element("text", y, class_="ytitle", x=2, y=TOP - 12),
        element("text", X_TITLES[axes.x], class_="xtitle", x=width - RIGHT, y=height - 4),
    ]


def _target(value: float, y: Scale, width: int) -> list[Markup]:
    """The target's line, with its value."""
    at = float(y(value))
    beside = at - 5 if at > TOP + 12 else at + 14
    return [
        element("path", class_="target", d=f"M{LEFT} {at:.1f}H{width - RIGHT}"),
        element("text", f"target {number(value)}", class_="target", x=LEFT + 6, y=f"{beside:.1f}"),
    ]


def _thinned(line: Line, columns: int) -> Line:
    ys = tuple(v for v in (line.y, line.low, line.high) if v is not None)
    keep = visible(line.x, ys, columns)
    low, high = (None if v is None else v[keep] for v in (line.low, line.high))
    return replace(line, x=line.x[keep], y=line.y[keep], low=low, high=high)


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
