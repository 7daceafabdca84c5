"""The report's tables: runs, evaluations, settings, machines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fasttrpo.report.curves import axis
from fasttrpo.report.diagnostics import finite
from fasttrpo.report.groups import Group
from fasttrpo.report.markup import Child, Markup, element, joined
from fasttrpo.report.repeat import repeat
from fasttrpo.report.runs import Run
from fasttrpo.report.words import duration, number, shorten

_DIGITS = "0123456789"


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[Child]],
    marked: Sequence[bool] = (),
    folds: bool = False,
) -> Markup:
    """A table. Columns of numbers, which start with a digit or sign, are right-aligned.

    folds  on a narrow screen, each row becomes a list of names and values; otherwise the table
           scrolls within its box
    """
    rows = list(rows)
    marks = [*marked] or [False] * len(rows)
    titles = head if folds else [None] * len(head)
    kinds = [_kind(j, [row[j] for row in rows]) for j in range(len(head))]
    names = (element("th", name, scope="col", class_=kinds[j]) for j, name in enumerate(head))
    top = element("thead", element("tr", *names))
    filled = (
        element("tr", *map(_cell, row, kinds, titles), class_="marked" if is_marked else None)
        for row, is_marked in zip(rows, marks, strict=True)
    )
    body = element("tbody", *filled)
    drawn = element("table", top, body, class_="folds" if folds else None)
    return element("div", drawn, class_="scroll", tabindex=0)


def _kind(column: int, cells: Sequence[Child]) -> str | None:
    """The class of a column: "num", unless it is the first or has words."""
    starts = (*_DIGITS, "-", "+", "\N{MINUS SIGN}")
    numbers = (isinstance(value, str) and value.startswith(starts) for value in cells)
    return "num" if column > 0 and all(numbers) else None


def _cell(value: Child, kind: str | None, title: str | None) -> Markup:
    return element("td", value, class_=kind, data_label=title)


# -- runs -----------------------------------------------------------------------------------------


def runs_table(groups: Sequence[Group]) -> Markup:
    """A row per run: steps, return, evaluation, time and folder."""
    several = len(groups) > 1
    head = [*["group"] * several, "run", "steps", "return", "evaluation", "time", "folder"]
    rows = []
    for group in groups:
        for run in group.runs:
            total = run.config.get("total_timesteps", 0)
            steps = f"{run.steps:,}" + ("" if run.is_done else f" of {total:,}")
            result = number(run.last("return_mean")), _evaluation(run), duration(_seconds(run))
            name = [group.name] if several else []
            rows.append([*name, run.name, steps, *result, str(run.folder)])
    return joined([table(head, rows), _commands(groups)])


def _commands(groups: Sequence[Group]) -> Markup | None:
    """The lines that repeat the runs, to copy."""
    found = [line for group in groups for run in group.runs if (line := repeat(run)) is not None]
    if not found:
        return None
    what = "The command that repeats it" if len(found) == 1 else "The commands that repeat them"
    lines = element("pre", element("code", "\n".join(found)), class_="scroll", tabindex=0)
    return element("details", element("summary", what), lines)


def _seconds(run: Run) -> float:
    taken = axis(run, "seconds")
    return float(taken[-1]) if len(taken) else float("nan")


def _evaluation(run: Run) -> str:
    result = run.evaluation
    if not result or "mean_return" not in result:
        return "-"
    mean, std = result["mean_return"], result.get("std_return")
    return f"{number(mean)} \N{PLUS-MINUS SIGN} {number(std)}"


def evaluation_table(groups: Sequence[Group]) -> Markup | None:
    """Evaluations of finished models, a row per run; None if there are none."""
    several, rows = len(groups) > 1, []
    for group in groups:
        for run in group.runs:
            result = run.evaluation
            if result is None:
                continue
            kinds: dict[Any, str] = {True: "deterministic", False: "stochastic"}
            kind = kinds.get(result.get("deterministic"), "-")
            returns = finite(np.array(result.get("returns", []), float))
            spread = [
                number(f(returns)) if len(returns) else "-" for f in (np.min, np.median, np.max)
            ]
            cells = [_evaluation(run), *spread, str(result.get("episodes", "-")), kind]
            rows.append([*[group.name] * several, run.name, *cells])
    head = [*["group"] * several, "run", "return, mean \N{PLUS-MINUS SIGN} std"]
    head += ["minimum", "median", "maximum", "episodes", "actions"]
    return table(head, rows) if rows else None


def machine_table(groups: Sequence[Group]) -> Markup | None:
    """Versions and machine from config.json, with all values that occur."""
    found: dict[str, dict[str, None]] = {}
    for group in groups:
        for run in group.runs:
            system = {**run.config.get("system", {}), **run.config.get("versions", {})}
            for name, value in system.items():
                name = "fasttrpo" if name == "version" else name
                found.setdefault(str(name), {})[text_of(value)] = None
    rows = [[shorten(name), shorten(", ".join(values))] for name, values in found.items()]
    return table(["what", "value"], rows) if rows else None


def text_of(value: Any) -> str:
    """A value from a run's folder."""
    if isinstance(value, dict):
        return shorten(", ".join(f"{k}={text_of(v)}" for k, v in value.items()))
    if isinstance(value, list | tuple):
        return shorten(json.dumps(value, default=str))
    return "-" if value is None else shorten(str(value))
