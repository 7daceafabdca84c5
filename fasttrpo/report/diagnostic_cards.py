"""The page's sections on the trust region, the critic and the time: cards with small charts."""

from __future__ import annotations

from collections.abc import Sequence

from fasttrpo.report import diagnostics
from fasttrpo.report.cards import card, legend, reading, soft, squares
from fasttrpo.report.curve_cards import wall_clock_card
from fasttrpo.report.diagnostics import Diagnostic
from fasttrpo.report.groups import Group
from fasttrpo.report.markup import Markup, element, joined


def sections(groups: Sequence[Group]) -> list[Markup]:
    """The sections, each with its heading."""
    return [*_diagnostics(groups), *_time(groups)]


def _diagnostics(groups: Sequence[Group]) -> list[Markup]:
    colours = [(group.name, f"line c{i % 6}") for i, group in enumerate(groups)]
    key = legend(colours) if len(groups) > 1 else None
    found = (
        (
            "The step and its trust region",
            "Each iteration takes one step within the trust region. Lines are medians over "
            "iterations and seeds; bands span the 10th to the 90th percentile.",
            diagnostics.STEP,
            _share_card(groups),
        ),
        (
            "The direction",
            "The step's direction solves a linear system with the Fisher matrix, which measures "
            "how strongly the policy depends on each parameter.",
            diagnostics.SYSTEM,
            None,
        ),
        ("Policy and critic", "", diagnostics.POLICY, None),
    )
    parts = []
    for title, text, charts, more in found:
        cards = [each for each in (*(_card(chart, groups) for chart in charts), more) if each]
        if cards:
            grid = element("div", *cards, class_="grid")
            parts.append(joined([element("h2", title), soft(text), key, grid]))
    return parts


def _card(diagnostic: Diagnostic, groups: Sequence[Group]) -> Markup | None:
    chart = diagnostics.draw(diagnostic, groups)
    if chart is None:
        return None
    shown = [(what, style) for column, what, style in diagnostic.columns if _any(groups, column)]
    colour = "c0" if len(groups) == 1 else "n"
    keys = [(what, f"{style} {'n' if style == 'dotted' else colour}") for what, style in shown]
    key = legend(keys) if len(keys) > 1 else None
    return card(diagnostic.title, key, chart, reading(diagnostic.reading))


def _any(groups: Sequence[Group], column: str) -> bool:
    return any(group.has(column) for group in groups)


def _share_card(groups: Sequence[Group]) -> Markup | None:
    if not _any(groups, "outcome"):
        return None
    drawn, names = diagnostics.share_bars(groups)
    text = (
        "Outcomes of the updates. A few rejections are normal; many mean that full steps are too "
        "long or the batches too small."
    )
    return card("Steps taken and rejected", drawn, squares(names), reading(text))


def _time(groups: Sequence[Group]) -> list[Markup]:
    """Charts of the time: stages, speed, and returns over seconds."""
    cards = [_stages(groups), _card(diagnostics.SPEED, groups), wall_clock_card(groups)]
    return [element("h2", "Time"), element("div", *cards, class_="grid")]


def _stages(groups: Sequence[Group]) -> Markup | None:
    spent = diagnostics.time_bars(groups)
    if spent is None:
        return None
    drawn, names = spent
    text = "Time per iteration, the mean over iterations and seeds."
    return card("Time by stage", drawn, squares(names), reading(text))
