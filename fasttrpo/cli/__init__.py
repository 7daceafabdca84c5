"""The command line: `fasttrpo COMMAND ...`; `fasttrpo --help` lists the commands.

A command is a module whose `add` declares its arguments and sets the function that runs it.

Exit codes:
0    success
1    failure: a full disk, a failed seed or selftest; or a bug or an error of an environment, shown
     with its traceback
2    a mistake in the command line or in a file that it names, reported in one line
130  interrupted by Ctrl-C, SIGTERM or SIGHUP
141  standard output was closed; only training continues without it
"""

from __future__ import annotations

import argparse
import sys
import traceback
from textwrap import fill, indent
from typing import Any, NamedTuple

from fasttrpo._version import __version__
from fasttrpo.checks.printable import make_streams_safe, readable
from fasttrpo.checks.suggest import unknown
from fasttrpo.cli import embed, enjoy, info, plot, report, selftest, train, tune
from fasttrpo.cli import eval as evaluate
from fasttrpo.cli.arguments import Parser
from fasttrpo.cli.errors import (
    INTERRUPTED,
    OUTPUT_ENDED,
    UsageError,
    exit_code,
    is_user_error,
    line,
    warnings_in_lines,
)
from fasttrpo.cli.runs import as_typed
from fasttrpo.cli.streams import END, OutputEndedError, guarded


class Command(NamedTuple):
    """A module with `add(commands)`, and examples, of which `fasttrpo --help` shows the first."""

    module: Any
    examples: tuple[str, ...]


# The groups of `fasttrpo --help`.
GROUPS: dict[str, dict[str, Command]] = {
    "Train": {
        "train": Command(
            train,
            (
                "fasttrpo train CartPole-v1",
                "fasttrpo train Hopper-v5 --seeds 0-4 --eval-freq 1e5 --eval-episodes 20",
                "fasttrpo train Pendulum-v1 --set policy_kwargs=\"{'net_arch':[32]}\"",
            ),
        ),
        "tune": Command(
            tune,
            (
                "fasttrpo tune Pendulum-v1 --trials 30",
                "fasttrpo tune Pendulum-v1 --trials 100    # continues the same search",
                "fasttrpo tune LunarLander-v3 --total-timesteps 3e5 --set gamma=0.999",
            ),
        ),
    },
    "Look at runs": {
        "eval": Command(
            evaluate,
            (
                "fasttrpo eval runs/CartPole-v1-seed0",
                "fasttrpo eval runs/CartPole-v1-seed0 --episodes 1000 --stochastic",
            ),
        ),
        "enjoy": Command(
            enjoy,
            (
                "fasttrpo enjoy runs/CartPole-v1-seed0",
                "fasttrpo enjoy runs/CartPole-v1-seed0 --video cartpole.mp4",
            ),
        ),
        "plot": Command(
            plot,
            (
                "fasttrpo plot runs/CartPole-v1",
                "fasttrpo plot runs/first runs/second --y kl --out kl.png",
            ),
        ),
        "report": Command(
            report,
            (
                "fasttrpo report runs/CartPole-v1",
                "fasttrpo report runs/first runs/second --out comparison.html",
            ),
        ),
    },
    "Use it in C": {
        "embed": Command(embed, ("fasttrpo embed src/fasttrpo",)),
    },
    "Check the installation": {
        "selftest": Command(selftest, ("fasttrpo selftest",)),
        "info": Command(info, ("fasttrpo info",)),
    },
}
COMMANDS = {name: each for group in GROUPS.values() for name, each in group.items()}
_WIDTH = 78


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    make_streams_safe()
    try:
        with warnings_in_lines(), guarded(END) as output:
            return _main(sys.argv[1:] if argv is None else argv, output)
    except OutputEndedError:
        return OUTPUT_ENDED


def _main(argv: list[str], output: guarded) -> int:
    try:
        args = _parse(argv)
        if args.run in (train.run, tune.run):
            output.discard()
        return args.run(args)
    except KeyboardInterrupt:
        print("fasttrpo: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if not is_user_error(error):
            raise
        if "--debug" in argv:
            traceback.print_exc()
        # Escaped, because names in a run's folder may contain control characters.
        print(f"fasttrpo: {readable(line(error))}", file=sys.stderr)
        return exit_code(error)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser, parsers = _parsers()
    if not argv:
        argv = ["--help"]
    is_option = argv[0].startswith("-")
    known = parser.options if is_option else [*parsers]
    if argv[0] not in known:
        raise UsageError(unknown("option" if is_option else "command", argv[0], known))
    args, extra = parser.parse_known_args(argv)
    # argparse does not find an optional positional argument after an option.
    if extra and getattr(args, "env_id", "") is None and not extra[0].startswith("-"):
        args.env_id = as_typed(extra.pop(0))
    if extra:
        what = "option" if extra[0].startswith("-") else "argument"
        raise UsageError(unknown(what, extra[0].split("=")[0], parsers[args.command].options))
    return args


def _parsers() -> tuple[Parser, dict[str, Parser]]:
    """The parser, and that of each command."""
    parser = Parser(
        prog="fasttrpo",
        usage="fasttrpo COMMAND ...",
        epilog="`fasttrpo COMMAND --help` lists a command's options.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(
        prog="fasttrpo", dest="command", metavar="COMMAND", required=True, help=argparse.SUPPRESS
    )
    parsers: dict[str, Parser] = {n: each.module.add(commands) for n, each in COMMANDS.items()}
    for name, each in parsers.items():
        what = each.description or ""
        each.description = fill(f"{what[:1].upper()}{what[1:]}.", _WIDTH)
        each.epilog = "\n  ".join(["Examples:", *COMMANDS[name].examples])
        each.declare_help(debug=True)
    parser.declare_help()
    version = f"fasttrpo {__version__}"
    parser.add("Help", "--version", action="version", version=version, help="show the version")
    parser.description = _overview(parsers)
    return parser, parsers


def _overview(parsers: dict[str, Parser]) -> str:
    """The commands in groups, with what they do and an example each."""
    lines = ["Train and evaluate policies with Trust Region Policy Optimization."]
    margin = " " * 12
    for heading, group in GROUPS.items():
        lines += ["", f"{heading}:"]
        for name, command in group.items():
            what = indent(fill(parsers[name].description or "", _WIDTH - len(margin)), margin)
            lines += [f"  {name:<9} {what.lstrip()}", margin + command.examples[0]]
    return "\n".join(lines)
