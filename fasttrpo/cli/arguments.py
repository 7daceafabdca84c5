"""Arguments that several commands have, and a parser that raises its errors."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from fasttrpo.cli.errors import UsageError


class Parser(argparse.ArgumentParser):
    """Raises UsageError instead of exiting, and lists its options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.options: list[str] = []
        super().__init__(*args, **kwargs)

    def add_argument(self, *args: Any, **kwargs: Any) -> argparse.Action:
        """Records the option's names."""
        action = super().add_argument(*args, **kwargs)
        self.options += action.option_strings
        return action

    def error(self, message: str) -> NoReturn:
        """Raises UsageError with argparse's message."""
        raise UsageError(message)


def add_progress(parser: argparse.ArgumentParser) -> None:
    """Declares --progress and --no-progress. The default, None, shows bars on a terminal."""
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show progress bars (default: on a terminal)",
    )


def check_count(option: str, value: int, low: int = 1) -> None:
    """Raises UsageError if the option's value is below `low`."""
    if value < low:
        raise UsageError(f"{option} must be an integer >= {low}, got {value}")
