"""Runs as Markdown tables: medians, spread, ratios, and the targets that were missed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from bench.learning.processes import OURS, PEER
from bench.learning.tasks import Target, Task, Throughput
from bench.learning.throughput import PHYSICS
from bench.tables import digits, limit, percent, ratio, seconds, table, verdict

Run = dict[str, Any]
HEADER = ("to be learnt", "who", "reached", "seconds, median (least to most)", "steps, median")


def progress(run: Run) -> str:
    """One line about one process."""
    for kind in ("skipped", "failed"):
        if kind in run:
            return f"{run['env_id']}, {run['who']}, seed {run['seed']}: {kind}: {run[kind]}"
    marks = [
        f"{each['target']:g} in {seconds(each['seconds'])}, {each['steps']:,} steps "
        f"({each['mean']:.1f})"
        for each in run["reached"]
    ]
    told = ", ".join(marks) or f"nothing in {seconds(run['stopped'])}"
    return (
        f"{run['env_id']}, {run['who']}, seed {run['seed']}: {told}; "
        f"start and end {seconds(run['outside'])}, evaluations {seconds(run['evaluating'])}"
    )


def learning(tasks: Sequence[Task], runs: Sequence[Run], budget: float) -> str:
    """A row for each target and contestant."""
    rows = []
    for task in tasks:
        for target in task.targets:
            of = {who: _of(runs, task, who) for who in (OURS, PEER)}
            rows += [_row(task, target, who, of, budget) for who in of if of[who]]
    header = (*HEADER, "sb3-contrib's over ours", "targets of ours")
    return table(header, rows) + "".join(f"\n- {each}" for each in _notes(runs))


def _of(runs: Sequence[Run], task: Task, who: str) -> list[Run]:
    return [r for r in runs if (r["env_id"], r["who"]) == (task.env_id, who) and "reached" in r]


def _notes(runs: Sequence[Run]) -> list[str]:
    kinds = ("skipped", "failed")
    return list(dict.fromkeys(f"{k}: {r['who']}: {r[k]}" for r in runs for k in kinds if k in r))


def _row(
    task: Task, target: Target, who: str, of: dict[str, list[Run]], budget: float
) -> list[str]:
    times = of_target(of[who], target.mean, "seconds")
    steps = statistics.median(of_target(of[who], target.mean, "steps"))
    row = [
        f"{task.env_id}, {target.mean:g}",
        who,
        f"{sum(map(math.isfinite, times))} of {len(times)}",
        f"{within(statistics.median(times), budget)} ({_range(times, budget)})",
        f"{steps:,.0f}" if math.isfinite(steps) else "",
    ]
    if who != OURS:
        return [*row, "", ""]
    most = statistics.median(times)
    peers = of_target(of[PEER], target.mean, "seconds") or [math.nan]
    faster, words = _faster(statistics.median(peers), most, budget)
    verdicts = [limit(most, target.seconds) + " s"]
    if target.steps is not None:
        verdicts.append(limit(steps, target.steps) + " steps")
    if task.ratio is not None and not math.isnan(faster):
        verdicts.append(verdict(faster, task.ratio) + " times")
    return [*row, words, ", ".join(verdicts)]


def of_target(runs: Sequence[Run], target: float, key: str) -> list[float]:
    """`key` where each run reached the target, ascending; infinite where it did not."""
    found = [{each["target"]: each[key] for each in run["reached"]} for run in runs]
    return sorted(each.get(target, math.inf) for each in found)


def within(value: float, budget: float) -> str:
    """Seconds, or that the time was over."""
    return f"{digits(value)} s" if math.isfinite(value) else f"> {budget:g} s"


def _range(times: list[float], budget: float) -> str:
    return f"{within(times[0], budget).removesuffix(' s')} to {within(times[-1], budget)}"


def _faster(peers: float, mine: float, budget: float) -> tuple[float, str]:
    """How many times as fast; at least so many where the peer's time was over."""
    if math.isnan(peers) or math.isinf(mine):
        return math.nan, ""
    if math.isinf(peers):
        return budget / mine, f"> {digits(budget / mine)}x"
    return peers / mine, ratio(peers / mine)


def throughput(task: Throughput, found: Run) -> str:
    """Steps per second, as shares of bare physics and times the peer's."""
    rates = {who: found["rows"] / each["median"] for who, each in found["times"].items()}
    rows = []
    for who, rate in rates.items():
        row = [who, f"{rate:,.0f}", percent(rate / rates[PHYSICS]), "", ""]
        if who == OURS:
            row[4] = verdict(rate / rates[PHYSICS], task.share)
            if PEER in rates:
                faster = rate / rates[PEER]
                row[3], row[4] = ratio(faster), f"{row[4]}, {verdict(faster, task.ratio)} times"
        rows.append(row)
    header = ("", "steps/s", f"of {PHYSICS}", "over sb3-contrib's", "targets of ours")
    notes = [found[kind] for kind in ("skipped",) if kind in found]
    return table(header, rows) + "".join(f"\n- skipped: {note}" for note in notes)
