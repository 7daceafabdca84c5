"""Rejects user functions that draw random numbers from other streams than the simulation's own.

`np.random` and `random` are global streams: the seed of a run does not reach them, a saved
simulation does not include them, and compiled code has another copy of their state. So functions
must draw from their argument `random`. The bytecode shows what a function refers to, under any
name: np.random.rand, `from numpy.random import rand as r`, a global generator, an import in the
function. Helper functions are searched as well.
"""

from __future__ import annotations

import dis
import functools
import inspect
import os
import random
import sys
from collections.abc import Iterator, Mapping
from types import BuiltinMethodType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from fasttrpo.envs.failures import CompileError, line_of
from fasttrpo.envs.python.functions import is_plain, references

_MODULES = {"random", "_random", "secrets", "numpy.random", "numpy.random.mtrand"}
_SOURCES = (np.random.Generator, np.random.RandomState, np.random.BitGenerator, random.Random)
_ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD"}
_NAMES = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"}
_REMEDY = (
    "the seed of a run does not reach it, so runs are not reproducible: draw from the argument "
    "`random` of reset and step instead, with random.uniform(low, high), random.normal(mean, std) "
    "or random.integers(low, high), and pass it to helpers"
)


class Use(NamedTuple):
    """A reference to another random stream: its text and location."""

    words: str
    filename: str
    line: int


def check(name: str, functions: Mapping[str, Any]) -> None:
    """Raises CompileError for the first of an environment's functions that draws elsewhere."""
    for role, function in functions.items():
        use = next(_uses(function, set()), None)
        if use is not None:
            where = line_of(use.filename, use.line)
            raise CompileError(
                f"{name}: {role} uses {use.words} ({where}): {_REMEDY}", use.filename, use.line
            )


def _uses(function: FunctionType, visited: set[int]) -> Iterator[Use]:
    """The uses in a function, those defined in it, and its helpers."""
    if id(function) in visited:
        return
    visited.add(id(function))
    known = references(function)
    for code in _codes(function.__code__):
        for words, value, line in _mentioned(code, known):
            for each in _inside(value):
                if _is_random(each):
                    yield Use(words, code.co_filename, line)
                elif _is_helper(each):
                    yield from _uses(each, visited)
    defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    for value in defaults:
        if _is_random(value):
            code = function.__code__
            yield Use(f"{value!r:.60}", code.co_filename, code.co_firstlineno)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _mentioned(code: CodeType, known: dict[str, Any]) -> Iterator[tuple[str, Any, int]]:
    """(text, value, line) of each name, attribute and module that the code loads."""
    local: dict[str, Any] = {}
    words, value, line = "", None, code.co_firstlineno
    for each in dis.get_instructions(code):
        line = (each.positions.lineno if each.positions else None) or line
        if each.opname in _NAMES:
            words, value = each.argval, known.get(each.argval)
        elif each.opname == "IMPORT_NAME":
            words, value = each.argval, sys.modules.get(each.argval)
        elif each.opname == "STORE_FAST":
            local[each.argval] = value
            continue
        elif each.opname.startswith("LOAD_FAST") and each.argval in local:
            words, value = each.argval, local[each.argval]
        elif each.opname in _ATTRIBUTES | {"IMPORT_FROM"} and value is not None:
            words, value = f"{words}.{each.argval}", _attribute(value, each.argval)
        else:
            value = None
            continue
        yield words, value, line


def _attribute(value: Any, name: str) -> Any:
    """An attribute, without running the user's code (properties)."""
    if isinstance(value, ModuleType):
        return getattr(value, name, None)
    return inspect.getattr_static(value, name, None)


def _is_random(value: Any) -> bool:
    """Whether it is a random stream, one of its methods, or a constructor of one."""
    if isinstance(value, ModuleType):
        return value.__name__ in _MODULES
    if isinstance(value, _SOURCES) or isinstance(getattr(value, "__self__", None), _SOURCES):
        return True
    if isinstance(value, type | BuiltinMethodType | FunctionType):
        module = getattr(value, "__module__", None) or ""
        return module in _MODULES or module.startswith("numpy.random") or value is os.urandom
    return False


def _inside(value: Any) -> Iterator[Any]:
    """A value and the callables in it: entries of containers, wrapped or compiled functions."""
    yield value
    if isinstance(value, tuple | list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            if callable(each) or isinstance(each, tuple | list | dict):
                yield from _inside(each)
    elif isinstance(value, functools.partial):
        yield from _inside(value.func)
    elif isinstance(value, MethodType | staticmethod | classmethod):
        yield from _inside(value.__func__)
    elif callable(value):
        wrapped = (inspect.getattr_static(value, name, None) for name in ("__wrapped__", "py_func"))
        for inner in wrapped:
            if inner is not None:
                yield from _inside(inner)


def _is_helper(value: Any) -> bool:
    """Whether this is one of the user's functions."""
    if not isinstance(value, FunctionType) or not is_plain(value):
        return False
    return (value.__module__ or "").split(".")[0] not in sys.stdlib_module_names
