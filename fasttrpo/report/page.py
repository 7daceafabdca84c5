"""The report: a self-contained HTML page. `markup` builds its elements and escapes all text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from fasttrpo._version import __version__
from fasttrpo.report import tables
from fasttrpo.report.cards import card, soft
from fasttrpo.report.comparison import Comparison, compare
from fasttrpo.report.comparison_card import ranking, verdict
from fasttrpo.report.curve_cards import curve_cards
from fasttrpo.report.curves import average, axis
from fasttrpo.report.diagnostic_cards import sections
from fasttrpo.report.groups import Group
from fasttrpo.report.markup import Markup, document, element, joined, own_file
from fasttrpo.report.remarks import remarks
from fasttrpo.report.runs import Run
from fasttrpo.report.settings_table import settings_table
from fasttrpo.report.statistics import band_name
from fasttrpo.report.targets import target_of
from fasttrpo.report.words import count, duration, join_words, median, number, pluralize


def page(
    groups: Sequence[Group],
    left_out: Sequence[str] = (),
    given: Mapping[str, float] = MappingProxyType({}),
) -> str:
    """The page's HTML.

    left_out  why runs could not be read
    given     the user's targets by environment, instead of the registered ones
    """
    comparisons = _comparisons(groups, given)
    groups = [entry.group for found in comparisons for entry in found.entries]
    title = join_words([found.env_id for found in comparisons])
    footer = f"Written by fasttrpo {__version__} from {pluralize(_n_runs(groups), 'run')}."
    body = [
        element("h1", title),
        *(element("p", _lead(found, len(comparisons) > 1), class_="lead") for found in comparisons),
        _tiles(groups),
        *(element("p", f"Left out: {text}.") for text in left_out),
        *_results(comparisons, groups),
        element("h2", "Remarks"),
        _remarks(groups),
        *sections(groups),
        *_tables(groups),
        element("footer", footer),
    ]
    return document(
        element("html", _head(title), "\n", _body(joined(["", *body, ""], "\n")), lang="en")
    )


def _comparisons(groups: Sequence[Group], given: Mapping[str, float]) -> list[Comparison]:
    """The settings of each environment, best first."""
    environments: dict[str, list[Group]] = {}
    for group in groups:
        environments.setdefault(group.env_id, []).append(group)
    return [compare(own, target_of(env_id, given)) for env_id, own in environments.items()]


def _results(comparisons: Sequence[Comparison], groups: Sequence[Group]) -> list[Markup]:
    """The ranking and the learning curves; first the curves if there is nothing to rank."""
    targets = {found.env_id: found.target for found in comparisons}
    ranks = len(groups) > len(comparisons)
    parts = [
        (element("h2", "Ranking" if ranks else "Result"), _rankings(comparisons, groups)),
        (element("h2", "Learning curves"), curve_cards(groups, targets)),
    ]
    return [each for part in (parts if ranks else reversed(parts)) for each in part]


def _rankings(comparisons: Sequence[Comparison], groups: Sequence[Group]) -> Markup:
    """A card per environment."""
    colours = {id(group): i for i, group in enumerate(groups)}
    cards = (card(found.env_id, ranking(found, colours)) for found in comparisons)
    return element("div", *cards, class_="curves")


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


def _lead(found: Comparison, several: bool) -> str:
    """What was found in an environment; several: whether there are others."""
    if len(found.entries) == 1:
        return sentence(found.entries[0].group)
    text = verdict(found)
    return f"{found.env_id}: {text[0].lower()}{text[1:]}" if several else text


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


# -- remarks and tables ---------------------------------------------------------------------------


def _remarks(groups: Sequence[Group]) -> Markup:
    """A list per group, side by side."""
    lists = []
    for group in groups:
        items = (element("li", remark.text, class_=remark.level) for remark in remarks(group))
        title = element("h3", group.name) if len(groups) > 1 else None
        lists.append(element("div", title, element("ul", *items, class_="remarks")))
    return lists[0] if len(lists) == 1 else element("div", *lists, class_="grid")


def _tables(groups: Sequence[Group]) -> list[Markup]:
    found = (
        ("Evaluation", "Complete episodes of the trained policy.", tables.evaluation_table(groups)),
        ("Runs", "", tables.runs_table(groups)),
        (
            "Settings",
            "What differs between the groups comes first (marked), then what differs from "
            "fasttrpo's defaults. (default): not set by the run, so it used this default."
            if len(groups) > 1
            else "The settings that differ from fasttrpo's defaults. (default): not set by the "
            "run, so it used this default.",
            settings_table(groups),
        ),
        ("Versions and machine", "", tables.machine_table(groups)),
    )
    return [_table_card(title, text, drawn) for title, text, drawn in found if drawn]


def _table_card(title: str, text: str, drawn: Markup) -> Markup:
    return joined([element("h2", title), element("div", soft(text), drawn, class_="card")])
