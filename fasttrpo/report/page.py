"""The report: a self-contained HTML page. `markup` builds its elements and escapes all text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from fasttrpo._version import __version__
from fasttrpo.report import diagnostics, tables
from fasttrpo.report.curves import Average, average, axis
from fasttrpo.report.diagnostics import Diagnostic
from fasttrpo.report.groups import Group
from fasttrpo.report.markup import Markup, document, element, joined, own_file
from fasttrpo.report.remarks import remarks
from fasttrpo.report.runs import Run
from fasttrpo.report.statistics import (
    CONFIDENCE,
    MIN_SEEDS,
    N_RESAMPLES,
    band_name,
    centre_name,
)
from fasttrpo.report.svg import Line, line_chart
from fasttrpo.report.words import count, duration, join_words, median, number, pluralize

SIZES = {"wide": (1130, 380), "narrow": (360, 280)}


def page(groups: Sequence[Group], left_out: Sequence[str] = ()) -> str:
    """The page's HTML. left_out: why runs could not be read."""
    title = join_words(list(dict.fromkeys(group.env_id for group in groups)))
    footer = f"Written by fasttrpo {__version__} from {pluralize(_n_runs(groups), 'run')}."
    body = [
        element("h1", title),
        *(element("p", sentence(group), class_="lead") for group in groups),
        _tiles(groups),
        *(element("p", f"Left out: {text}.") for text in left_out),
        element("h2", "Learning curves"),
        _curves(groups, "steps"),
        element("h2", "Remarks"),
        *(_remarks(group, len(groups) > 1) for group in groups),
        *_diagnostics(groups),
        *_time(groups),
        *_tables(groups),
        element("footer", footer),
    ]
    return document(
        element("html", _head(title), "\n", _body(joined(["", *body, ""], "\n")), lang="en")
    )


def _head(title: str) -> Markup:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{title} - fasttrpo"),
        element("style", "\n", own_file("page.css")),
    )


def _body(content: Markup) -> Markup:
    tip = element("div", id="tip", hidden=True)
    script = element("script", "\n", own_file("page.js"))
    return element("body", element("main", content), tip, script)


def _n_runs(groups: Sequence[Group]) -> int:
    return sum(len(group.runs) for group in groups)


# -- the headline ---------------------------------------------------------------------------------


def sentence(group: Group) -> str:
    """A summary of what was trained, with the result."""
    n, steps = len(group.runs), _steps(group.runs)
    name = group.name if group.env_id in group.name else f"{group.env_id} with {group.name}"
    text = f"{name}: {pluralize(n, 'seed')} of TRPO, {steps} steps{' each' if n > 1 else ''}. "
    found = average(group, "return_mean")
    if found is None:
        return text + "No episode has ended yet."
    if not len(found.x):
        return text + "The runs have no steps in common yet."
    text += f"The mean return of the last 100 episodes reached {number(float(found.iqm[-1]))}"
    if found.low is not None and found.high is not None:
        low, high = number(float(found.low[-1])), number(float(found.high[-1]))
        text += f" ({band_name(len(found.curves))} {low} to {high})"
    if found.stopped is not None:
        text += f" at step {found.x[-1]:,.0f}, where {found.stopped.name} stopped"
    return text + _evaluated(group) + "."


def _evaluated(group: Group) -> str:
    means = _evaluations(group)
    if not means:
        return ""
    if len(means) == 1:
        return f"; the policy scored {number(means[0])} in the evaluation"
    low, middle, high = (number(float(f(means))) for f in (np.min, np.mean, np.max))
    if low == high:
        return f"; each policy scored {middle} in the evaluation"
    return f"; the policies scored {middle} on average in the evaluation ({low} to {high})"


def _evaluations(group: Group) -> list[float]:
    means = [run.evaluation.get("mean_return") for run in group.runs if run.evaluation]
    return [float(mean) for mean in means if mean is not None and np.isfinite(mean)]


def _steps(runs: Sequence[Run]) -> str:
    """The steps of each run, or their range."""
    least, most = (count(end(run.steps for run in runs)) for end in (min, max))
    return most if least == most else f"{least} to {most}"


def _tiles(groups: Sequence[Group]) -> Markup:
    runs = [run for group in groups for run in group.runs]
    tiles = []
    if len(groups) == 1:
        found, means = average(groups[0], "return_mean"), _evaluations(groups[0])
        if found is not None and len(found.x):
            where = "when a seed stopped" if found.stopped else "at the end of training"
            tiles.append((number(float(found.iqm[-1])), f"return {where}"))
        if means:
            tiles.append((number(float(np.mean(means))), "return in the evaluation"))
    else:
        tiles.append((str(len(groups)), "settings compared"))
    seconds = [float(axis(run, "seconds")[-1]) for run in runs]
    speeds = [run.last("steps_per_second") for run in runs]
    tiles += [
        (str(len(runs)), "run" if len(runs) == 1 else "runs"),
        (_steps(runs), "environment steps each"),
        (duration(median(seconds)), "training time per run"),
        (count(median(speeds)), "steps per second"),
    ]
    cells = (
        element("div", element("b", value), element("span", what), class_="tile")
        for value, what in tiles
    )
    return element("div", *cells, class_="tiles")


# -- learning curves ------------------------------------------------------------------------------


def _curves(groups: Sequence[Group], x: str) -> Markup:
    """A card per environment."""
    environments = list(dict.fromkeys(group.env_id for group in groups))
    cards = [_curve_card([g for g in groups if g.env_id == env_id], x) for env_id in environments]
    return element("div", *cards, class_="curves")


def _curve_card(groups: Sequence[Group], x: str) -> Markup:
    found = [(i, group, average(group, "return_mean", x)) for i, group in enumerate(groups)]
    shown = [(i, group, a) for i, group, a in found if a is not None and len(a.x)]
    title = f"{groups[0].env_id}: return over {x}"
    if not shown:
        return _titled(title, element("p", "No episode has ended yet.", class_="soft"))
    lines = [line for i, group, a in shown for line in _curve_lines(i, group, a)]
    keys = [
        (f"{g.label} ({pluralize(len(g.runs), 'seed')})", f"line c{i % 6}") for i, g, _ in shown
    ]
    charts = (
        element("div", line_chart(lines, *size, f"return over {x}"), class_=kind)
        for kind, size in SIZES.items()
    )
    evaluated = any(run.evaluations for _, g, _ in shown for run in g.runs)
    how = f"Mean return of the last 100 episodes. {_how_bands([a for _, _, a in shown])}"
    how += " Dashed: evaluations during training." if evaluated else ""
    return _titled(title, _legend(keys), *charts, element("p", how, class_="how"))


def _curve_lines(i: int, group: Group, found: Average) -> list[Line]:
    """The seeds (faint), the interquartile mean with its band, and evaluations (dashed)."""
    lines = []
    if len(found.curves) > 1:
        lines = [Line(c.x, c.y, "", i, "faint") for c in found.curves]
        lines.append(Line(found.x, found.mean, f"{group.label}, mean", i, "dotted"))
    lines.append(Line(found.x, found.iqm, group.label, i, "line", found.low, found.high))
    for run in group.runs:
        columns = run.evaluations
        if {"num_timesteps", "mean_reward"} <= set(columns):
            keep = np.isfinite(columns["mean_reward"])
            x, y = columns["num_timesteps"][keep], columns["mean_reward"][keep]
            lines.append(Line(x, y, f"{run.name}, evaluation", i, "dashed"))
    return lines


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


def _titled(title: str, *inside: Markup | None) -> Markup:
    """A card."""
    return element("div", element("h3", title), *inside, class_="card")


def _legend(keys: Sequence[tuple[str, str]]) -> Markup:
    """keys: (name, classes of the stroke)."""
    return _named((_stroke(classes), name) for name, classes in keys)


def _stroke(classes: str) -> Markup:
    line = element("path", class_=classes, d="M1 4H25")
    return element("svg", line, viewBox="0 0 26 8", aria_hidden="true")


def _squares(names: Sequence[str]) -> Markup:
    return _named((element("i", class_=f"p{i}"), name) for i, name in enumerate(names))


def _named(keys: Iterable[tuple[Markup, str]]) -> Markup:
    return element("div", *(element("span", *key) for key in keys), class_="legend")


# -- remarks and diagnostics ----------------------------------------------------------------------


def _remarks(group: Group, several: bool) -> Markup:
    items = (element("li", remark.text, class_=remark.level) for remark in remarks(group))
    title = element("h3", group.name) if several else None
    return joined([title, element("ul", *items, class_="remarks")])


def _diagnostics(groups: Sequence[Group]) -> list[Markup]:
    """Sections of small charts."""
    colours = [(group.name, f"line c{i % 6}") for i, group in enumerate(groups)]
    key = _legend(colours) if len(groups) > 1 else None
    sections = (
        (
            "The step and its trust region",
            "Each iteration takes one step within the trust region. The x axis shows environment "
            "steps. Lines are medians over iterations and seeds; bands span the 10th to the 90th "
            "percentile.",
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
    for title, text, charts, more in sections:
        cards = [card for card in (*(_card(each, groups) for each in charts), more) if card]
        if cards:
            grid = element("div", *cards, class_="grid")
            parts.append(joined([element("h2", title), _soft(text), key, grid]))
    return parts


def _soft(text: str) -> Markup | None:
    return element("p", text, class_="soft") if text else None


def _card(diagnostic: Diagnostic, groups: Sequence[Group]) -> Markup | None:
    chart = diagnostics.draw(diagnostic, groups)
    if chart is None:
        return None
    shown = [(what, style) for column, what, style in diagnostic.columns if _any(groups, column)]
    colour = "c0" if len(groups) == 1 else "n"
    keys = [(what, f"{style} {'n' if style == 'dotted' else colour}") for what, style in shown]
    key = _legend(keys) if len(keys) > 1 else None
    return _titled(diagnostic.title, key, chart, _reading(diagnostic.reading))


def _reading(text: str) -> Markup:
    return element("p", text, class_="reading")


def _any(groups: Sequence[Group], column: str) -> bool:
    return any(group.has(column) for group in groups)


def _share_card(groups: Sequence[Group]) -> Markup | None:
    if not _any(groups, "outcome"):
        return None
    drawn, names = diagnostics.share_bars(groups)
    reading = (
        "Outcomes of the updates. A few rejections are normal; many mean that full steps are too "
        "long or the batches too small."
    )
    return _titled("Steps taken and rejected", drawn, _squares(names), _reading(reading))


def _time(groups: Sequence[Group]) -> list[Markup]:
    """Charts of the time: stages, speed, and returns over seconds."""
    cards = [_stages(groups), _card(diagnostics.SPEED, groups), _wall_clock(groups)]
    return [element("h2", "Time"), element("div", *cards, class_="grid")]


def _stages(groups: Sequence[Group]) -> Markup | None:
    spent = diagnostics.time_bars(groups)
    if spent is None:
        return None
    drawn, names = spent
    reading = "Time per iteration, the mean over iterations and seeds."
    return _titled("Time by stage", drawn, _squares(names), _reading(reading))


def _wall_clock(groups: Sequence[Group]) -> Markup | None:
    """Returns over seconds; None for several environments, whose returns are not comparable."""
    found = [(i, group, average(group, "return_mean", "seconds")) for i, group in enumerate(groups)]
    lines = [
        Line(a.x, a.iqm, g.name, i, "line", a.low, a.high)
        for i, g, a in found
        if a is not None and len(a.x)
    ]
    if not lines or len({group.env_id for group in groups}) > 1:
        return None
    size = diagnostics.WIDTH, diagnostics.HEIGHT
    chart = line_chart(lines, *size, "return over seconds", unit="second")
    reading = "The learning curves over training time, which does not include the final evaluation."
    return _titled("Return over wall-clock seconds", chart, _reading(reading))


# -- tables ---------------------------------------------------------------------------------------


def _tables(groups: Sequence[Group]) -> list[Markup]:
    sections = (
        ("Evaluation", "Complete episodes of the trained policy.", tables.evaluation_table(groups)),
        ("Runs", "", tables.runs_table(groups)),
        (
            "Settings",
            "The marked rows at the top differ from fasttrpo's defaults.",
            tables.settings_table(groups),
        ),
        ("Versions and machine", "", tables.machine_table(groups)),
    )
    return [_table_card(title, text, drawn) for title, text, drawn in sections if drawn]


def _table_card(title: str, text: str, drawn: Markup) -> Markup:
    return joined([element("h2", title), element("div", _soft(text), drawn, class_="card")])
