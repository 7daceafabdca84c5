"""Code that a run's folder would have executed: nothing of it runs unless the user says so.

A run's config.json names its environment, which may be a shared library, a Python file, or a
module that Gymnasium imports first. A folder that came from somebody else so names their code. The
user agrees by naming the environment on the command line, by --trust, or when asked on a terminal.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from fasttrpo.cli.errors import UsageError
from fasttrpo.cli.runs import full, is_file, read_config
from fasttrpo.envs import MODULE
from fasttrpo.envs.names import is_in_source
from fasttrpo.errors import UserError

# What the user has named or agreed to, each as `full` has it.
_admitted: set[str] = set()


def add(parser: argparse.ArgumentParser) -> None:
    """--trust."""
    what = "run the code that RUN names as its environment (a library, a Python file, a module)"
    parser.add_argument("--trust", action="store_true", help=what)


def code_of(env_id: str) -> str | None:
    """The file or module whose code makes the environment; None for what is only an id."""
    if is_file(env_id):
        return repr(full(env_id).rpartition(":")[0] if is_in_source(env_id) else full(env_id))
    module, colon, _ = env_id.removeprefix(MODULE).partition(":")
    if not colon:
        return None
    file = _file_of(module)
    return repr(file) if file else f"the module {module!r}"


def _file_of(module: str) -> str | None:
    """Where a module's outermost package would come from; nothing is imported."""
    try:
        spec = PathFinder.find_spec(module.partition(".")[0], [*sys.path, os.getcwd()])
    except ValueError:  # no name that a file can have
        return None
    return spec.origin if spec else None


def admit(env_id: str) -> None:
    """The user wants this environment, whatever its code is. Of the working folder, which
    `my_module:MyEnv-v0` may be in, modules are found after all that is installed.
    """
    _admitted.add(full(env_id))
    if code_of(env_id) and not is_file(env_id) and "" not in sys.path:
        sys.path.append("")


def require(folder: Path, env_id: str, is_trusted: bool) -> None:
    """UsageError unless the user agrees to the code of the environment that `folder` names."""
    code = code_of(env_id)
    if code and not is_trusted and full(env_id) not in _admitted and not _is_agreed(folder, code):
        raise UsageError(
            f"{folder} names an environment with code of its own, {env_id!r}, so this would run "
            f"{code}; if you trust it, say --trust, or name the environment after RUN"
        )
    admit(env_id)


def _is_agreed(folder: Path, code: str) -> bool:
    """Asks on a terminal; elsewhere nobody can agree."""
    streams = sys.stdin, sys.stderr
    if not all(stream is not None and stream.isatty() for stream in streams):
        return False
    question = f"{folder} names an environment with code of its own. Run {code}? [y/N] "
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def named_again(folder: Path) -> str:
    """What follows `--resume RUN` in a command that is to go on without being asked."""
    import shlex

    try:
        env_id = read_config(folder)["env_id"]
    except UserError:  # the folder is gone, or damaged
        return ""
    return f" {shlex.quote(env_id)}" if code_of(env_id) else ""
