"""Consent to run the code that a run's folder names.

A run's config.json names its environment, which may be a shared library, a Python file or a module
that Gymnasium imports. A folder from somebody else can thus name their code. It does not run until
the user names the environment on the command line, passes --trust, or agrees on a terminal.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from fasttrpo.cli.arguments import Parser
from fasttrpo.cli.errors import UsageError
from fasttrpo.cli.runs import full, is_file, read_config
from fasttrpo.envs import MODULE
from fasttrpo.envs.names import is_in_source
from fasttrpo.errors import UserError

# The environments that the user has named or agreed to, as `full` returns them.
_admitted: set[str] = set()


def add(parser: Parser, group: str = "Run", *, rare: bool = False) -> None:
    """Declares --trust."""
    what = "run the code that RUN names as its environment"
    parser.add(group, "--trust", rare=rare, action="store_true", help=what)


def code_of(env_id: str) -> str | None:
    """The file or module whose code creates the environment; None for a plain id."""
    if is_file(env_id):
        return repr(full(env_id).rpartition(":")[0] if is_in_source(env_id) else full(env_id))
    module, colon, _ = env_id.removeprefix(MODULE).partition(":")
    if not colon:
        return None
    file = _file_of(module)
    return repr(file) if file else f"the module {module!r}"


def _file_of(module: str) -> str | None:
    """The file of a module's top-level package. Does not import it."""
    try:
        spec = PathFinder.find_spec(module.partition(".")[0], [*sys.path, os.getcwd()])
    except ValueError:  # the name cannot be a file's
        return None
    return spec.origin if spec else None


def admit(env_id: str) -> None:
    """Records the user's consent, and makes modules in the working folder (`my_module:MyEnv-v0`)
    importable, after installed ones.
    """
    _admitted.add(full(env_id))
    if code_of(env_id) and not is_file(env_id) and "" not in sys.path:
        sys.path.append("")


def require(folder: Path, env_id: str, is_trusted: bool) -> None:
    """Raises UsageError unless the user agrees to run the code that `folder` names."""
    code = code_of(env_id)
    if code and not is_trusted and full(env_id) not in _admitted and not _user_agrees(folder, code):
        raise UsageError(
            f"{folder}: its environment {env_id!r} would run code from {code}; if you trust it, "
            "pass --trust, or name the environment on the command line"
        )
    admit(env_id)


def _user_agrees(folder: Path, code: str) -> bool:
    """Asks the user; False without a terminal."""
    streams = sys.stdin, sys.stderr
    if not all(stream is not None and stream.isatty() for stream in streams):
        return False
    question = f"{folder}: its environment runs code from {code}. Continue? [y/N] "
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def trusted_argument(folder: Path) -> str:
    """The argument with which `--resume RUN` resumes without asking, or ""."""
    import shlex

    try:
        env_id = read_config(folder)["env_id"]
    except UserError:  # the folder is missing or damaged
        return ""
    return f" {shlex.quote(env_id)}" if code_of(env_id) else ""
