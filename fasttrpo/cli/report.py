"""`fasttrpo report RUN...`: writes an HTML page that explains runs to other people."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fasttrpo.cli.arguments import Parser
from fasttrpo.cli.plot import add_runs, add_target, output, print_left_out


def add(commands: Any) -> Parser:
    """Declares the command."""
    what = "write an HTML page about runs: curves, trust-region diagnostics, remarks, settings"
    report: Parser = commands.add_parser("report", description=what, allow_abbrev=False)
    report.set_defaults(run=run)
    add_runs(report)
    add_target(report, "Output")
    help_out = "file to write (default: report.html in RUN, or in the working folder if several)"
    report.add("Output", "--out", type=Path, metavar="FILE", help=help_out)
    return report


def run(args: argparse.Namespace) -> int:
    """Writes the page and prints its path."""
    from fasttrpo.files.atomic import write_text
    from fasttrpo.report.groups import group_runs
    from fasttrpo.report.page import page
    from fasttrpo.report.runs import env_ids, load
    from fasttrpo.report.targets import parse

    runs, left_out = load(args.folders)
    print_left_out(left_out)
    path = output(args, "report.html")
    write_text(path, page(group_runs(runs), left_out, parse(args.target, env_ids(runs))))
    print(f"saved {path}")
    return 0
