"""`fasttrpo embed DIR`: writes the C library as two files to compile into a program."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fasttrpo.cli.arguments import Parser


def add(commands: Any) -> Parser:
    """Declares the command."""
    what = "write the C library as two files, fasttrpo.h and fasttrpo.c, to compile into a program"
    embed: Parser = commands.add_parser("embed", description=what, allow_abbrev=False)
    embed.set_defaults(run=run)
    help_folder = "folder to write them to; is created if there is none"
    embed.add("Output", "folder", type=Path, metavar="DIR", help=help_folder)
    help_force = "replace files of these names that fasttrpo did not make"
    embed.add("Output", "--force", action="store_true", help=help_force)
    return embed


def run(args: argparse.Namespace) -> int:
    """Writes the files and prints how to compile them."""
    from fasttrpo import embed

    header, source = embed.write(args.folder, args.force)
    print(f"saved {header}")
    print(f"saved {source}")
    print("to compile: cc -O3 my_simulator.c fasttrpo.c -lm -pthread")
    return 0
