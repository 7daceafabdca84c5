"""The command line: `fasttrpo COMMAND ...`; `fasttrpo --help` lists the commands.

A command is a module with `add`, which declares its arguments and says what runs it.
Exit codes: 0 done, 1 failed on the way (a full disk, one of many seeds, a selftest, an error of
fasttrpo or of an environment, shown with its traceback), 2 the command or what it names is wrong
(one line says how), 130 interrupted by Ctrl-C, SIGTERM or SIGHUP, 141 nobody reads the output
(training continues without one).
"""

from __future__ import annotations

import argparse
import sys
import traceback
from typing import Any

from fasttrpo._version import __version__
from fasttrpo.checks.printable import make_streams_safe, readable
from fasttrpo.checks.suggest import unknown
from fasttrpo.cli import eval as evaluate
from fasttrpo.cli import info, plot, report, selftest, train
from fasttrpo.cli.arguments import Parser
from fasttrpo.cli.errors import (
    INTERRUPTED,
    OUTPUT_ENDED,
    UsageError,
    exit_code,
    is_the_users,
    line,
)
from fasttrpo.cli.runs import as_typed
from fasttrpo.cli.streams import END, OutputEndedError, guarded

COMMANDS = {
    "train": train,
    "eval": evaluate,
    "plot": plot,
    "report": report,
    "selftest": selftest,
    "info": info,
}


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    make_streams_safe()
    try:
        with guarded(END) as output:
            return _main(sys.argv[1:] if argv is None else argv, output)
    except OutputEndedError:
        return OUTPUT_ENDED


def _main(argv: list[str], output: guarded) -> int:
    try:
        args = _parse(argv)
        if args.run is train.run:
            output.discard()
        return args.run(args)
    except KeyboardInterrupt:
        print("fasttrpo: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if not is_the_users(error):
            raise
        if "--debug" in argv:
            traceback.print_exc()
        _tell(line(error))
        return exit_code(error)


def _tell(words: str) -> None:
    """The one line of what went wrong; a run's folder may have put anything into it."""
    print(f"fasttrpo: {readable(words)}", file=sys.stderr)


def _parse(argv: list[str]) -> argparse.Namespace:
    what = "Trains policies by Trust Region Policy Optimization, and evaluates them."
    parser = Parser(prog="fasttrpo", description=what, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"fasttrpo {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    parsers: dict[str, Any] = {name: module.add(commands) for name, module in COMMANDS.items()}
    for each in parsers.values():
        each.add_argument("--debug", action="store_true", help="show the traceback of any error")
    if argv:
        is_option = argv[0].startswith("-")
        known = parser.options if is_option else [*parsers]
        if argv[0] not in known:
            raise UsageError(unknown("option" if is_option else "command", argv[0], known))
    args, extra = parser.parse_known_args(argv)
    # After an option, argparse looks for no optional argument any more.
    if extra and getattr(args, "env_id", "") is None and not extra[0].startswith("-"):
        args.env_id = as_typed(extra.pop(0))
    if extra:
        what = "option" if extra[0].startswith("-") else "argument"
        raise UsageError(unknown(what, extra[0].split("=")[0], parsers[args.command].options))
    return args
