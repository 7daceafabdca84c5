"""`fasttrpo info`: describes this installation."""

from __future__ import annotations

import argparse
from typing import Any

from fasttrpo.core import backend


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command."""
    what = "show version, backend, precision, instruction set, threads and cores"
    info = commands.add_parser("info", help=what, description=what, allow_abbrev=False)
    info.set_defaults(run=run)
    return info


def run(args: argparse.Namespace) -> int:
    """Prints one value per line."""
    for name, value in backend.describe().items():
        print(f"{name + ':':<17} {value}")
    return 0
