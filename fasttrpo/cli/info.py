"""`fasttrpo info`: describes this installation."""

from __future__ import annotations

import argparse
from typing import Any

from fasttrpo.cli.arguments import add_command
from fasttrpo.core import backend


def add(commands: Any) -> argparse.ArgumentParser:
    """Declares the command."""
    what = "Show version, backend, precision, instruction set, threads and cores."
    info = add_command(commands, "info", what, "fasttrpo info")
    info.set_defaults(run=run)
    return info


def run(args: argparse.Namespace) -> int:
    """Prints one value per line."""
    for name, value in backend.describe().items():
        print(f"{name + ':':<17} {value}")
    return 0
