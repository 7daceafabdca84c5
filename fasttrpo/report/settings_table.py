"""The page's table of settings, with the values that were used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fasttrpo.report.effective import NO_VALUES, default_settings, used_settings
from fasttrpo.report.groups import Group
from fasttrpo.report.markup import Markup, element, joined
from fasttrpo.report.tables import table, text_of
from fasttrpo.report.words import pluralize, shorten

_NO_DEFAULT = {"seed", "policy"}  # settings whose default is not informative
_OF_THE_MACHINE = {"seed", "n_threads", "verbose", "tensorboard_log"}
FILLED = " (default)"


def settings_table(groups: Sequence[Group]) -> Markup | None:
    """All settings: first those that differ between the groups or from the defaults, a column per
    group; then the others, folded.

    The default of a network depends on the policy; the first group's is shown.
    """
    groups = [group for group in groups if group.runs[0].settings]
    if not groups:
        return None
    used = [[used_settings(run) for run in group.runs] for group in groups]
    names = dict.fromkeys(name for runs in used for values, _ in runs for name in values)
    defaults = [default_settings(group.runs[0].settings.get("policy")) for group in groups]
    differing: list[tuple[bool, list[str]]] = []
    usual: list[list[str]] = []
    for name in names:
        values = [_setting(runs, name) for runs in used]
        default = "-" if name in _NO_DEFAULT else _default(defaults[0], name)
        own = [_default(each, name) for each in defaults]
        differs = len(set(values)) > 1 and name not in _OF_THE_MACHINE
        if differs or (name not in _NO_DEFAULT | _OF_THE_MACHINE and not _is_usual(values, own)):
            differing.append((differs, [shorten(name), *values, default]))
        else:
            usual.append([shorten(name), ", ".join(dict.fromkeys(values))])
    differing.sort(key=lambda row: not row[0])
    head = ["setting", *([g.name for g in groups] if len(groups) > 1 else ["value"]), "default"]
    rows = [cells for _, cells in differing]
    marks = [differs or len(groups) == 1 for differs, _ in differing]
    first = table(head, rows, marks) if rows else None
    return joined([first, _folded(usual)])


def _is_usual(values: Sequence[str], defaults: Sequence[str]) -> bool:
    """Whether each value is its default, or was left to it."""
    pairs = zip(values, defaults, strict=True)
    return all(value.endswith(FILLED) or value in (default, *NO_VALUES) for value, default in pairs)


def _folded(rows: Sequence[Sequence[str]]) -> Markup | None:
    if not rows:
        return None
    what = f"{pluralize(len(rows), 'more setting')}, at their defaults or without effect on results"
    return element("details", element("summary", what), table(["setting", "value"], rows))


def _default(defaults: dict[str, Any], name: str) -> str:
    return text_of(defaults.get(name, "-"))


def _setting(runs: Sequence[tuple[dict[str, Any], set[str]]], name: str) -> str:
    """The group's value, or the values of its runs if they differ (seeds)."""
    found: dict[str, bool] = {}
    for values, filled in runs:
        text = text_of(values.get(name, "-"))
        found[text] = found.get(text, False) or name.partition(".")[0] in filled
    return shorten(
        ", ".join(
            text + FILLED * (is_filled and text not in NO_VALUES)
            for text, is_filled in found.items()
        )
    )
