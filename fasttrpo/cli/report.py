"""`fasttrpo report RUN...`: one HTML page that explains runs to who did not make them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fasttrpo.cli.plot import add_runs, output, tell_left_out


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command."""
    what = "write a page about runs: curves, the trust region's diagnostics, remarks, settings"
    report = commands.add_parser("report", help=what, description=what, allow_abbrev=False)
    report.set_defaults(run=run)
    add_runs(report)
    help_out = "default: report.html in RUN, or here if there are several"
    report.add_argument("--out", type=Path, metavar="FILE", help=help_out)
    return report


def run(args: argparse.Namespace) -> int:
    """Writes the page, and says where."""
    from fasttrpo.files.atomic import write_text
    from fasttrpo.report.page import page
    from fasttrpo.report.runs import grouped, load

    runs, left_out = load(args.folders)
    tell_left_out(left_out)
    path = output(args, "report.html")
    write_text(path, page(grouped(runs), left_out))
    print(f"saved {path}")
    return 0
