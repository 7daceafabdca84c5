"""The report: one HTML page that needs no network and no other file.

Whatever comes from a folder, names, settings, paths, is escaped where it enters the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

import numpy as np

from fasttrpo._version import __version__
from fasttrpo.report import diagnostics, tables
from fasttrpo.report.curves import Average, average, axis
from fasttrpo.report.diagnostics import Diagnostic
from fasttrpo.report.remarks import remarks
from fasttrpo.report.runs import Group, Run
from fasttrpo.report.statistics import (
    CONFIDENCE,
    FEWEST,
    N_RESAMPLES,
    band_name,
    centre_name,
)
from fasttrpo.report.svg import Line, line_chart
from fasttrpo.report.words import count, counted, duration, escaped, listed, median, number

SIZES = {"wide": (1130, 380), "narrow": (360, 280)}


def page(groups: Sequence[Group], left_out: Sequence[str] = ()) -> str:
    """The whole page. left_out: remarks on runs that could not be shown."""
    title = listed(list(dict.fromkeys(group.env_id for group in groups)))
    body = [
        f"<h1>{escaped(title)}</h1>",
        *(f'<p class="lead">{escaped(sentence(group))}</p>' for group in groups),
        _tiles(groups),
        *(f"<p>Left out: {escaped(text)}.</p>" for text in left_out),
        "<h2>Learning curves</h2>",
        _curves(groups, "steps"),
        "<h2>What stands out</h2>",
        *(_remarks(group, len(groups) > 1) for group in groups),
        *_diagnostics(groups),
        *_time(groups),
        *_tables(groups),
        f"<footer>Written by fasttrpo {__version__} from {counted(_n_runs(groups), 'run')}."
        "</footer>",
    ]
    style, script = (_file(name) for name in ("page.css", "page.js"))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escaped(title)} - fasttrpo</title><style>\n{style}</style></head>\n<body><main>\n"
        + "\n".join(body)
        + f'\n</main><div id="tip" hidden></div><script>\n{script}</script></body></html>\n'
    )


def _file(name: str) -> str:
    return resources.files("fasttrpo.report").joinpath(name).read_text(encoding="utf-8")


def _n_runs(groups: Sequence[Group]) -> int:
    return sum(len(group.runs) for group in groups)


# -- the headline ---------------------------------------------------------------------------------


def sentence(group: Group) -> str:
    """What was trained and what came of it."""
    n, steps = len(group.runs), _steps(group.runs)
    name = group.name if group.env_id in group.name else f"{group.env_id} with {group.name}"
    text = f"{name}: {counted(n, 'seed')} of TRPO, {steps} steps{' each' if n > 1 else ''}. "
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
        return f"; evaluated, the policy got {number(means[0])}"
    low, middle, high = (number(float(f(means))) for f in (np.min, np.mean, np.max))
    if low == high:
        return f"; evaluated, each policy got {middle}"
    return f"; evaluated, the policies got {middle} on average ({low} to {high})"


def _evaluations(group: Group) -> list[float]:
    told = [run.evaluation.get("mean_return") for run in group.runs if run.evaluation]
    return [float(mean) for mean in told if mean is not None and np.isfinite(mean)]


def _steps(runs: Sequence[Run]) -> str:
    """How many each has taken, or from where to where that is."""
    least, most = (count(end(run.steps for run in runs)) for end in (min, max))
    return most if least == most else f"{least} to {most}"


def _tiles(groups: Sequence[Group]) -> str:
    runs = [run for group in groups for run in group.runs]
    tiles = []
    if len(groups) == 1:
        found, means = average(groups[0], "return_mean"), _evaluations(groups[0])
        if found is not None and len(found.x):
            where = "where a seed stopped" if found.stopped else "at the end of training"
            tiles.append((number(float(found.iqm[-1])), f"return {where}"))
        if means:
            tiles.append((number(float(np.mean(means))), "return evaluated"))
    else:
        tiles.append((str(len(groups)), "settings compared"))
    seconds = [float(axis(run, "seconds")[-1]) for run in runs]
    speeds = [run.last("steps_per_second") for run in runs]
    tiles += [
        (str(len(runs)), "run" if len(runs) == 1 else "runs"),
        (_steps(runs), "environment steps each"),
        (duration(median(seconds)), "training time of a run"),
        (count(median(speeds)), "steps per second"),
    ]
    cells = (
        f'<div class="tile"><b>{escaped(b)}</b><span>{escaped(s)}</span></div>' for b, s in tiles
    )
    return f'<div class="tiles">{"".join(cells)}</div>'


# -- learning curves ------------------------------------------------------------------------------


def _curves(groups: Sequence[Group], x: str) -> str:
    """A card per environment."""
    environments = list(dict.fromkeys(group.env_id for group in groups))
    cards = [_curve_card([g for g in groups if g.env_id == env_id], x) for env_id in environments]
    return f'<div class="curves">{"".join(cards)}</div>'


def _curve_card(groups: Sequence[Group], x: str) -> str:
    found = [(i, group, average(group, "return_mean", x)) for i, group in enumerate(groups)]
    shown = [(i, group, a) for i, group, a in found if a is not None and len(a.x)]
    title = f"<h3>{escaped(groups[0].env_id)}: return over {x}</h3>"
    if not shown:
        return f'<div class="card">{title}<p class="soft">No episode has ended yet.</p></div>'
    lines = [line for i, group, a in shown for line in _curve_lines(i, group, a)]
    keys = [(f"{g.label} ({counted(len(g.runs), 'seed')})", f"line c{i % 6}") for i, g, _ in shown]
    charts = "".join(
        f'<div class="{kind}">{line_chart(lines, *size, f"return over {x}")}</div>'
        for kind, size in SIZES.items()
    )
    evaluated = any(run.evaluations for _, g, _ in shown for run in g.runs)
    how = f"Mean return of the last 100 episodes. {_how_bands([a for _, _, a in shown])}"
    how += " Dashed: evaluations during training." if evaluated else ""
    return f'<div class="card">{title}{_legend(keys)}{charts}<p class="how">{how}</p></div>'


def _curve_lines(i: int, group: Group, found: Average) -> list[Line]:
    """Seeds faint, the interquartile mean with its band, evaluations dashed."""
    lines = []
    if len(found.curves) > 1:
        lines = [Line(c.x, c.y, "", i, "faint") for c in found.curves]
        lines.append(Line(found.x, found.mean, f"{group.label}, mean", i, "dotted"))
    lines.append(Line(found.x, found.iqm, group.label, i, "line", found.low, found.high))
    for run in group.runs:
        told = run.evaluations
        if {"num_timesteps", "mean_reward"} <= set(told):
            keep = np.isfinite(told["mean_reward"])
            x, y = told["num_timesteps"][keep], told["mean_reward"][keep]
            lines.append(Line(x, y, f"{run.name}, evaluated", i, "dashed"))
    return lines


def _how_bands(averages: Sequence[Average]) -> str:
    """How to read the lines and bands of several seeds; "" where each group has one."""
    sizes = [len(found.curves) for found in averages if found.low is not None]
    if not sizes:
        return ""
    text = f"Bold: {centre_name(sizes)} of the seeds; faint: each seed. "
    if max(sizes) >= FEWEST:
        text += (
            f"Dotted: their mean. Band: {CONFIDENCE:.0%} of the interquartile means of "
            f"{N_RESAMPLES:,} bootstrap resamples of the seeds (Agarwal et al. 2021), point by "
            "point. "
        )
    if min(sizes) < FEWEST:
        of = f" of fewer than {FEWEST} seeds" if max(sizes) >= FEWEST else ""
        text += f"Band{of}: the range of the seeds, point by point. "
    return text + (
        "A seed that has finished keeps its last value; an average ends where a seed stopped "
        "before it had finished."
    )


def _legend(keys: Sequence[tuple[str, str]]) -> str:
    """keys: (name, classes of the stroke)."""
    items = (
        f'<span><svg viewBox="0 0 26 8" aria-hidden="true"><path class="{classes}" d="M1 4H25"/>'
        f"</svg>{escaped(name)}</span>"
        for name, classes in keys
    )
    return f'<div class="legend">{"".join(items)}</div>'


def _squares(names: Sequence[str]) -> str:
    items = (f'<span><i class="p{i}"></i>{escaped(name)}</span>' for i, name in enumerate(names))
    return f'<div class="legend">{"".join(items)}</div>'


# -- remarks and diagnostics ----------------------------------------------------------------------


def _remarks(group: Group, several: bool) -> str:
    items = "".join(f'<li class="{r.level}">{escaped(r.text)}</li>' for r in remarks(group))
    title = f"<h3>{escaped(group.name)}</h3>" if several else ""
    return f'{title}<ul class="remarks">{items}</ul>'


def _diagnostics(groups: Sequence[Group]) -> list[str]:
    """Sections of small charts."""
    colours = [(group.name, f"line c{i % 6}") for i, group in enumerate(groups)]
    key = _legend(colours) if len(groups) > 1 else ""
    sections = (
        (
            "The step and its trust region",
            "Each iteration moves the policy by a step within a trust region. Charts go over "
            "environment steps; lines are medians over iterations and seeds, bands reach from "
            "the 10th to the 90th percentile.",
            diagnostics.STEP,
            _share_card(groups),
        ),
        (
            "The direction",
            "The step's direction solves a linear system, in which the Fisher matrix measures "
            "how much each parameter matters to the policy.",
            diagnostics.SYSTEM,
            "",
        ),
        ("Policy and critic", "", diagnostics.POLICY, ""),
    )
    parts = []
    for title, text, charts, more in sections:
        cards = "".join(_card(each, groups) for each in charts) + more
        if cards:
            text = f'<p class="soft">{text}</p>' if text else ""
            parts.append(f'<h2>{title}</h2>{text}{key}<div class="grid">{cards}</div>')
    return parts


def _card(diagnostic: Diagnostic, groups: Sequence[Group]) -> str:
    chart = diagnostics.draw(diagnostic, groups)
    if chart is None:
        return ""
    shown = [(what, style) for column, what, style in diagnostic.columns if _any(groups, column)]
    colour = "c0" if len(groups) == 1 else "n"
    keys = [(what, f"{style} {'n' if style == 'dotted' else colour}") for what, style in shown]
    key = _legend(keys) if len(keys) > 1 else ""
    reading = f'<p class="reading">{escaped(diagnostic.reading)}</p>'
    return f'<div class="card"><h3>{escaped(diagnostic.title)}</h3>{key}{chart}{reading}</div>'


def _any(groups: Sequence[Group], column: str) -> bool:
    return any(group.has(column) for group in groups)


def _share_card(groups: Sequence[Group]) -> str:
    if not _any(groups, "outcome"):
        return ""
    drawn, names = diagnostics.share_bars(groups)
    reading = (
        "How the updates ended. A few rejections are the safeguard at work; many mean that the "
        "steps begin too long, or that the batches are too small to improve on."
    )
    return (
        f'<div class="card"><h3>Steps taken and rejected</h3>{drawn}{_squares(names)}'
        f'<p class="reading">{reading}</p></div>'
    )


def _time(groups: Sequence[Group]) -> list[str]:
    """Where the time goes: stages, speed, and returns over seconds."""
    cards, spent = [], diagnostics.time_bars(groups)
    if spent:
        drawn, names = spent
        reading = "Seconds of an iteration by stage, the mean over iterations and seeds."
        cards.append(
            f'<div class="card"><h3>Time by stage</h3>{drawn}{_squares(names)}'
            f'<p class="reading">{reading}</p></div>'
        )
    cards.append(_card(diagnostics.SPEED, groups))
    cards.append(_wall_clock(groups))
    return ["<h2>Time</h2>", f'<div class="grid">{"".join(cards)}</div>']


def _wall_clock(groups: Sequence[Group]) -> str:
    """Returns over seconds; of several environments, whose returns do not compare, none."""
    found = [(i, group, average(group, "return_mean", "seconds")) for i, group in enumerate(groups)]
    lines = [
        Line(a.x, a.iqm, g.name, i, "line", a.low, a.high)
        for i, g, a in found
        if a is not None and len(a.x)
    ]
    if not lines or len({group.env_id for group in groups}) > 1:
        return ""
    size = diagnostics.WIDTH, diagnostics.HEIGHT
    chart = line_chart(lines, *size, "return over seconds").replace(
        "<svg ", '<svg data-unit="second" ', 1
    )
    reading = "The learning curve over seconds of training, evaluations left out."
    return (
        f'<div class="card"><h3>Return over wall-clock seconds</h3>{chart}'
        f'<p class="reading">{reading}</p></div>'
    )


# -- tables ---------------------------------------------------------------------------------------


def _tables(groups: Sequence[Group]) -> list[str]:
    sections = (
        ("Evaluation", "Full episodes of the trained policy.", tables.evaluation_table(groups)),
        ("Runs", "", tables.runs_table(groups)),
        (
            "Settings",
            "Marked rows, on top, are not the library's defaults.",
            tables.settings_table(groups),
        ),
        ("Versions and machine", "", tables.machine_table(groups)),
    )
    return [_table_card(title, text, drawn) for title, text, drawn in sections if drawn]


def _table_card(title: str, text: str, drawn: str) -> str:
    text = f'<p class="soft">{text}</p>' if text else ""
    return f'<h2>{title}</h2><div class="card">{text}{drawn}</div>'
