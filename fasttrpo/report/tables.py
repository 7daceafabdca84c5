"""The report's tables: runs, evaluations, settings, machines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from fasttrpo.report.curves import axis
from fasttrpo.report.diagnostics import finite
from fasttrpo.report.groups import Group
from fasttrpo.report.markup import Markup, element
from fasttrpo.report.runs import Run
from fasttrpo.report.words import duration, number, shorten
from fasttrpo.settings import POLICIES, Settings
from fasttrpo.settings.policy_kwargs import network

_NO_DEFAULT = {"seed", "policy"}  # settings whose default is not informative
_DIGITS = "0123456789"


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], marked: Sequence[bool] = ()
) -> Markup:
    """A table of text. Cells that start with a digit or sign are right-aligned."""
    rows = list(rows)
    marks = [*marked] or [False] * len(rows)
    top = element("thead", element("tr", *(element("th", name) for name in head)))
    body = element("tbody", *map(_row, rows, marks))
    return element("div", element("table", top, body), class_="scroll")


def _row(cells: Sequence[str], is_marked: bool) -> Markup:
    drawn = (_cell(value, j) for j, value in enumerate(cells))
    return element("tr", *drawn, class_="marked" if is_marked else None)


def _cell(value: str, column: int) -> Markup:
    is_number = column > 0 and value[:1] in {*_DIGITS, "-", "+", "\N{MINUS SIGN}"}
    return element("td", value, class_="num" if is_number else None)


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
    return table(head, rows)


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


def settings_table(groups: Sequence[Group]) -> Markup | None:
    """All settings, a column per group; marks rows that differ from the default.

    The default of a network depends on the policy; the first group's is shown.
    """
    groups = [group for group in groups if group.runs[0].settings]
    if not groups:
        return None
    names = list(dict.fromkeys(name for group in groups for name in group.runs[0].settings))
    rows, marks = [], []
    for name in names:
        values = [_setting(group, name) for group in groups]
        defaults = [_default(group, name) for group in groups]
        rows.append([shorten(name), *values, "-" if name in _NO_DEFAULT else defaults[0]])
        marks.append(name not in _NO_DEFAULT and values != defaults)
    order = sorted(range(len(rows)), key=lambda i: not marks[i])
    head = ["setting", *([g.name for g in groups] if len(groups) > 1 else ["value"]), "default"]
    return table(head, [rows[i] for i in order], [marks[i] for i in order])


def _default(group: Group, name: str) -> str:
    if name == "policy_kwargs":  # complete in a run's settings, None among the defaults
        policy = group.runs[0].settings.get("policy", POLICIES[0])
        return _text(network(policy, None)) if policy in POLICIES else "-"
    return _text({f.name: f.default for f in fields(Settings)}.get(name, "-"))


def _setting(group: Group, name: str) -> str:
    """The group's value, or the values of its runs if they differ (seeds)."""
    values = list(dict.fromkeys(_text(run.settings.get(name)) for run in group.runs))
    return shorten(", ".join(values))


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return shorten(", ".join(f"{k}={_text(v)}" for k, v in value.items()))
    if isinstance(value, list | tuple):
        return shorten(json.dumps(value, default=str))
    return "-" if value is None else shorten(str(value))


def machine_table(groups: Sequence[Group]) -> Markup | None:
    """Versions and machine from config.json, with all values that occur."""
    found: dict[str, dict[str, None]] = {}
    for group in groups:
        for run in group.runs:
            system = {**run.config.get("system", {}), **run.config.get("versions", {})}
            for name, value in system.items():
                name = "fasttrpo" if name == "version" else name
                found.setdefault(str(name), {})[_text(value)] = None
    rows = [[shorten(name), shorten(", ".join(values))] for name, values in found.items()]
    return table(["", ""], rows) if rows else None
