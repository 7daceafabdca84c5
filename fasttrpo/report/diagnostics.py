"""Charts of the trust region, the critic and the time: their columns, and how to read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fasttrpo.report.curves import axis, bin_column
from fasttrpo.report.groups import Group
from fasttrpo.report.markup import Markup
from fasttrpo.report.scales import LINEAR, LOG, spans_powers
from fasttrpo.report.svg import Axes, Line, bars, line_chart

WIDTH, HEIGHT = 380, 240


@dataclass(frozen=True)
class Diagnostic:
    """One chart.

    y        title of the y axis
    columns  (column, label, style); the first has a band
    reading  how to read the chart, in a sentence or two
    within   limits of the y axis; values beyond are drawn at the edge
    """

    title: str
    y: str
    columns: tuple[tuple[str, str, str], ...]
    reading: str
    log: bool = False
    within: tuple[float, float] | None = None
    marks_rejections: bool = False


STEP = (
    Diagnostic(
        "KL divergence of the step",
        "KL, nats",
        (
            ("kl", "actual", "line"),
            ("kl_predicted", "predicted", "dashed"),
            ("target_kl", "target", "dotted"),
        ),
        "How far each update moved the policy, and the limit (dotted). Dashed: the prediction of "
        "the quadratic model for the full step; where both lines agree, the model is accurate. "
        "A rejected step counts as zero.",
        log=True,
    ),
    Diagnostic(
        "Gain of the surrogate",
        "gain, standard deviations",
        (("surr_gain", "actual", "line"), ("surr_gain_predicted", "predicted", "dashed")),
        "The policy's estimated improvement per update, in standard deviations of the advantage. "
        "Dashed: the gradient's prediction; if actual gains are well below it, the step is too "
        "long for the linear model.",
    ),
    Diagnostic(
        "Trials of the line search",
        "trials",
        (("line_search_steps", "trials", "line"),),
        "One trial means that the full step was taken; with more, it was shortened until KL and "
        "gain were acceptable. A tick at the top marks a rejected step: the policy did not change.",
        marks_rejections=True,
    ),
    Diagnostic(
        "Length of the step",
        "norm of the step",
        (("step_norm", "step", "line"),),
        "How far the parameters moved. Only the KL is limited, so steps are long where the policy "
        "depends little on the parameters.",
        log=True,
    ),
)
SYSTEM = (
    Diagnostic(
        "Conjugate gradient iterations",
        "iterations",
        (("cg_steps", "iterations", "line"),),
        "Fisher-vector products per update. The line is constant if each solve reaches the limit, "
        "cg_max_steps; lower values mean early convergence.",
    ),
    Diagnostic(
        "Residual of the direction",
        "relative residual",
        (("cg_residual", "residual", "line"),),
        "The last residual of the linear system relative to the first: 0 is an exact solution. "
        "Near 1, more iterations would change the direction.",
        log=True,
    ),
    Diagnostic(
        "Curvature along the direction",
        "x'Hx",
        (("curvature", "x'Hx", "line"),),
        "How fast the KL grows along the natural gradient, including damping. It measures the "
        "gradient by its effect on the policy and falls as learning converges.",
        log=True,
    ),
    Diagnostic(
        "Norm of the gradient",
        "norm of the gradient",
        (("grad_norm", "gradient", "line"),),
        "The norm of the surrogate's gradient with respect to the parameters. It need not fall: "
        "only its size relative to the batch's noise matters.",
        log=True,
    ),
    Diagnostic(
        "Damping",
        "damping",
        (("cg_damping", "damping", "line"),),
        "Added to the Fisher matrix. It increases when the quadratic model is inaccurate and "
        "decreases when it is accurate.",
        log=True,
    ),
)
POLICY = (
    Diagnostic(
        "Entropy",
        "entropy, nats",
        (("entropy", "entropy", "line"),),
        "How random the actions are, in nats. It falls as the policy becomes more certain; an "
        "early drop to the minimum means that the policy stopped exploring.",
    ),
    Diagnostic(
        "Standard deviation of actions",
        "standard deviation",
        (("std", "std", "line"),),
        "The mean width of the Gaussian. It should shrink slowly while returns rise.",
        log=True,
    ),
    Diagnostic(
        "Explained variance of the critic",
        "explained variance",
        (("explained_variance", "explained", "line"),),
        "1 means that the critic predicts the returns exactly, 0 that it is no better than their "
        "mean, below 0 that it is worse. A better critic makes the gradient less noisy.",
        within=(-1.0, 1.0),
    ),
    Diagnostic(
        "Loss of the critic",
        "squared error",
        (("value_loss", "after the fit", "line"), ("value_loss_before", "before", "dashed")),
        "Mean squared error of the values on each batch, before (dashed) and after the fit. It "
        "can grow while learning succeeds, because the returns grow.",
        log=True,
    ),
    Diagnostic(
        "Length of episodes",
        "steps per episode",
        (("length_mean", "steps", "line"),),
        "The mean of the last 100 episodes.",
    ),
)
SPEED = Diagnostic(
    "Speed",
    "steps per second",
    (("steps_per_second", "steps/s", "line"),),
    "Environment steps per second of wall-clock time, including updates. Other programs on the "
    "machine can cause dips.",
)

STAGES = ("collect", "advantages", "gradient", "solve", "line_search", "critic")
REASONS = {
    "taken": "taken",
    "kl": "rejected: KL above the target",
    "improvement": "rejected: no improvement",
    "not finite": "rejected: not finite",
    "rejected": "rejected by the line search",
    "zero gradient": "no step: zero gradient",
    "no curvature": "no step: no curvature",
}
# Outcome -> reason, for records without one.
_OUTCOMES = {1: "rejected", 2: "zero gradient", 3: "no curvature"}


# -- charts ---------------------------------------------------------------------------------------


def draw(diagnostic: Diagnostic, groups: Sequence[Group]) -> Markup | None:
    """The chart; None if no group has its first column, or for a constant damping."""
    first = diagnostic.columns[0][0]
    if not any(group.has(first) for group in groups) or not _is_informative(first, groups):
        return None
    lines = [
        line
        for i, group in enumerate(groups)
        for line in _lines(diagnostic, group, i, len(groups) > 1)
    ]
    marks = _rejections(groups) if diagnostic.marks_rejections else None
    kind = LOG if diagnostic.log and spans_powers([line.y for line in lines]) else LINEAR
    axes = Axes(y=diagnostic.y, kind=kind, within=diagnostic.within)
    return line_chart(lines, WIDTH, HEIGHT, diagnostic.title, axes, marks)


def _is_informative(column: str, groups: Sequence[Group]) -> bool:
    """False for a constant damping, which is listed among the settings."""
    if column != "cg_damping":
        return True
    values = np.concatenate([run.column(column) for group in groups for run in group.runs])
    return bool(np.nanmax(values) > np.nanmin(values))


def _lines(diagnostic: Diagnostic, group: Group, i: int, several: bool) -> list[Line]:
    lines = []
    for column, what, style in diagnostic.columns:
        found = bin_column(group, column)
        if found is None:
            continue
        name = f"{group.name}, {what}" if several else what
        has_band = style == "line" and not np.array_equal(found.low, found.high)
        band = (found.low, found.high) if has_band else (None, None)
        colour = None if style == "dotted" and not several else i
        lines.append(Line(found.x, found.median, name, colour, style, *band))
    return lines


def _rejections(groups: Sequence[Group]) -> np.ndarray:
    """The environment steps of updates that took no step."""
    at = [axis(run, "steps")[run.column("outcome") > 0] for g in groups for run in g.runs]
    return np.unique(np.concatenate(at))


# -- shares ---------------------------------------------------------------------------------------


def reasons(group: Group) -> dict[str, int]:
    """Counts how often a step was taken, or why not, by the reasons in the records."""
    counts: Counter[str] = Counter()
    for run in group.runs:
        outcomes = run.column("outcome")
        counts["taken"] += int(np.sum(outcomes == 0))
        at = np.flatnonzero((outcomes != 0) & np.isfinite(outcomes))
        column = run.columns.get("rejected")
        words = [""] * len(at) if column is None else column[at].tolist()
        counts.update(map(_reason, words, outcomes[at].tolist()))
    return {reason: counts[reason] for reason in REASONS if counts[reason]}


def _reason(word: str, outcome: float) -> str:
    return word if word in REASONS else _OUTCOMES.get(int(outcome), "taken")


def seconds(group: Group) -> dict[str, float]:
    """Mean seconds per iteration and stage over all runs; {} if older records lack them.

    "other" is the remaining time: logging, callbacks and so on.
    """
    mean = {}
    for stage in STAGES:
        found = finite(np.concatenate([run.column(f"seconds_{stage}") for run in group.runs]))
        found = found[found >= 0]
        if len(found):
            mean[stage.replace("_", " ")] = float(found.mean())
    totals = [np.diff(axis(run, "seconds"), prepend=0.0) for run in group.runs]
    measured = finite(np.concatenate(totals))
    if not mean or not len(measured):
        return mean
    rest = float(measured.mean()) - sum(mean.values())
    return mean | ({"other": rest} if rest > 0 else {})


def finite(values: np.ndarray) -> np.ndarray:
    """The finite values."""
    return values[np.isfinite(values)]


def share_bars(groups: Sequence[Group]) -> tuple[Markup, list[str]]:
    """Bars of the updates' outcomes, and the legend's names."""
    rows = [(group.name if len(groups) > 1 else "", reasons(group)) for group in groups]
    used = [reason for reason in REASONS if any(reason in counts for _, counts in rows)]
    filled = [(n, [(REASONS[r], float(counts.get(r, 0))) for r in used]) for n, counts in rows]
    return bars(filled, "updates"), [REASONS[reason] for reason in used]


def time_bars(groups: Sequence[Group]) -> tuple[Markup, list[str]] | None:
    """Bars of the time per stage, and the stages' names; None for older records."""
    rows = [(group.name if len(groups) > 1 else "", seconds(group)) for group in groups]
    used = list(dict.fromkeys(stage for _, spent in rows for stage in spent))
    if not used:
        return None
    filled = [(n, [(s, 1e3 * spent.get(s, 0.0)) for s in used]) for n, spent in rows]
    return bars(filled, "ms per iteration"), used
