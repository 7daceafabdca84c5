"""Consent to run the code that a run's folder names.

A run's config.json names its environment, which may be a shared library, a Python file or a module
that Gymnasium imports. A folder from somebody else can thus name their code. It does not run until
the user names the environment on the command line, passes --trust, or agrees on a terminal.

Its keyword arguments, the setting env_kwargs, may also name files or modules that it opens or runs:
these need --trust or the answer. Users agree to what config.json says, so runs are loaded with
`env_kwargs_of`, not with what the model's file says.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from fasttrpo.cli.arguments import Parser
from fasttrpo.cli.errors import UsageError
from fasttrpo.cli.runs import full, is_file, read_config
from fasttrpo.envs import MODULE
from fasttrpo.envs.names import is_in_source
from fasttrpo.errors import UserError

# Characters of paths, of "module:name" and of "package.module".
_MARKS = frozenset("/\\:.")
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


def env_kwargs_of(folder: Path) -> Any:
    """The environment's keyword arguments according to the run's config.json."""
    return read_config(folder)["settings"].get("env_kwargs")


def _place_in(env_kwargs: Any) -> str | None:
    """A text in keyword arguments that may name a file or a module, or None."""
    return next(filter(_may_be_a_place, _texts(env_kwargs)), None)


def _texts(value: Any) -> Iterator[str]:
    """All strings in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from _texts(each)


def _may_be_a_place(text: str) -> bool:
    """Whether it looks like a path or a dotted name, or there is such a file or module here."""
    if not _MARKS.isdisjoint(text):
        return True
    try:
        is_here = os.path.lexists(text) or PathFinder.find_spec(text, [os.getcwd()]) is not None
    except ValueError:  # it cannot be a name
        return False
    return is_here


def require(folder: Path, env_id: str, is_trusted: bool) -> None:
    """Raises UsageError unless the user agrees to run the code that the run in `folder` names."""
    require_for(folder, env_id, env_kwargs_of(folder), is_trusted)


def require_for(source: Path, env_id: str, env_kwargs: Any, is_trusted: bool) -> None:
    """Raises UsageError unless the user agrees to run the code that `source` names: a run's folder
    or a file.
    """
    code, place = code_of(env_id), _place_in(env_kwargs)
    if code and full(env_id) not in _admitted:
        what = f"its environment {env_id!r} would run code from {code}"
        _ask(source, what, is_trusted, ", or name the environment on the command line")
    if place is not None:
        what = f"its environment {env_id!r} would use {place!r}, which its env_kwargs name"
        _ask(source, what, is_trusted)
    admit(env_id)


def _ask(folder: Path, what: str, is_trusted: bool, other: str = "") -> None:
    if not is_trusted and not _user_agrees(folder, what):
        raise UsageError(f"{folder}: {what}; if you trust it, pass --trust{other}")


def _user_agrees(folder: Path, what: str) -> bool:
    """Asks the user; False without a terminal."""
    streams = sys.stdin, sys.stderr
    if not all(stream is not None and stream.isatty() for stream in streams):
        return False
    question = f"{folder}: {what}. Continue? [y/N] "
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def trusted_argument(folder: Path) -> str:
    """The argument with which `--resume RUN` resumes without asking, or ""."""
    import shlex

    try:
        env_id = read_config(folder)["env_id"]
        is_place_named = _place_in(env_kwargs_of(folder)) is not None
    except UserError:  # the folder is missing or damaged
        return ""
    if is_place_named:
        return " --trust"
    return f" {shlex.quote(env_id)}" if code_of(env_id) else ""
