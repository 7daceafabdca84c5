"""`fasttrpo plot RUN...`: draws learning curves to a PNG, PDF or SVG file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from fasttrpo.checks.printable import readable
from fasttrpo.cli.arguments import Parser
from fasttrpo.cli.errors import UsageError


def add(commands: Any) -> Parser:
    """Declares the command."""
    what = (
        "draw learning curves to a PNG, PDF or SVG: mean, interquartile mean and confidence band "
        "over seeds (the range of fewer than five)"
    )
    plot: Parser = commands.add_parser("plot", description=what, allow_abbrev=False)
    plot.set_defaults(run=run)
    add_runs(plot)
    what = "column of progress.csv (default: return_mean)"
    plot.add("Curves", "--y", default="return_mean", metavar="COLUMN", help=what)
    what = "steps or seconds (default: steps)"
    plot.add("Curves", "--x", default="steps", metavar="AXIS", help=what)
    what = "names of the curves: A,B,... in order, or --labels once per curve"
    plot.add("Curves", "--labels", action="append", default=[], metavar="LABELS", help=what)
    add_target(plot, "Curves")
    what = "title above the picture"
    plot.add("Output", "--title", default="", metavar="TEXT", help=what)
    help_out = "file to write; its ending, .png, .pdf or .svg, is the format (default: plot.png in "
    help_out += "RUN, or in the working folder if several)"
    plot.add("Output", "--out", type=Path, metavar="FILE", help=help_out)
    return plot


def add_runs(parser: Parser) -> None:
    """Declares RUN..."""
    what = "folder written by train, or a folder of such folders (the runs of several seeds)"
    parser.add("Runs", "folders", metavar="RUN", nargs="+", type=Path, help=what)


def add_target(parser: Parser, group: str) -> None:
    """Declares --target."""
    what = "return to reach: draws a line; ENV_ID=NUMBER if the runs have several environments"
    parser.add(group, "--target", action="append", default=[], metavar="NUMBER", help=what)


def run(args: argparse.Namespace) -> int:
    """Draws the file and prints its path."""
    from fasttrpo.files.atomic import replacing
    from fasttrpo.report.groups import group_runs
    from fasttrpo.report.plot import Picture, labelled, plot
    from fasttrpo.report.runs import check_column, env_ids, load
    from fasttrpo.report.targets import parse

    runs, left_out = load(args.folders)
    check_column(runs, args.y)
    print_left_out(left_out)
    path = output(args, "plot.png")
    targets = parse(args.target, env_ids(runs))
    groups = group_runs(runs)
    if args.labels:
        groups = labelled(groups, _labels(args.labels, len(groups)))
    picture = Picture(args.y, args.x, args.title, targets, _format(path))
    with replacing(path) as file:
        plot(groups, file, picture)
    print(f"saved {path}")
    return 0


def _labels(given: list[str], n_groups: int) -> list[str]:
    """The labels: one per option, or separated by commas in a single option."""
    if len(given) > 1 or n_groups == 1:
        return given
    return [label.strip() for label in given[0].split(",")]


def _format(path: Path) -> str:
    """The format that the file's ending names; PNG without an ending."""
    from fasttrpo.report.plot import FORMATS

    name = path.suffix.lower().removeprefix(".") or FORMATS[0]
    if name not in FORMATS:
        endings = " or ".join([", ".join(f".{each}" for each in FORMATS[:-1]), f".{FORMATS[-1]}"])
        raise UsageError(f"--out must end in {endings}, got {str(path)!r}")
    return name


def print_left_out(remarks: list[str]) -> None:
    """Prints a line for each run that could not be read."""
    for text in remarks:
        print(f"fasttrpo: left out: {readable(text)}", file=sys.stderr)


def output(args: argparse.Namespace, name: str) -> Path:
    """The file to write: --out, or `name` in the only RUN or the working folder. Raises UsageError
    if it cannot be a file.
    """
    path = args.out or (args.folders[0] if len(args.folders) == 1 else Path()) / name
    if not path.parent.is_dir():
        raise UsageError(f"--out: there is no folder {str(path.parent)!r}")
    if path.is_dir():
        raise UsageError(f"--out: {str(path)!r} is a folder; name a file")
    if args.out and path.exists() and not path.is_file():
        raise UsageError(f"--out: {str(path)!r} is a device or a pipe; name a file")
    return path
