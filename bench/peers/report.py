"""Results as Markdown tables, including losses and missed targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench.peers.cases import policy
from bench.tables import limit, percent, ratio, seconds, spread, table, verdict

Result = dict[str, Any]


def progress(result: Result) -> str:
    """One line about one process."""
    parts = [f"{k} {seconds(t['median'])}" for k, t in result.get("times", {}).items()]
    parts += [f"{kind}: {result[kind]}" for kind in ("skipped", "failed") if kind in result]
    return f"{result['case']}, {result['threads']} threads: {', '.join(parts)}"


def header(about: Result) -> str:
    """The machine, its peak and the versions, as a list."""
    machine = about["machine"]
    peaks = "; ".join(
        f"{count} thread{'s' if count != '1' else ''} {max(sets.values()):.0f}"
        for count, sets in about["peak"].items()
    )
    versions = ", ".join(f"{name} {v}" for name, v in machine["packages"].items() if v)
    return "\n".join(
        [
            f"- {machine['processor']}, {machine['cores']} cores, "
            f"{', '.join(machine['instruction sets'])}; {machine['system']}",
            f"- peak of fused multiply-adds, float32, GFLOP/s: {peaks}",
            f"- fasttrpo {machine['fasttrpo']} ({machine['library']}), {machine['compiler']}, "
            f"Python {machine['python']}, {versions}",
            f"- {machine['time']}; medians, ± half the distance between the quartiles",
            "",
        ]
    )


def tables(results: Sequence[Result]) -> str:
    """A table per group, each followed by what was skipped or failed."""
    parts = []
    for group, (title, make) in GROUPS.items():
        of = [result for result in results if result["group"] == group]
        good = [result for result in of if "times" in result]
        if of:
            parts += [f"### {title}", "", *([make(good), ""] if good else []), *_notes(of)]
    return "\n".join(parts)


def _notes(results: Sequence[Result]) -> list[str]:
    notes: dict[str, None] = {}
    for result in results:
        for kind in ("skipped", "failed"):
            if kind in result:
                notes[f"- {kind}: {result['case']}: {result[kind]}"] = None
    return [*notes, ""] if notes else []


# -- reading a result ----------------------------------------------------------------------------


def _median(result: Result, name: str) -> float:
    return result["times"][name]["median"]


def _spread(result: Result, name: str) -> str:
    times = result["times"][name]
    return spread(times["median"], times["low"], times["high"])


def _share(result: Result, name: str, threads: int) -> float | None:
    """The share of the peak of that many cores, measured in the same process."""
    if "flops" not in result:
        return None
    peak = threads * max(result["peak"].values()) * 1e9
    return result["flops"] / _median(result, name) / peak


def _threads_of(name: str) -> int:
    """The number of threads in a contestant's name: "ours, 2 threads"."""
    return int(name.split(", ")[1].split()[0])


def _best(results: Sequence[Result], peer: Callable[[Result], str]) -> list[Result]:
    """For each case, the process in which the peer was fastest."""
    best: dict[str, Result] = {}
    for result in results:
        case = result["case"]
        if case not in best or _median(result, peer(result)) < _median(best[case], peer(result)):
            best[case] = result
    return list(best.values())


def _size(result: Result) -> list[str]:
    return [policy(result["arguments"]["shape"]), f"{result['arguments']['n']:,}"]


# -- tables --------------------------------------------------------------------------------------


def _product(results: Sequence[Result]) -> str:
    rows = []
    for result in results:
        names, targets = list(result["times"]), result["targets"]
        share = _share(result, names[0], 1)
        row = [*_size(result), _spread(result, names[0]), percent(share)]
        row.append(verdict(share, targets["share"]))
        if len(names) > 1:
            gained = _median(result, names[0]) / _median(result, names[-1])
            count = _threads_of(names[-1])
            row += [_spread(result, names[-1]), percent(_share(result, names[-1], count))]
            row += [ratio(gained), verdict(gained, targets.get("ratio"))]
        rows.append(row + [""] * (9 - len(row)))
    header = ["policy", "N", "one thread", "of peak", "target", "all threads", "of peak"]
    return table([*header, "gain", "target"], rows)


def _fisher(results: Sequence[Result]) -> str:
    rows = []
    for result in _best(results, lambda r: r["arguments"]["peer"]):
        peer, ours = result["arguments"]["peer"], result["ours"]
        faster = _median(result, peer) / _median(result, ours)
        rows.append(
            [
                *_size(result),
                peer,
                result["threads"],
                _spread(result, peer),
                percent(_share(result, peer, result["threads"])),
                _spread(result, ours),
                percent(_share(result, ours, _threads_of(ours))),
                ratio(faster),
                verdict(faster, result["targets"].get("ratio")),
            ]
        )
    header = ["policy", "N", "peer", "threads", "peer's", "of peak", "ours", "of peak"]
    return table([*header, "ratio", "target"], rows)


def _update(results: Sequence[Result]) -> str:
    rows = []
    for result in _best(results, lambda r: r["arguments"]["peer"]):
        peer = result["arguments"]["peer"]
        for name in sorted(result["times"], key=lambda each: each != peer):
            rows.append(_update_row(result, peer, name))
    header = ["batch", "N", "who", "update", "ratio", "target", "of peak"]
    return table([*header, "gain at equal KL", "held-out EV"], rows)


def _update_row(result: Result, peer: str, name: str) -> list[str]:
    batch, quality = result["arguments"]["name"], result["quality"]
    n = f"{result['n']:,}"
    worth = [_worth(quality, peer, name, key) for key in ("gain", "explained variance")]
    if name == peer:
        who = f"{name}, {result['threads']} thread{'s' if result['threads'] > 1 else ''}"
        return [batch, n, who, _spread(result, name), "", "", "", *worth]
    faster = _median(result, peer) / _median(result, name)
    is_default = name != LIKE
    count = _threads_of(name) if is_default else 1
    share = percent(_share(result, name, count)) if is_default else ""
    target = result["targets"].get(str(count)) if is_default else None
    row = [batch, n, name, _spread(result, name), ratio(faster)]
    return [*row, verdict(faster, target), share, *worth]


LIKE = "ours, its settings"


def _worth(quality: Result, peer: str, name: str, key: str) -> str:
    """A number, marked if the peer's is better by more than its last digit."""
    text = _digits(quality[name], key)
    return text if quality[name][key] >= quality[peer][key] - 5e-4 else f"**{text} (worse)**"


def _digits(quality: dict[str, float], key: str) -> str:
    """The number with its spread over seeds, if there is one."""
    spread = quality.get(f"{key}, spread")
    return f"{quality[key]:.3f}" + ("" if spread is None else f" ±{spread:.3f}")


def _critic(results: Sequence[Result]) -> str:
    rows = []
    for result in results:
        for name in result["times"]:
            held_out = _digits(result["quality"][name], "explained variance")
            before = f"{result['before']:.3f}"
            batch = [result["arguments"]["name"], f"{result['n']:,}"]
            rows.append([*batch, name, _spread(result, name), before, held_out])
    return table(["batch", "N", "critic", "whole update", "held-out EV before", "after"], rows)


def _small(unit: str, scale: float) -> Callable[[Sequence[Result]], str]:
    """A table of plain times with an upper limit on ours, in `unit` = `scale` seconds."""

    def make(results: Sequence[Result]) -> str:
        rows = []
        for result in results:
            most = result["targets"].get(unit)
            for name in result["times"]:
                is_ours = not name.endswith(("numpy", "sb3-contrib", "sb3_contrib"))
                met = limit(_median(result, name) / scale, most) if most and is_ours else ""
                rows.append([result["case"], name, _spread(result, name), met])
        return table(["case", "what", "time", f"target, {unit}"], rows)

    return make


def _function(results: Sequence[Result]) -> str:
    rows = []
    for result in results:
        ours, numpy = (1e9 * _median(result, k) / result["elements"] for k in ("ours", "numpy"))
        most = result["targets"].get("ns per element")
        met = limit(ours, most) if most else ""
        name = result["arguments"]["name"]
        rows.append([name, f"{ours:.2f}", f"{numpy:.2f}", ratio(numpy / ours), met])
    return table(["function", "ours, ns per element", "numpy", "ratio", "target"], rows)


GROUPS: dict[str, tuple[str, Callable[[Sequence[Result]], str]]] = {
    "product": ("Our Fisher product", _product),
    "fisher": ("Fisher product against peers, each at its best thread count", _fisher),
    "update": ("Whole update on the same batch, the peer at its best thread count", _update),
    "critic": ("Critics by cost and quality", _critic),
    "predict": ("predict on one observation", _small("us", 1e-6)),
    "import": ("Import beyond numpy", _small("ms", 1e-3)),
    "function": ("Elementwise functions, float32, one core", _function),
    "gae": ("Advantage estimation, 32,768 steps (T x E)", _small("us", 1e-6)),
}
