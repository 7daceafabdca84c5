"""Arguments that several commands have, and a parser that raises its errors."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from fasttrpo.cli.errors import UsageError


class Parser(argparse.ArgumentParser):
    """Raises UsageError instead of exiting, lists its options, and groups them in its help.

    `--help` omits rare options; commands that have some have `--help-all` too.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.options: list[str] = []
        self._rare: list[argparse.Action] = []
        self._groups: dict[str, Any] = {}
        kwargs |= {"add_help": False, "formatter_class": _Formatter}
        super().__init__(*args, **kwargs)

    def add(self, group: str, *names: str, rare: bool = False, **kwargs: Any) -> argparse.Action:
        """Adds an argument to a group of the help, which the first argument creates."""
        if group not in self._groups:
            self._groups[group] = self.add_argument_group(group)
        action: argparse.Action = self._groups[group].add_argument(*names, **kwargs)
        self.options += action.option_strings
        self._rare += [action] if rare else []
        return action

    def declare_help(self, *, debug: bool = False) -> None:
        """Adds --help, --help-all if there are rare options, and --debug. Call it last."""
        what = "show this help" if not self._rare else "show the common options"
        self.add("Help", "-h", "--help", action="help", help=what)
        if self._rare:
            self.add("Help", "--help-all", action=_HelpAll, help="show all options")
        if debug:
            what = "show the traceback of any error"
            self.add("Help", "--debug", action="store_true", help=what)

    def format_help(self) -> str:
        """The help without rare options."""
        texts = [action.help for action in self._rare]
        for action in self._rare:
            action.help = argparse.SUPPRESS
        try:
            return super().format_help()
        finally:
            for action, text in zip(self._rare, texts, strict=True):
                action.help = text

    def print_all_help(self) -> None:
        """Prints the help with rare options."""
        print(super().format_help(), end="")

    def error(self, message: str) -> NoReturn:
        """Raises UsageError with argparse's message."""
        raise UsageError(message)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Narrow names, so that most options take one line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=27)


class _HelpAll(argparse.Action):
    """Prints the complete help and exits."""

    def __init__(self, option_strings: Sequence[str], dest: str, **kwargs: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **kwargs)

    def __call__(self, parser: Any, *given: Any) -> None:
        """Called by argparse."""
        parser.print_all_help()
        parser.exit()


def add_progress(parser: Parser, *, rare: bool = False) -> None:
    """Declares --progress and --no-progress. The default, None, shows bars on a terminal."""
    what = "show progress bars (default: on a terminal; elsewhere a line every 10 s)"
    show = argparse.BooleanOptionalAction
    parser.add("Output", "--progress", rare=rare, action=show, help=what)


def check_count(option: str, value: int, low: int = 1) -> None:
    """Raises UsageError if the option's value is below `low`."""
    if value < low:
        raise UsageError(f"{option} must be an integer >= {low}, got {value}")


def literal(text: str) -> Any:
    """The value of a Python literal; any other text is a word."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):
        return text


def assignments(pairs: Sequence[str], reserved: Mapping[str, str]) -> dict[str, Any]:
    """The settings of NAME=VALUE pairs; a VALUE that is not a Python literal is a string.

    reserved  how to give settings that --set does not accept
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"--set must be NAME=VALUE, got {pair!r}")
        if name in reserved:
            raise UsageError(f"--set {name}: use {reserved[name]}")
        settings[name] = literal(text)
    return settings
