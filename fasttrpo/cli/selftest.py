"""`fasttrpo selftest`: checks that this installation computes correct results."""

from __future__ import annotations

import argparse
from typing import Any

from fasttrpo.cli.arguments import Parser
from fasttrpo.cli.errors import FAILED


def add(commands: Any) -> Parser:
    """Declares the command."""
    what = "check gradients, Fisher products, updates, threads and kernels on this machine"
    selftest: Parser = commands.add_parser("selftest", description=what, allow_abbrev=False)
    selftest.set_defaults(run=run)
    return selftest


def run(args: argparse.Namespace) -> int:
    """Prints one line per check, then the verdict; returns 1 if a check failed."""
    from fasttrpo import selftest

    results = []
    for result in selftest.run():
        print(result.line(), flush=True)
        results.append(result)
    print(f"\n{selftest.verdict(results)}")
    return FAILED if any(result.status == "FAILED" for result in results) else 0
