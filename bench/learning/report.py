"""Runs as a Markdown table: medians, spread, ratios, and missed targets."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from bench.learning.processes import OURS, PEER
from bench.learning.tasks import Target, Task, Throughput
from bench.learning.throughput import PHYSICS
from bench.tables import digits, percent, ratio, seconds, table, verdict

Run = dict[str, Any]
HEADER = ("until", "ours", "steps", "sb3-contrib", "steps", "faster", "targets of ours")


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
    reached = ", ".join(marks) or f"nothing in {seconds(run['stopped'])}"
    return (
        f"{run['env_id']}, {run['who']}, seed {run['seed']}: {reached}; "
        f"start and end {seconds(run['outside'])}, evaluations {seconds(run['evaluating'])}"
    )


def tables(rows: Sequence[Sequence[str]], results: Sequence[Run]) -> str:
    """The table, followed by what was skipped or failed."""
    kinds = ("skipped", "failed")
    found = [f"{k}: {r['env_id']}: {r[k]}" for r in results for k in kinds if k in r]
    return "\n".join([table(HEADER, rows), *(f"- {note}" for note in dict.fromkeys(found))])


def learning(task: Task, runs: Sequence[Run], budget: float) -> list[list[str]]:
    """A row per target: medians with minimum and maximum."""
    return [_row(task, target, runs, budget) for target in task.targets]


def _row(task: Task, target: Target, runs: Sequence[Run], budget: float) -> list[str]:
    cells, medians = [], {}
    for who in (OURS, PEER):
        of = [r for r in runs if (r["env_id"], r["who"]) == (task.env_id, who) and "reached" in r]
        times = of_target(of, target.mean, "seconds")
        steps = of_target(of, target.mean, "steps")
        medians[who] = [statistics.median(each) if each else math.nan for each in (times, steps)]
        cells += [_times(times, budget), _count(medians[who][1])]
    (mine, steps), (peers, _) = medians[OURS], medians[PEER]
    faster, words = _faster(peers, mine, budget)
    verdicts = [_limit(mine, target.seconds, "s")]
    if target.steps is not None:
        verdicts.append(_limit(steps, target.steps, "steps"))
    if task.ratio is not None and not math.isnan(faster):
        verdicts.append(_least(faster, task.ratio))
    return [f"{task.env_id} {target.mean:g}", *cells, words, ", ".join(verdicts)]


def of_target(runs: Sequence[Run], target: float, key: str) -> list[float]:
    """`key` where each run reached the target, ascending; infinite where it did not."""
    found = [{each["target"]: each[key] for each in run["reached"]} for run in runs]
    return sorted(each.get(target, math.inf) for each in found)


def _times(times: list[float], budget: float) -> str:
    """Median, minimum and maximum, and the number of runs if some missed the target."""
    if not times:
        return ""
    reached = sum(map(math.isfinite, times))
    if not reached:
        return f"> {budget:g} s, 0 of {len(times)}"
    least, most = (_within(each, budget).removesuffix(" s") for each in (times[0], times[-1]))
    words = f"{_within(statistics.median(times), budget)} ({least} to {most})"
    return words if reached == len(times) else f"{words}, {reached} of {len(times)}"


def _within(value: float, budget: float) -> str:
    return f"{digits(value)} s" if math.isfinite(value) else f"> {budget:g} s"


def _count(steps: float) -> str:
    return f"{steps:,.0f}" if math.isfinite(steps) else ""


def _faster(peers: float, mine: float, budget: float) -> tuple[float, str]:
    """The ratio of speeds, or a lower bound where the peer ran out of time."""
    if math.isnan(peers) or not math.isfinite(mine):
        return math.nan, ""
    if math.isinf(peers):
        return budget / mine, f"> {digits(budget / mine)}x"
    return peers / mine, ratio(peers / mine)


def _limit(value: float, most: float, unit: str) -> str:
    return f"{'met' if value <= most else '**missed**'} (<= {most:,g} {unit})"


def _least(faster: float, least: float) -> str:
    return verdict(faster, least).replace(")", "x)")


def throughput(task: Throughput, found: Run) -> list[str]:
    """The row of steps per second: as a share of bare physics, and relative to the peer's."""
    rates = {who: found["rows"] / each["median"] for who, each in found["times"].items()}
    share = rates[OURS] / rates[PHYSICS]
    mine = f"{rates[OURS]:,.0f} steps/s, {percent(share)} of {PHYSICS}"
    verdicts = f"{'met' if share >= task.share else '**missed**'} (>= {percent(task.share)})"
    if PEER not in rates:
        return [f"{task.env_id} training", mine, "", "", "", "", verdicts]
    faster = rates[OURS] / rates[PEER]
    peers, verdicts = f"{rates[PEER]:,.0f} steps/s", f"{verdicts}, {_least(faster, task.ratio)}"
    return [f"{task.env_id} training", mine, "", peers, "", ratio(faster), verdicts]
