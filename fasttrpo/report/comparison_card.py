"""The page's ranking of settings: which is best, how sure that is, and how soon it got there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fasttrpo.report.cards import stroke
from fasttrpo.report.comparison import Comparison, Entry
from fasttrpo.report.markup import Child, Markup, element, joined
from fasttrpo.report.scales import Scale, kind_for, scale
from fasttrpo.report.statistics import CONFIDENCE, MIN_SEEDS, centre_name
from fasttrpo.report.tables import table
from fasttrpo.report.words import duration, join_words, number, percent

STRIP = 150, 18  # size of the drawn scores
_CLOSE = 1e-9  # relative difference of returns that are called equal


def verdict(found: Comparison) -> str:
    """Which setting is best, in one or two sentences."""
    known = [entry for entry in found.entries if len(entry.scores)]
    if not known:
        return "No episode has ended yet."
    best, *rest = known
    text = f"Of {len(found.entries)} settings, "
    equal = [e for e in rest if abs(e.middle - best.middle) <= _CLOSE * abs(best.middle)]
    if equal:
        names = join_words([entry.group.label for entry in (best, *equal)])
        text += f"{names} have the same return {_where(found)}, {number(best.middle)}. "
        text += _in_training(best) if found.is_evaluation else ""
    else:
        text += f"{best.group.label} has the highest return {_where(found)}, {_score(best)}. "
    rest = [entry for entry in rest if entry not in equal]
    return text + (_certainty(best, rest[0]) if rest else "")


def _in_training(best: Entry) -> str:
    """What puts the first of several equal settings first."""
    if best.reached is not None and np.isfinite(best.reached.steps):
        return f"{best.group.label} reached the target first. "
    mean = float(np.mean([run.last("return_mean") for run in best.group.runs]))
    return f"{best.group.label} ended training with the highest return, {number(mean)}. "


def _where(found: Comparison) -> str:
    return "in the evaluation" if found.is_evaluation else "at the end of training"


def _score(entry: Entry) -> str:
    interval = entry.interval
    if interval is None:
        return f"{number(entry.middle)} (one seed)"
    low, high = map(number, interval)
    return f"{number(entry.middle)} ({_interval_title([len(entry.scores)])} {low} to {high})"


def _certainty(best: Entry, second: Entry) -> str:
    """How sure it is that the best is better than the next."""
    if second.beaten is None:
        return ""
    name, odds = second.group.label, second.beaten
    if min(len(best.scores), len(second.scores)) < 2:
        return f"The next is {name}, {_score(second)}; a single seed cannot tell them apart."
    if odds.share == 1:
        return f"Each of its seeds is better than every seed of the next, {name}."
    wins = f"{number(odds.share * odds.pairs)} of {odds.pairs} pairs of seeds"
    text = f"It is better than the next, {name}, in {wins}"
    return f"{text}: their seeds overlap, so more of them could change the order."


# -- the table ------------------------------------------------------------------------------------


def ranking(found: Comparison, colours: Mapping[int, int]) -> Markup:
    """A row per setting. colours: the number of each group's colour, by the group's id."""
    several = len(found.entries) > 1
    columns = _columns(found, several)
    strips = _strips(found, colours)
    rows = []
    for entry, strip in zip(found.entries, strips, strict=True):
        better = [each for each in found.entries if each.middle > entry.middle]
        key = stroke(f"line c{colours[id(entry.group)] % 6}")
        rank = f"{len(better) + 1}. " if several and len(entry.scores) else ""
        name = element("span", key, f"{rank}{entry.group.label}", class_="key")
        rows.append([name, strip, *(cell(entry) for _, cell in columns)])
    head = ["setting", "each seed", *(title for title, _ in columns)]
    return joined([table(head, rows, folds=True), element("p", _notes(found), class_="how")])


def _columns(found: Comparison, several: bool) -> list[tuple[str, Callable[[Entry], Child]]]:
    """The titles and contents of the columns that have any content."""
    entries = found.entries
    sizes = [max(1, len(entry.scores)) for entry in entries]
    columns: list[tuple[str, Callable[[Entry], Child]]] = [
        (f"return, {_short(centre_name(sizes))}", lambda e: number(e.middle)),
        (_interval_title(sizes), _interval),
        ("seeds", lambda e: str(len(e.scores))),
    ]
    if several and any(entry.beaten for entry in entries):
        columns.append(("beaten by the best", _beaten))
    if found.target is not None:
        goal = number(found.target.value)
        columns.append((f"steps to {goal}", lambda e: _reached(e, 0)))
        columns.append((f"time to {goal}", lambda e: _reached(e, 1)))
    if any(entry.left_out for entry in entries):
        columns.append(("not counted", lambda e: ", ".join(e.left_out) or "-"))
    if any(entry.episodes for entry in entries):
        columns.append(("failed episodes", _failed))
    return columns


def _short(centre: str) -> str:
    return "IQM" if centre.startswith("interquartile") else centre


def _interval_title(sizes: Sequence[int]) -> str:
    names = [f"{CONFIDENCE:.0%} interval"] * (max(sizes) >= MIN_SEEDS)
    return " or ".join([*names, *["range of the seeds"] * (min(sizes) < MIN_SEEDS)])


def _interval(entry: Entry) -> str:
    return "-" if entry.interval is None else " to ".join(map(number, entry.interval))


def _beaten(entry: Entry) -> str:
    if entry.beaten is None:
        return "-"
    share, pairs, interval = entry.beaten
    if interval is None:
        return f"{number(share * pairs)} of {pairs} pairs"
    return f"{percent(share)} ({' to '.join(map(percent, interval))})"


def _reached(entry: Entry, which: int) -> str:
    """The median, or how many got there if most did not."""
    if entry.reached is None or not entry.reached.runs:
        return "-" if which else "not reached"
    n, total = entry.reached.runs, len(entry.group.runs)
    value = entry.reached[which]
    some = "" if n == total else f" ({n} of {total} seeds)"
    if not np.isfinite(value):
        return f"{n} of {total} seeds"
    return (f"{value:,.0f}" if which == 0 else duration(value)) + some


def _failed(entry: Entry) -> str:
    if entry.episodes is None:
        return "-"
    failed, total = entry.episodes
    return f"{failed:,.0f} of {total:,} ({percent(failed / total)})"


def _notes(found: Comparison) -> str:
    """How to read the table."""
    sizes = [len(entry.scores) for entry in found.entries]
    notes = [
        "Returns: the mean over complete episodes of the trained policy."
        if found.is_evaluation
        else "Returns: the mean of the last 100 episodes of training, as not every run has an "
        "evaluation."
    ]
    if found.is_evaluation and _differs_in_training(found):
        notes.append(
            "The learning curves rank the settings differently: they average the last 100 episodes "
            "of training, with sampled actions."
        )
    if max(sizes) >= 4:
        notes.append("IQM: the mean without the lowest and the highest quarter of the seeds.")
    if any(entry.beaten for entry in found.entries):
        notes.append(
            "Beaten by the best: how often a seed of the best setting has the higher return, over "
            "all pairs of seeds; half of the pairs would be a tie."
        )
    if found.target is not None:
        how = "by an evaluation" if found.in_evaluations else "by the mean of the last 100 episodes"
        notes.append(f"Steps and time to the target, reached {how}: medians over all seeds.")
    if any(entry.left_out for entry in found.entries):
        notes.append("Not counted: runs that failed or have not ended.")
    unfinished = [e.group.label for e in found.entries if not _has_ended(e)]
    if unfinished:
        notes.append(f"No run of {join_words(unfinished)} has ended: the returns so far.")
    return " ".join(notes)


def _differs_in_training(found: Comparison) -> bool:
    """Whether the mean returns at the end of training have another order."""
    groups = [entry.group for entry in found.entries if len(entry.scores)]
    means = [np.mean([run.last("return_mean") for run in group.runs]) for group in groups]
    return bool(np.any(np.diff(means) > 0))


def _has_ended(entry: Entry) -> bool:
    return bool(entry.left_out) or any(run.is_done or run.ended for run in entry.group.runs)


def _strips(found: Comparison, colours: Mapping[int, int]) -> list[Child]:
    """The scores of each entry on one common axis."""
    known = [entry.scores for entry in found.entries if len(entry.scores)]
    if not known:
        return ["-"] * len(found.entries)
    kind, _ = kind_for([np.concatenate(known)], known, None)
    x = scale(known, 6, STRIP[0] - 6, 0.02, kind)
    return [_strip(entry, x, colours[id(entry.group)] % 6) for entry in found.entries]


def _strip(entry: Entry, x: Scale, colour: int) -> Child:
    if not len(entry.scores):
        return "-"
    y = STRIP[1] / 2
    parts = [element("path", class_="grid", d=f"M2 {y:g}H{STRIP[0] - 2}")]
    if entry.interval is not None:
        low, high = (float(x(value)) for value in entry.interval)
        parts.append(
            element("path", class_=f"interval c{colour}", d=f"M{low:.1f} {y:g}H{high:.1f}")
        )
    for value in x(np.sort(entry.scores)[:: max(1, len(entry.scores) // 50)]):
        parts.append(element("circle", class_=f"seed c{colour}", cx=f"{value:.1f}", cy=y, r=3))
    at = float(x(entry.middle))
    parts.append(element("path", class_=f"middle c{colour}", d=f"M{at:.1f} 2V{STRIP[1] - 2}"))
    box = f"0 0 {STRIP[0]} {STRIP[1]}"
    return element("svg", *parts, class_="strip", viewBox=box, aria_hidden="true")
