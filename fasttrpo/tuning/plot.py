"""Draws what a search found to a PNG with matplotlib: the trials, what mattered, the choice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fasttrpo.checks.printable import readable
from fasttrpo.errors import UserImportError
from fasttrpo.report.palette import COLOURS
from fasttrpo.report.words import count, number, pluralize
from fasttrpo.tuning.measure import REPORTS
from fasttrpo.tuning.space import KNOBS
from fasttrpo.tuning.study import INSTALL
from fasttrpo.tuning.text import start_name
from fasttrpo.tuning.tuning import PRUNED, START, Candidate, Trial, Tuning

SIZE = 13.0, 7.6  # inches
N_SLICES = 4  # parameters that get a panel
N_BARS = 8
INK, FAINT, GREY = "#333333", "#e4e4e4", "#9a9a9a"
START_INK, BEST_INK, TRIAL_INK = COLOURS[1], COLOURS[0], "#7d9bb0"
_KNOBS = {knob.name: knob for knob in KNOBS}


def check_matplotlib() -> Any:
    """matplotlib's Figure, which needs no window system and no global state. Raises ImportError
    with the command that installs it.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserImportError(f"the plot of a search needs matplotlib: {INSTALL}") from error
    return Figure


def plot(tuning: Tuning, file: Any, dpi: int = 130) -> None:
    """Writes a PNG.

    file  a path, or a file open for writing bytes
    """
    figure = check_matplotlib()(figsize=SIZE, layout="constrained")
    names = [name for name in tuning.importances if name in _KNOBS]
    slices = names[:N_SLICES]
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.2, 1), hspace=0.05)
    panels = zip(
        (_curves, _importances, _choice),
        upper.subplots(1, 3, width_ratios=(5, 3.4, 3)),
        strict=True,
    )
    for draw, ax in panels:
        draw(ax, tuning)
    if slices:
        row = np.ravel(lower.subplots(1, len(slices), sharey=True))
        for ax, name in zip(row, slices, strict=True):
            _slice(ax, tuning, name)
        row[0].set_ylabel("return", fontsize=9, color=INK)
        caption = (
            "dots: complete trials; crosses on the axis: pruned, failed, or far below the others"
        )
        lower.supxlabel(caption, fontsize=8.5, color="#777777")
    trials = pluralize(len(tuning.trials), "trial")
    title = f"{_plain(tuning.env_id)}: {trials} of {count(tuning.total_timesteps)} steps"
    upper.suptitle(title, x=0.012, ha="left", fontsize=14, fontweight="bold", color=INK)
    figure.savefig(file, dpi=dpi, format="png")


def _plain(text: str) -> str:
    """The text, escaped: matplotlib reads text between dollar signs as a formula."""
    return readable(text).replace("$", r"\$")


def _style(ax: Any, title: str) -> None:
    ax.set_title(title, loc="left", fontsize=10.5, fontweight="bold", color=INK)
    ax.grid(True, color=FAINT, linewidth=0.7)
    ax.set_axisbelow(True)
    ax.tick_params(colors=INK, labelsize=8.5, length=0, which="both")
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color("#999999")


def _role(tuning: Tuning, trial: Trial) -> str:
    """ "best", "start", "pruned" or "complete" """
    if trial.number == tuning.best.trial.number:
        return "best"
    return "start" if trial.number == START else trial.state


def _drawn(tuning: Tuning) -> list[Trial]:
    """The trials with a return, the most important last."""
    order = ("failed", PRUNED, "complete", "start", "best")
    trials = [trial for trial in tuning.trials if trial.curve or trial.value is not None]
    return sorted(trials, key=lambda trial: order.index(_role(tuning, trial)))


# role: colour, width of a line, opacity, label
_STYLES = {
    "failed": (GREY, 0.9, 0.6, "failed"),
    PRUNED: (GREY, 0.9, 0.6, "pruned"),
    "complete": (TRIAL_INK, 1.1, 0.75, "complete"),
    "start": (START_INK, 2.2, 1.0, ""),
    "best": (BEST_INK, 2.2, 1.0, ""),
}


def _label(tuning: Tuning, role: str) -> str:
    number_of_best = tuning.best.trial.number
    if role == "best" and number_of_best != START:
        return f"chosen: trial {number_of_best}"
    start = start_name(tuning).removeprefix("the ").removesuffix(" settings")
    start = f"first trial: {start} settings"
    return start if role in ("start", "best") else _STYLES[role][3]


def _curves(ax: Any, tuning: Tuning) -> None:
    """The running return of each trial."""
    labelled = set[str]()
    shown = []
    for trial in _drawn(tuning):
        role = _role(tuning, trial)
        colour, width, opacity, _ = _STYLES[role]
        steps = [part * tuning.total_timesteps / REPORTS for part in trial.curve]
        returns = [*trial.curve.values()]
        shown += returns
        label = _label(tuning, role) if role not in labelled else None
        labelled.add(role)
        ax.plot(steps, returns, color=colour, linewidth=width, alpha=opacity, label=label)
        if role in (PRUNED, "failed") and steps:
            ax.plot(steps[-1], returns[-1], "x", color=colour, markersize=4.5, alpha=0.9)
    _style(ax, "Running return of the trials")
    ax.set_ylim(*_limits(shown))
    ax.set_xlim(0, tuning.total_timesteps * 1.01)
    ax.set_xlabel("environment steps", fontsize=9, color=INK)
    ax.xaxis.set_major_formatter(lambda value, _: count(value) if value else "0")
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles[::-1], labels[::-1], loc="lower right", fontsize=8, edgecolor="none")


def _limits(values: Iterable[float]) -> tuple[float | None, float | None]:
    """Limits that leave out the worst fifth if that would squeeze the rest."""
    finite = np.array([value for value in values if np.isfinite(value)])
    if len(finite) < 2 or finite.min() == finite.max():
        return None, None
    low, high = np.quantile(finite, 0.2), finite.max()
    low = max(finite.min(), low - 0.6 * (high - low)) if low < high else finite.min()
    margin = 0.05 * (high - low)
    return low - margin, high + margin


def _importances(ax: Any, tuning: Tuning) -> None:
    """The share of each parameter."""
    found = [*tuning.importances.items()][:N_BARS][::-1]
    _style(ax, "What sets the best fifth apart")
    if not found:
        ax.set_axis_off()
        ax.text(0, 0.9, "too few complete trials", fontsize=9, color=GREY, transform=ax.transAxes)
        return
    names, shares = [name for name, _ in found], [100 * share for _, share in found]
    ax.barh(names, shares, color=TRIAL_INK, height=0.62)
    for i, share in enumerate(shares):
        ax.text(share + 0.02 * max(shares), i, f"{share:.0f}%", va="center", fontsize=8, color=INK)
    ax.set_xlim(0, max(shares) * 1.16)
    ax.set_xlabel("share of importance (PED-ANOVA), %", fontsize=9, color=INK)
    ax.grid(False, axis="y")


def _choice(ax: Any, tuning: Tuning) -> None:
    """The returns with new seeds."""
    _style(ax, "Trained again with new seeds")
    found = [*tuning.finalists] if tuning.best.returns else []
    if not found:
        ax.set_axis_off()
        ax.text(0, 0.9, "not trained again", fontsize=9, color=GREY, transform=ax.transAxes)
        return
    for i, candidate in enumerate(found):
        _candidate(ax, i, candidate, is_start=candidate.trial.number == START)
    labels = [_finalist_label(tuning, candidate) for candidate in found]
    ax.set_xticks(range(len(found)), labels)
    ax.set_xlim(-0.5, len(found) - 0.25)
    ax.grid(False, axis="x")
    seeds = pluralize(len(tuning.best.returns), "seed")
    ax.set_xlabel(f"{seeds}; mean and standard error", fontsize=9, color=INK)


def _finalist_label(tuning: Tuning, candidate: Candidate) -> str:
    is_best = candidate.trial.number == tuning.best.trial.number
    name = start_name(tuning).removeprefix("the ").removesuffix(" settings")
    name = name if candidate.trial.number == START else f"trial {candidate.trial.number}"
    return f"{name}\n(chosen)" if is_best else name


def _candidate(ax: Any, x: float, candidate: Candidate, is_start: bool) -> None:
    colour = START_INK if is_start else BEST_INK
    values = [value for value in candidate.values if np.isfinite(value)]
    spread = np.linspace(-0.16, 0.16, len(values)) if len(values) > 1 else [0.0]
    ax.plot(x + np.asarray(spread), values, "o", color=colour, alpha=0.45, markersize=5, mew=0)
    if np.isfinite(candidate.mean):
        ax.errorbar(x, candidate.mean, candidate.error, color=colour, capsize=4, elinewidth=2)
        ax.plot([x - 0.28, x + 0.28], [candidate.mean] * 2, color=colour, linewidth=2.4)
        words = number(candidate.mean)
        ax.text(x + 0.31, candidate.mean, f" {words}", fontsize=8.5, color=INK, va="center")


def _slice(ax: Any, tuning: Tuning, name: str) -> None:
    """The returns of the complete trials against one parameter; the others are on the axis."""
    knob = _KNOBS[name]
    trials = [trial for trial in _drawn(tuning) if name in trial.params]
    positions = {str(choice): i for i, choice in enumerate(knob.choices)}
    low, high = _limits(trial.value for trial in tuning.trials if trial.value is not None)
    for trial in trials:
        x = trial.params[name]
        if knob.choices:
            place = positions.setdefault(str(x), len(positions))
            x = place + 0.22 * np.sin(2.4 * trial.number)  # apart, and the same each time
        is_shown = trial.value is not None and (low is None or trial.value >= low)
        _point(ax, x, trial.value if is_shown else None, _role(tuning, trial))
    _style(ax, name)
    ax.set_ylim(low, high)
    if knob.choices:
        ax.set_xticks(range(len(positions)), [label.replace(" and ", "\n") for label in positions])
        ax.set_xlim(-0.5, len(positions) - 0.5)
    elif knob.is_log:
        ax.set_xscale("log")
        _plain_ticks(ax, [trial.params[name] for trial in trials])


def _point(ax: Any, x: float, y: float | None, role: str) -> None:
    """A trial; one without a return, or far below the others, is a cross on the axis."""
    colour = _STYLES[role][0]
    if y is None:
        place = {"transform": ax.get_xaxis_transform(), "clip_on": False}
        ax.plot(x, 0.035, "x", color=colour, markersize=5, alpha=0.9, **place)
    elif role in ("best", "start"):
        ax.plot(x, y, "D" if role == "start" else "o", color=colour, markersize=8, mec="white")
    else:
        ax.plot(x, y, "o", color=colour, markersize=5.5, alpha=0.85, mew=0)


def _plain_ticks(ax: Any, values: Sequence[float]) -> None:
    """A few ticks in plain numbers on a logarithmic axis."""
    low, high = min(values), max(values)
    are_few = isinstance(low, int) and high - low < 8
    factors = range(1, 10) if are_few else (1, 2, 5)
    steps = [m * 10.0**e for e in range(0 if are_few else -6, 7) for m in factors]
    inside = [step for step in steps if low <= step <= high]
    while len(inside) > (8 if are_few else 5):
        inside = inside[::2]
    ax.set_xticks(inside or [low, high], [count(tick) for tick in inside or [low, high]])
    ax.minorticks_off()
