"""`fasttrpo report RUN...`: writes an HTML page that explains runs to other people."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fasttrpo.cli.plot import add_runs, output, print_left_out


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command."""
    what = "write an HTML page about runs: curves, trust-region diagnostics, remarks, settings"
    report = commands.add_parser("report", help=what, description=what, allow_abbrev=False)
    report.set_defaults(run=run)
    add_runs(report)
    help_out = "file to write (default: report.html in RUN, or in the working folder if several)"
    report.add_argument("--out", type=Path, metavar="FILE", help=help_out)
    return report


def run(args: argparse.Namespace) -> int:
    """Writes the page and prints its path."""
    from fasttrpo.files.atomic import write_text
    from fasttrpo.report.page import page
    from fasttrpo.report.runs import group_runs, load

    runs, left_out = load(args.folders)
    print_left_out(left_out)
    path = output(args, "report.html")
    write_text(path, page(group_runs(runs), left_out))
    print(f"saved {path}")
    return 0
