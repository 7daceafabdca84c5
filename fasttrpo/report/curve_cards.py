"""The page's learning curves: a card per environment, and the returns over seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fasttrpo.report import diagnostics
from fasttrpo.report.cards import card, legend, reading
from fasttrpo.report.curves import Average, average, common_grid, evaluation_curve
from fasttrpo.report.groups import Group
from fasttrpo.report.markup import Markup, element
from fasttrpo.report.scales import LINEAR, kind_for
from fasttrpo.report.statistics import CONFIDENCE, MIN_SEEDS, N_RESAMPLES, centre_name, iqm
from fasttrpo.report.svg import Axes, Line, line_chart
from fasttrpo.report.targets import Target
from fasttrpo.report.words import number, pluralize

SIZES = {"wide": (1130, 410), "narrow": (340, 300)}
Found = tuple[int, Group, Average]


def curve_cards(groups: Sequence[Group], targets: Mapping[str, Target | None]) -> Markup:
    """A card per environment. targets: by environment."""
    found = [(i, group, average(group, "return_mean")) for i, group in enumerate(groups)]
    cards = []
    for env_id, target in targets.items():
        own = [(i, g, a) for i, g, a in found if g.env_id == env_id and a is not None and len(a.x)]
        cards.append(_curve_card(env_id, own, target))
    return element("div", *cards, class_="curves")


def _curve_card(env_id: str, shown: Sequence[Found], target: Target | None) -> Markup:
    title = f"{env_id}: return over steps"
    if not shown:
        return card(title, element("p", "No episode has ended yet.", class_="soft"))
    lines = [line for i, group, a in shown for line in _curve_lines(i, group, a)]
    value = None if target is None else target.value
    shapes = [v for line in lines for v in (line.y, line.low, line.high) if v is not None]
    kind, draws_target = kind_for([a.iqm for _, _, a in shown], shapes, value)
    axes = Axes(y="return", kind=kind, target=value if draws_target else None)
    keys = [
        (f"{g.label} ({pluralize(len(g.runs), 'seed')})", f"line c{i % 6}") for i, g, _ in shown
    ]
    charts = (
        element("div", line_chart(lines, *size, f"return over steps: {env_id}", axes), class_=name)
        for name, size in SIZES.items()
    )
    notes = ["Mean return of the last 100 episodes.", _how_bands([a for _, _, a in shown])]
    if any(run.evaluations for _, g, _ in shown for run in g.runs):
        notes.append("Dashed: evaluations during training.")
    notes += _how_target(target, draws_target, kind)
    how = element("p", " ".join(filter(None, notes)), class_="how")
    return card(title, legend(keys), *charts, how)


def _curve_lines(i: int, group: Group, found: Average) -> list[Line]:
    """The seeds (faint), the interquartile mean with its band, and evaluations (dashed)."""
    lines = []
    if len(found.curves) > 1:
        lines = [Line(c.x, c.y, "", i, "faint") for c in found.curves]
        lines.append(Line(found.x, found.mean, f"{group.label}, mean", i, "dotted"))
    lines.append(Line(found.x, found.iqm, group.label, i, "line", found.low, found.high))
    return lines + _evaluation_lines(i, group)


def _evaluation_lines(i: int, group: Group) -> list[Line]:
    """The interquartile mean of the seeds' evaluations, or each seed's if they have no steps in
    common.
    """
    found = [(run, evaluation_curve(run)) for run in group.runs]
    found = [(run, c) for run, c in found if len(c.x)]
    curves = [c for _, c in found]
    if len(curves) > 1:
        grid = common_grid(curves, min(c.x[-1] for c in curves))
        rows = np.array([np.interp(grid, c.x, c.y) for c in curves])
        drawn = np.isfinite(rows).all(axis=0)  # interpolation fails where two points share an x
        if drawn.any():
            y = iqm(rows[:, drawn])
            return [Line(grid[drawn], y, f"{group.label}, evaluations", i, "dashed")]
    return [Line(c.x, c.y, f"{run.name}, evaluation", i, "dashed") for run, c in found]


def _how_bands(averages: Sequence[Average]) -> str:
    """How to read the lines and bands of several seeds; "" if each group has one."""
    sizes = [len(found.curves) for found in averages if found.low is not None]
    if not sizes:
        return ""
    text = f"Bold: {centre_name(sizes)} of the seeds; faint: each seed. "
    if max(sizes) >= MIN_SEEDS:
        text += (
            f"Dotted: their mean. Band: {CONFIDENCE:.0%} pointwise confidence interval of the "
            f"interquartile mean from {N_RESAMPLES:,} bootstrap resamples of the seeds (Agarwal et "
            "al. 2021). "
        )
    if min(sizes) < MIN_SEEDS:
        of = f" of fewer than {MIN_SEEDS} seeds" if max(sizes) >= MIN_SEEDS else ""
        text += f"Band{of}: the pointwise range of the seeds. "
    return text + (
        "A finished seed keeps its last value; an average ends where an unfinished seed stopped."
    )


def _how_target(target: Target | None, is_drawn: bool, kind: int) -> list[str]:
    notes = []
    if target is not None:
        source = "" if target.is_given else ", Gymnasium's reward threshold"
        where = "" if is_drawn else " is too far away to draw"
        notes.append(f"Target: {number(target.value)}{source}{where}.")
    if kind != LINEAR:
        notes.append("The scale is logarithmic: equal distances are equal ratios.")
    return notes


def wall_clock_card(groups: Sequence[Group]) -> Markup | None:
    """Returns over seconds; None for several environments, whose returns are not comparable."""
    found = [(i, group, average(group, "return_mean", "seconds")) for i, group in enumerate(groups)]
    lines = [
        Line(a.x, a.iqm, g.name, i, "line", a.low, a.high)
        for i, g, a in found
        if a is not None and len(a.x)
    ]
    if not lines or len({group.env_id for group in groups}) > 1:
        return None
    shapes = [v for line in lines for v in (line.y, line.low, line.high) if v is not None]
    axes = Axes("seconds", "return", kind_for([line.y for line in lines], shapes, None)[0])
    size = diagnostics.WIDTH, diagnostics.HEIGHT
    chart = line_chart(lines, *size, "return over seconds", axes)
    text = "The learning curves over training time, which does not include the final evaluation."
    return card("Return over wall-clock seconds", chart, reading(text))
