"""Draws learning curves to a file with matplotlib (the extra `plot`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from textwrap import fill
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from fasttrpo.checks.printable import readable
from fasttrpo.checks.suggest import unknown
from fasttrpo.errors import UserError, UserImportError
from fasttrpo.report.curves import AXES, Average, average
from fasttrpo.report.groups import Group
from fasttrpo.report.palette import colour
from fasttrpo.report.scales import LINEAR, LOG, kind_for, scale
from fasttrpo.report.statistics import CONFIDENCE, MIN_SEEDS, N_RESAMPLES, centre_name
from fasttrpo.report.thinning import visible
from fasttrpo.report.words import MAX_LENGTH, count, number, pluralize, shorten

FORMATS = ("png", "pdf", "svg")
INSTALL = "pip install 'fasttrpo[plot]'"
PANEL = 5.2, 3.6  # inches
MAX_COLUMNS = 3
TITLE_WIDTH, LABEL_WIDTH = 48, 40  # characters that fit into a panel
PIXELS = 900  # approximate width of a panel
DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (8, 2, 2, 2)))  # when colours repeat
LABELS = {
    "return_mean": "return, mean of 100 episodes",
    "length_mean": "episode length, mean of 100 episodes",
    "steps_per_second": "steps per second",
    "kl": "KL divergence",
    "explained_variance": "explained variance",
}
INK, FAINT = "#333333", "#dddddd"


class Picture(NamedTuple):
    """What to draw.

    y        a column of progress.csv
    x        "steps" or "seconds"
    title    above all panels; "" for none
    targets  values of y that get a line, by environment
    format   one of FORMATS
    dpi      resolution of a PNG
    """

    y: str = "return_mean"
    x: str = "steps"
    title: str = ""
    targets: Mapping[str, float] = MappingProxyType({})
    format: str = "png"
    dpi: int = 160


def labelled(groups: Sequence[Group], labels: Sequence[str]) -> list[Group]:
    """The groups with other labels, in order; those of several environments share them. Raises
    ValueError if there is not one for each curve.
    """
    curves = list(dict.fromkeys(group.label for group in groups))
    if len(labels) != len(curves):
        raise UserError(
            f"--labels has {pluralize(len(labels), 'label')} for "
            f"{pluralize(len(curves), 'curve')}: {'; '.join(curves)}"
        )
    names = dict(zip(curves, labels, strict=True))
    return [replace(group, label=names[group.label]) for group in groups]


def plot(groups: Sequence[Group], file: Any, picture: Picture | None = None) -> None:
    """Writes a picture with a panel per environment and a curve per group.

    file  a path, or a file open for writing bytes

    A curve shows the interquartile mean over seeds (bold) with its 95 % band (of fewer than five
    seeds, their range), their mean (dotted) and each seed (faint). Raises ImportError if matplotlib
    is missing, ValueError if no run has a value.
    """
    picture = picture or Picture()
    if picture.x not in AXES:
        raise UserError(unknown("axis", picture.x, AXES))
    figure_of = _matplotlib()
    averages = [(group, average(group, picture.y, picture.x)) for group in groups]
    if not any(found for _, found in averages):
        raise UserError(f"no run has a finite value of {picture.y} yet")
    environments = list(dict.fromkeys(group.env_id for group in groups))
    columns = min(len(environments), MAX_COLUMNS)
    rows = -(-len(environments) // columns)
    figure = figure_of(figsize=(PANEL[0] * columns, PANEL[1] * rows + 0.25), layout="constrained")
    axes = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for ax, env_id in zip(axes, environments, strict=False):
        _panel(ax, env_id, [pair for pair in averages if pair[0].env_id == env_id], picture)
    for ax in axes[len(environments) :]:
        ax.set_axis_off()
    sizes = [len(found.curves) for _, found in averages if found and found.low is not None]
    if sizes:
        figure.supxlabel(_how(sizes), fontsize=7, color="#777777")
    if picture.title:
        figure.suptitle(_plain(picture.title), wrap=True, fontweight="bold", color=INK)
    # Without the date, the same runs give the same file.
    metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(picture.format)
    figure.savefig(file, dpi=picture.dpi, format=picture.format, metadata=metadata)


def _matplotlib() -> Any:
    """matplotlib's Figure, which needs no window system and no global state."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserImportError(f"fasttrpo plot needs the package matplotlib: {INSTALL}") from error
    return Figure


def _how(sizes: Sequence[int]) -> str:
    """The caption, for groups of these sizes."""
    bands = [f"the seeds' range{' (below five seeds)' if max(sizes) >= MIN_SEEDS else ''}"]
    bands = bands if min(sizes) < MIN_SEEDS else []
    if max(sizes) >= MIN_SEEDS:
        bands.append(f"{CONFIDENCE:.0%} of {N_RESAMPLES:,} bootstrap resamples of seeds")
    centre = f"bold: {centre_name(sizes)} of the seeds; dotted: mean"
    return f"{centre}; band: {', else '.join(bands)}"


def _plain(name: str, width: int = MAX_LENGTH) -> str:
    """The text in lines of `width`, escaped: matplotlib reads text between dollar signs as a
    formula.
    """
    return fill(readable(shorten(name)), width).replace("$", r"\$")


def _panel(
    ax: Any, env_id: str, averages: Sequence[tuple[Group, Average | None]], picture: Picture
) -> None:
    """One environment's curves."""
    for i, (group, found) in enumerate(averages):
        if found is not None and len(found.x):
            _draw(ax, group, found, i)
    if env_id in picture.targets:
        _target(ax, [found for _, found in averages if found], picture.targets[env_id])
    ax.set_title(_plain(env_id, TITLE_WIDTH), loc="left", fontsize=11, fontweight="bold", color=INK)
    ax.set_xlabel({"steps": "environment steps", "seconds": "seconds"}[picture.x], color=INK)
    ax.set_ylabel(LABELS.get(picture.y, _plain(picture.y)), color=INK)
    ax.xaxis.set_major_formatter(lambda value, _: count(value))
    ax.margins(x=0.01)
    ax.grid(True, color=FAINT, linewidth=0.7)
    ax.set_axisbelow(True)
    ax.tick_params(colors=INK, labelsize=9, length=0)
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color("#999999")
    if len(averages) > 1 or len(averages[0][0].runs) > 1 or env_id in picture.targets:
        ax.legend(loc="best", fontsize=8, frameon=True, framealpha=0.85, edgecolor="none")


def _target(ax: Any, averages: Sequence[Average], target: float) -> None:
    """Draws the target; on a logarithmic y axis if it is so far away that it would squash the
    curves.
    """
    ax.axhline(target, color=INK, linewidth=1, linestyle=":", label=f"target {number(target)}")
    shapes = [v for a in averages for v in (a.iqm, a.low, a.high) if v is not None and len(v)]
    kind = kind_for([a.iqm for a in averages], shapes, target)[0] if shapes else LINEAR
    if kind == LINEAR:
        return
    limits = scale([*shapes, np.array([target])], 0.0, 1.0, 0.05, kind)
    low, high = (10.0 ** max(-300.0, min(300.0, kind * end)) for end in (limits.low, limits.high))
    if kind == LOG:
        ax.set_yscale("log")
    else:
        ax.set_yscale("symlog", linthresh=high)
    ax.set_ylim(kind * low, kind * high)
    ax.minorticks_off()
    ax.yaxis.set_major_formatter(lambda value, _: count(value))


def _draw(ax: Any, group: Group, found: Average, i: int) -> None:
    """One group's curve, band and seeds."""
    ink, several = colour(i), len(found.curves) > 1
    label = f"{_plain(group.label, LABEL_WIDTH)} ({pluralize(len(found.curves), 'seed')})"
    style = dict(color=ink, linestyle=DASHES[i // 6 % len(DASHES)], solid_capstyle="round")
    marker = dict(marker="o", markersize=4) if len(found.x) == 1 else {}
    if several:
        for curve in found.curves:
            ax.plot(*_thinned(*curve), color=ink, alpha=0.22, linewidth=0.7)
        ax.fill_between(found.x, found.low, found.high, color=ink, alpha=0.2, linewidth=0)
        ax.plot(found.x, found.mean, color=ink, linewidth=1, linestyle=":")
    ax.plot(*_thinned(found.x, found.iqm), linewidth=2, label=label, **style, **marker)


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The points that are visible at the picture's resolution."""
    keep = visible(x, (y,), PIXELS)
    return x[keep], y[keep]
