"""Remarks on a group of runs: what is notable, and what to do about it.

Each rule is a function that yields remarks on a group. The limits are rules of thumb.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fasttrpo.files.run_folder import is_number
from fasttrpo.report.curves import average
from fasttrpo.report.diagnostics import REASONS, reasons, seconds
from fasttrpo.report.groups import Group
from fasttrpo.report.words import join_words, number, percent, pluralize

LEVELS = ("warning", "note", "good")


class Remark(NamedTuple):
    """level: "warning", "note" or "good"."""

    level: str
    text: str


def remarks(group: Group) -> list[Remark]:
    """All remarks on a group, warnings first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # means of missing columns
        found = [remark for rule in _RULES for remark in rule(group)]
    return sorted(found, key=lambda remark: LEVELS.index(remark.level))


def _all(group: Group, column: str, last: float = 1.0) -> np.ndarray:
    """The finite values of the last share (0 to 1) of each run."""
    parts = [run.column(column)[-max(1, round(last * run.n_records)) :] for run in group.runs]
    values = np.concatenate(parts)
    return values[np.isfinite(values)]


# -- the runs themselves --------------------------------------------------------------------------


def _failed(group: Group) -> Iterator[Remark]:
    for run in group.runs:
        if run.error:
            yield Remark("warning", f"{run.name} failed at step {run.steps:,}: {run.error}")


def _unfinished(group: Group) -> Iterator[Remark]:
    short = [run for run in group.runs if not run.is_done and not run.error]
    for run in short[:3]:
        total = run.config["total_timesteps"]
        done = f"{run.steps:,} of {total:,} steps ({percent(run.steps / total)})"
        why = f"ended by {run.ended}" if run.ended else "running or interrupted"
        yield Remark("note", f"{run.name} is at {done}: {why}.")
    if len(short) > 3:
        yield Remark("note", f"Also unfinished: {pluralize(len(short) - 3, 'more run')}.")


def _average_cut_short(group: Group) -> Iterator[Remark]:
    found = average(group, "return_mean")
    if found is not None and found.stopped is not None:
        run = found.stopped
        text = f"The average ends at step {run.steps:,}, where {run.name} stopped: finish it with "
        text += f"train --resume ({run.folder}), or omit it from the report."
        yield Remark("note", text)


def _repeated(group: Group) -> Iterator[Remark]:
    seeds = Counter(run.settings.get("seed") for run in group.runs if run.settings)
    twice = [str(seed) for seed, n in seeds.items() if n > 1]
    if twice:
        seeds_occur = "Seed {} occurs" if len(twice) == 1 else "Seeds {} occur"
        text = f"{seeds_occur.format(join_words(twice))} more than once: "
        text += "these runs are copies, not independent."
        yield Remark("warning", text)


def _mixed(group: Group) -> Iterator[Remark]:
    systems = [run.config.get("system", {}) for run in group.runs]
    for key in ("version", "backend", "instruction set"):
        values = sorted({str(system[key]) for system in systems if key in system})
        if len(values) > 1:
            yield Remark("note", f"The runs differ in their {key}: {join_words(values)}.")


def _nothing_finite(group: Group) -> Iterator[Remark]:
    if not group.has("return_mean"):
        yield Remark("note", "No episode has ended yet, so there is no return.")
    for column in ("kl", "entropy", "value_loss"):
        if any(np.isinf(run.column(column)).any() for run in group.runs):
            yield Remark("warning", f"{column} was infinite in some iterations.")


# -- returns --------------------------------------------------------------------------------------


def _progress(group: Group) -> Iterator[Remark]:
    found = average(group, "return_mean")
    if found is None or len(found.x) < 10:
        return
    y = found.iqm
    span, last = float(y.max() - y.min()), float(y[-1])
    if span <= 1e-9 * max(1.0, abs(last)):
        yield Remark("warning", f"The return never changed: it is always {number(last)}.")
        return
    late = last - float(y[int(0.8 * len(y))])
    if last < y.max() - 0.25 * span:
        best, at = number(float(y.max())), found.x[int(np.argmax(y))]
        text = f"The return fell from its best, {best} at step {at:,.0f}, to {number(last)}"
        yield Remark("warning", f"{text}: EvalCallback can save the best model.")
    elif late > 0.1 * span:
        gain = f"by {number(late)} in the last fifth of the steps"
        yield Remark("note", f"The return is still rising ({gain}): longer training may help.")
    elif last > y[0]:
        yield Remark("good", f"The return rose from {number(float(y[0]))} to {number(last)}.")
    else:
        yield Remark("warning", f"The return did not rise: it ends at {number(last)}.")


def _stragglers(group: Group) -> Iterator[Remark]:
    ended = [run for run in group.runs if run.is_done]
    last = [(run.name, run.last("return_mean")) for run in ended]
    last = [(name, value) for name, value in last if np.isfinite(value)]
    if len(last) < 4:
        return
    low, middle, high = np.percentile([value for _, value in last], (25, 50, 75))
    limit = low - 3 * max(high - low, 0.05 * abs(middle))
    for name, value in last:
        if value < limit:
            text = f"{name} ended at {number(value)}, far below the others ({number(middle)})."
            yield Remark("warning", text)


# -- the trust region -----------------------------------------------------------------------------


def _rejections(group: Group) -> Iterator[Remark]:
    if not group.has("outcome"):
        return
    counts = reasons(group)
    total, taken = sum(counts.values()), counts.get("taken", 0)
    if taken == total:
        yield Remark("good", f"All updates took a step ({total:,}).")
        return
    why = [f"{n} {_short(reason)}" for reason, n in counts.items() if reason != "taken"]
    share = (total - taken) / total
    text = f"{percent(share)} of the updates took no step ({total - taken} of {total}: "
    text += f"{join_words(why)})."
    if share > 0.1 and counts.get("kl", 0) > (total - taken) / 2:
        text += " A larger cg_damping or more conjugate gradient steps may help."
    if share > 0.1 and counts.get("improvement", 0) > (total - taken) / 2:
        text += " The gradient is mostly noise: more steps per iteration may help."
    yield Remark("warning" if share > 0.1 else "note", text)


def _short(reason: str) -> str:
    """ "for KL" """
    return {"kl": "for KL", "improvement": "for no improvement"}.get(
        reason, REASONS[reason].split(": ")[-1]
    )


def _region(group: Group) -> Iterator[Remark]:
    """How much of the trust region steps use, and how accurate its model is."""
    taken = [run.column("outcome") == 0 for run in group.runs]
    kl, predicted, target, trials = (
        np.concatenate([run.column(c)[t] for run, t in zip(group.runs, taken, strict=True)])
        for c in ("kl", "kl_predicted", "target_kl", "line_search_steps")
    )
    if np.isnan(target).all():
        given = group.runs[0].settings.get("target_kl")
        target = np.full(len(kl), given if is_number(given) else np.nan)
    used = float(np.nanmedian(kl / target))
    if used < 0.3:
        text = f"A typical step uses only {percent(used)} of the trust region, because of damping "
        yield Remark("note", text + "or the line search.")
    full = trials == 1
    ratio = float(np.nanmedian((kl / predicted)[full])) if full.any() else np.nan
    if ratio > 1.5 or ratio < 1 / 1.5:
        text = f"The KL of full steps is {number(ratio)} times what the quadratic model predicts"
        yield Remark("note", text + ": steps are too long for the model.")
    elif np.isfinite(ratio):
        text = f"The KL of full steps is {number(ratio)} times the prediction"
        yield Remark("good", text + ": the quadratic model is accurate.")


def _line_search(group: Group) -> Iterator[Remark]:
    trials = _all(group, "line_search_steps")
    if len(trials) and trials.mean() > 3:
        text = f"The line search needs {number(float(trials.mean()))} trials on average: full "
        yield Remark("note", text + "steps are too long. A larger cg_damping shortens them.")


def _direction(group: Group) -> Iterator[Remark]:
    residual = _all(group, "cg_residual")
    if len(residual) and np.median(residual) > 0.3:
        text = "Conjugate gradient leaves a relative residual of "
        text += f"{percent(float(np.median(residual)))}: a larger cg_max_steps would change the "
        yield Remark("note", text + "direction.")


# -- critic, policy, time -------------------------------------------------------------------------


def _critic(group: Group) -> Iterator[Remark]:
    late = _all(group, "explained_variance", last=0.5)
    if not len(late):
        return
    middle = float(np.median(late))
    if np.max(late) < 0.2:
        text = f"Explained variance stays below 0.2 in the second half (median {number(middle)})"
        yield Remark("warning", text + ": the critic hardly predicts the returns.")
    elif middle > 0.8:
        yield Remark("good", f"The critic explains {percent(middle)} of the returns' variance.")
    before, after = _all(group, "value_loss_before"), _all(group, "value_loss")
    worse = float(np.mean(after > before)) if len(after) == len(before) else 0.0
    if worse > 0.1:
        text = f"In {percent(worse)} of the iterations the fit made the critic worse"
        yield Remark("note", text + ": it overfits, or its batches are small.")


def _exploration(group: Group) -> Iterator[Remark]:
    std, entropy = _all(group, "std", last=0.1), _all(group, "entropy")
    if len(std):
        if np.median(std) < 0.01:
            text = f"The actions' standard deviation ended at {number(float(np.median(std)))}"
            yield Remark("note", text + ": the policy no longer explores.")
    elif len(entropy) > 10 and entropy[0] > 0 and np.median(entropy[-5:]) < 0.02 * entropy[0]:
        yield Remark("note", "The policy has become nearly deterministic: it no longer explores.")


def _time(group: Group) -> Iterator[Remark]:
    spent = seconds(group)
    total = sum(spent.values())
    if total > 0:
        stage = max(spent, key=lambda name: spent[name])
        share = percent(spent[stage] / total)
        text = f"The largest share of the time, {share}, is spent on {_STAGES.get(stage, stage)}."
        yield Remark("note", text)


_STAGES = {
    "collect": "collecting steps",
    "solve": "solving for the step's direction",
    "line search": "the line search",
    "critic": "fitting the critic",
    "gradient": "the gradient",
    "other": "callbacks, logs and other work outside the stages",
}
_RULES = (
    _nothing_finite,
    _failed,
    _unfinished,
    _average_cut_short,
    _repeated,
    _mixed,
    _progress,
    _stragglers,
    _rejections,
    _region,
    _line_search,
    _direction,
    _critic,
    _exploration,
    _time,
)
