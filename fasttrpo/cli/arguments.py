"""Arguments that commands share, and the parser whose errors are one line."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from fasttrpo.cli.errors import UsageError


class Parser(argparse.ArgumentParser):
    """argparse, but an error is one line.

    options  the names of all options, for suggestions
    """

    def __init__(self, *args: Any, **keywords: Any) -> None:
        self.options: list[str] = []
        super().__init__(*args, **keywords)

    def add_argument(self, *args: Any, **keywords: Any) -> argparse.Action:
        """As argparse's."""
        action = super().add_argument(*args, **keywords)
        self.options += action.option_strings
        return action

    def error(self, message: str) -> NoReturn:
        """UsageError with argparse's words."""
        raise UsageError(message)


def add_progress(parser: argparse.ArgumentParser) -> None:
    """--progress and --no-progress; None if neither is given: on a terminal."""
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="progress bars (default: on a terminal)",
    )


def check_count(option: str, value: int, low: int = 1) -> None:
    """UsageError names the option if its value is below `low`."""
    if value < low:
        raise UsageError(f"{option} must be an integer >= {low}, got {value}")
