"""`fasttrpo plot RUN...`: draws learning curves to a PNG file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from fasttrpo.checks.printable import readable
from fasttrpo.cli.errors import UsageError


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command."""
    what = (
        "draw learning curves to a PNG: mean, interquartile mean and confidence band over seeds "
        "(the range of fewer than five)"
    )
    plot = commands.add_parser("plot", help=what, description=what, allow_abbrev=False)
    plot.set_defaults(run=run)
    add_runs(plot)
    what = "column of progress.csv (default: return_mean)"
    plot.add_argument("--y", default="return_mean", metavar="COLUMN", help=what)
    plot.add_argument("--x", default="steps", help="x axis: steps or seconds (default: steps)")
    help_out = "file to write (default: plot.png in RUN, or in the working folder if several)"
    plot.add_argument("--out", type=Path, metavar="FILE", help=help_out)
    return plot


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Declares RUN..."""
    what = "folder written by train, or a folder of such folders (the runs of several seeds)"
    parser.add_argument("folders", metavar="RUN", nargs="+", type=Path, help=what)


def run(args: argparse.Namespace) -> int:
    """Draws the file and prints its path."""
    from fasttrpo.files.atomic import replacing
    from fasttrpo.report.plot import plot
    from fasttrpo.report.runs import check_column, group_runs, load

    runs, left_out = load(args.folders)
    check_column(runs, args.y)
    print_left_out(left_out)
    path = output(args, "plot.png")
    if path.suffix.lower() not in ("", ".png"):
        raise UsageError(f"--out must end in .png, got {str(path)!r}")
    with replacing(path) as file:
        plot(group_runs(runs), file, args.y, args.x)
    print(f"saved {path}")
    return 0


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
