"""Environments written in Python: objects, or names such as "my_module.py:name"."""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from fasttrpo.checks.suggest import unknown
from fasttrpo.envs.failures import RAN, line_of
from fasttrpo.envs.names import is_in_source
from fasttrpo.errors import UserError, UserFileNotFoundError


class Definition:
    """Base class of `NumbaEnvironment`, with what `CompiledVectorEnv` uses.

    choices  number of choices of each action component; None: actions are real numbers
    """

    observation_space: Any
    action_space: Any
    choices: tuple[int, ...] | None

    def source(self) -> Any:
        """The environment as a C struct, for `_envs.Envs`."""
        raise NotImplementedError


def is_definition(env: Any) -> bool:
    """Whether this is an environment written in Python, or names one in a file."""
    return isinstance(env, Definition) or is_in_source(env)


def definition(env: Any) -> Definition:
    """The environment. Raises FileNotFoundError, or ValueError if the file has no such environment.

    Exceptions from running the file propagate, with a note that names the line.
    """
    if isinstance(env, Definition):
        return env
    file, _, name = env.rpartition(":")
    module = _module(Path(file))
    found = getattr(module, name, None)
    if not isinstance(found, Definition):
        raise UserError(f"{file}: {_reason(module, name, Path(file).stem)}")
    return found


def _reason(module: ModuleType, name: str, stem: str) -> str:
    """Why `name` is not an environment in the file."""
    if hasattr(module, name):
        return (
            f"{name} is not a NumbaEnvironment; if it is a gymnasium.Env, register it in the file, "
            f'gymnasium.register("{name}-v0", "{stem}:{name}"), and use {stem}:{name}-v0'
        )
    import gymnasium

    if name in gymnasium.registry:
        return f"{name} is an id of Gymnasium; use {stem}:{name}"
    known = [n for n, each in vars(module).items() if isinstance(each, Definition)]
    return unknown("NumbaEnvironment", name, known) if known else "there is no NumbaEnvironment"


def _module(path: Path) -> ModuleType:
    """Runs the file once and returns its module. Appends its folder to sys.path, so that neither
    the file nor its neighbours shadow other modules.
    """
    if not path.is_file():
        raise UserFileNotFoundError(f"there is no file {str(path)!r}")
    path = path.resolve()
    loaded = sys.modules.get(path.stem)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    is_taken = loaded is not None or _is_elsewhere(path)
    stem = path.stem.encode("utf-8", "backslashreplace").decode()  # Numba rejects surrogates
    name = f"{stem}_{abs(hash(os.fspath(path)))}" if is_taken else stem
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None  # files have a loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        error.add_note(RAN + _place(error, path))
        raise
    return module


def _is_elsewhere(path: Path) -> bool:
    """Whether another importable module has the file's name."""
    spec = importlib.util.find_spec(path.stem) if path.stem.isidentifier() else None
    return spec is not None and spec.origin != str(path)


def _place(error: BaseException, path: Path) -> str:
    """The innermost line in the file; only the file's name if it cannot be parsed."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return line_of(str(path), lines[-1] or 0) if lines else path.name
