"""`fasttrpo info`: describes this installation."""

from __future__ import annotations

import argparse
from typing import Any

from fasttrpo.cli.arguments import Parser
from fasttrpo.core import backend


def add(commands: Any) -> Parser:
    """Declares the command."""
    what = "show version, backend, precision, instruction set, threads and cores"
    info: Parser = commands.add_parser("info", description=what, allow_abbrev=False)
    info.set_defaults(run=run)
    return info


def run(args: argparse.Namespace) -> int:
    """Prints one value per line."""
    for name, value in backend.describe().items():
        print(f"{name + ':':<17} {value}")
    return 0
