"""The user's functions compiled by Numba, and the cache on disk.

In the cache folder (FASTTRPO_CACHE_DIR, or the user's cache directory) each environment is a small
Python file, the text of glue.py, named by a hash of everything that affects it, next to Numba's
cache of that file. So a change in any file makes a new entry, and code typed at a prompt is cached
too. This module imports Numba, so it is imported only when an environment is compiled.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import sys
import warnings
from collections import namedtuple
from pathlib import Path
from typing import Any

import numba
from numba import types
from numba.core.errors import NumbaError, NumbaWarning

from fasttrpo.envs.python import draws, elementary, glue, numba_types
from fasttrpo.envs.python.errors import translate, wrong_return
from fasttrpo.envs.python.functions import NoIdentityError, identity, versions, with_helpers
from fasttrpo.envs.python.numba_types import DOUBLES, WORDS, RandomType, read_only
from fasttrpo.envs.python.struct import how_it_ended
from fasttrpo.files.atomic import write_text

# As in Python, x / 0 and an index out of bounds raise. Constant indices cost nothing.
_OPTIONS = {"error_model": "python", "boundscheck": True}
MAX_ENTRIES = 200
_OWN = (draws, elementary, numba_types)  # what the machine code contains of ours
_STATE = types.Array(types.float64, 1, "C")
_BYTES = types.CPointer(types.uint8)
_FLAGS = types.CPointer(types.boolean)

SIGNATURES = {
    "observe": types.int32(DOUBLES, DOUBLES, DOUBLES),
    "reset": types.int32(DOUBLES, DOUBLES, DOUBLES, WORDS),
    "step": types.int32(DOUBLES, DOUBLES, DOUBLES, DOUBLES, DOUBLES, _BYTES, WORDS),
    "mask": types.int32(DOUBLES, DOUBLES, _FLAGS),
}


def compiled(env: Any, parameters: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """{role: C function}, from the cache if possible.

    parameters: the names of each function's parameters. Raises CompileError.
    """
    text = glue.source(env, parameters)
    path = _path(env, text)
    cached = _cached(path, text) if path is not None else None
    if cached is not None:
        return cached
    scope = _scope(env, parameters)
    return _functions(text, _written(path, text), scope)


# -- compiling ------------------------------------------------------------------------------------


def _functions(text: str, path: Path | None, scope: dict[str, Any]) -> dict[str, Any]:
    """The C functions of the glue, from Numba's cache of that file or compiled in this scope."""
    scope["__name__"] = glue.__name__  # what Numba imports when it loads them
    exec(compile(text, "<fasttrpo>" if path is None else str(path), "exec"), scope)
    plain = {role: scope[role] for role in SIGNATURES if role in scope}
    scope["observe"] = numba.njit(**_OPTIONS)(plain["observe"])
    made = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumbaWarning)  # about functions that it cannot cache
        for role, function in plain.items():
            signature = SIGNATURES[role]
            made[role] = numba.cfunc(signature, cache=path is not None, **_OPTIONS)(function)
    return made


def _scope(env: Any, parameters: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """The globals of the glue."""
    options: Any = namedtuple("Options", env.options)  # type: ignore[misc]
    names = ("as_random", "as_read_only", "attempt")
    scope = {name: getattr(numba_types, name) for name in names}
    scope |= {"carray": numba.carray, "nan": math.nan, "Options": options}
    scope["how_it_ended"] = how_it_ended
    done: dict[Any, Any] = {}
    for role, takes in parameters.items():
        dispatcher = with_helpers(env.functions[role], numba.njit(**_OPTIONS), done)
        arguments = _argument_types(env, role, takes, options)
        _check(env, role, dispatcher, arguments, [env.functions[role], *done])
        scope[f"user_{role}"] = dispatcher
    return scope


def _argument_types(env: Any, role: str, takes: tuple[str, ...], options: Any) -> tuple:
    known = {
        "state": read_only(_STATE) if role in ("observe", "mask") else _STATE,
        "obs": _STATE,
        "mask": types.Array(types.boolean, 1, "C"),
        "random": RandomType(),
        "options": types.NamedUniTuple(types.float64, len(env.options), options)
        if env.options
        else types.NamedTuple((), options),
        "action": read_only(_STATE),
    }
    if env.choices is not None:
        count = len(env.choices)
        known["action"] = types.int64 if count == 1 else types.UniTuple(types.int64, count)
    return tuple(known[name] for name in takes)


def _check(env: Any, role: str, dispatcher: Any, arguments: tuple, own: list[Any]) -> None:
    """Compiles one of the user's functions alone, so that an error is located in it."""
    try:
        dispatcher.compile(arguments)
    except Exception as error:  # Numba raises many types for code that it cannot compile
        raise translate(env.name, role, error, own) from error
    result = dispatcher.overloads[arguments].signature.return_type
    if not _is_fitting(role, result):
        raise wrong_return(env.name, role, dispatcher.py_func, str(result))


def _is_fitting(role: str, result: Any) -> bool:
    if role != "step":
        return isinstance(result, types.NoneType)
    numbers = types.Integer | types.Float | types.Boolean
    parts = getattr(result, "types", ())
    return len(parts) in (2, 3) and all(isinstance(types.unliteral(p), numbers) for p in parts)


# -- the cache on disk ----------------------------------------------------------------------------


def folder() -> Path:
    """The folder of compiled environments."""
    own = os.environ.get("FASTTRPO_CACHE_DIR")
    if own:
        return Path(own)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fasttrpo"


def _path(env: Any, text: str) -> Path | None:
    """The file of this environment's glue; None if changes cannot be detected."""
    try:
        own = [Path(str(module.__file__)).read_text("utf-8") for module in _OWN]
        known = [text, versions(), *own, *map(identity, env.functions.values())]
    except (NoIdentityError, OSError):
        return None
    digest = hashlib.sha256("\0".join([*known, *env.options]).encode()).hexdigest()[:24]
    return folder() / f"env_{digest}.py"


def _cached(path: Path, text: str) -> dict[str, Any] | None:
    """The functions in the cache; None if one is missing."""
    if not path.exists():
        return None
    try:
        return _functions(text, path, {})  # an empty scope, so compiling would fail
    except NumbaError:
        return None
    except Exception:  # a damaged file may raise anything
        _drop(path)
        return None


def _written(path: Path | None, text: str) -> Path | None:
    """Writes the file unless it exists, and returns the path; None if it cannot be written."""
    try:
        if path is not None and not path.exists():
            _write(path, text)
            drop_oldest(path.parent)
    except OSError:
        return None
    return path


def _write(path: Path, text: str) -> None:
    """Writes atomically, because another process may write the same file. Only the user can write
    to the folder, because its files are executed.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_text(path, text)


def drop_oldest(where: Path) -> None:
    """Deletes the oldest entries beyond MAX_ENTRIES."""
    entries = sorted(where.glob("env_*.py"), key=lambda path: path.stat().st_mtime)
    for path in entries[:-MAX_ENTRIES]:
        _drop(path)


def _drop(path: Path) -> None:
    with contextlib.suppress(OSError):
        for file in [path, *path.parent.glob(f"__pycache__/{path.stem}.*")]:
            file.unlink(missing_ok=True)
