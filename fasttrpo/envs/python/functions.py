"""Analysis of the user's functions: their parameters, their helpers, and their identity.

Numba's own cache only checks whether the function's file has changed. `identity` covers everything
that affects the machine code: the bytecode, the globals and the helpers, in any file.
"""

from __future__ import annotations

import builtins
import inspect
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from fasttrpo.checks.suggest import unknown
from fasttrpo.errors import UserTypeError

# Function -> required and optional parameters, in any order.
PARAMETERS = {
    "reset": (("state",), ("random", "options")),
    "step": (("state", "action"), ("random", "options")),
    "observe": (("state", "obs"), ("options",)),
    "mask": (("state", "mask"), ("options",)),
}


def parameters(role: str, function: Any) -> tuple[str, ...]:
    """The names of a function's parameters. Raises TypeError if they do not suit its role."""
    if not isinstance(function, FunctionType):
        raise UserTypeError(
            f"{role} must be a plain Python function (fasttrpo compiles it), got {function!r}"
        )
    must, may = PARAMETERS[role]
    given = inspect.signature(function).parameters
    for name, parameter in given.items():
        if name not in must + may:
            raise UserTypeError(f"{role}: {unknown('parameter', name, must + may)}")
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
            raise UserTypeError(f"{role}: {name} must be an ordinary parameter")
    for name in must:
        if name not in given:
            raise UserTypeError(
                f"{role} must have the parameter {name!r}: def {role}({', '.join(must + may)})"
            )
    return tuple(given)


# -- references -----------------------------------------------------------------------------------


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code objects of a function and of those defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def references(function: FunctionType) -> dict[str, Any]:
    """The globals and closure variables that a function uses: name -> value."""
    names = {name for code in _codes(function.__code__) for name in code.co_names}
    found = {n: function.__globals__[n] for n in sorted(names) if n in function.__globals__}
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return found | {name: cell.cell_contents for name, cell in cells}


def is_plain(value: Any) -> bool:
    """Whether this is a helper to compile too; Numba handles those of NumPy."""
    return isinstance(value, FunctionType) and _package(value) not in _KNOWN


def with_helpers(
    function: FunctionType, convert: Callable[[FunctionType], Any], done: dict[Any, Any]
) -> Any:
    """convert(function), after converting the helpers that it calls, recursively. What they use of
    `math` is replaced (elementary.py).
    """
    from fasttrpo.envs.python.elementary import replaced

    if function in done:
        return done[function]
    scope = dict(function.__globals__)
    cells = tuple(CellType(cell.cell_contents) for cell in function.__closure__ or ())
    copy = FunctionType(
        function.__code__, scope, function.__name__, function.__defaults__, cells or None
    )
    copy.__qualname__, copy.__module__ = function.__qualname__, function.__module__
    copy.__kwdefaults__ = function.__kwdefaults__
    done[function] = convert(copy)
    closed = dict(zip(function.__code__.co_freevars, cells, strict=True))
    for name, value in references(function).items():
        new = with_helpers(value, convert, done) if is_plain(value) else replaced(value)
        if new is value:
            continue
        if name in closed:
            closed[name].cell_contents = new
        else:
            scope[name] = new
    return done[function]


# -- identity -------------------------------------------------------------------------------------

# Packages whose functions are identified by name: their versions are part of a cache's key.
_KNOWN = {"numpy", "numba", "math", "cmath", "builtins", "operator"}


class NoIdentityError(Exception):
    """A function uses an object whose changes cannot be detected."""


def identity(function: FunctionType) -> str:
    """A text that changes whenever the compiled function may. Raises NoIdentityError if unknown."""
    return "\n".join(_function_parts(function, set()))


def _package(value: Any) -> str:
    return (getattr(value, "__module__", None) or "").split(".")[0]


def _function_parts(function: FunctionType, visited: set[int]) -> Iterator[str]:
    if id(function) in visited:
        return
    visited.add(id(function))
    yield function.__qualname__
    for code in _codes(function.__code__):
        yield from _code_parts(code, visited)
    for default in (function.__defaults__, function.__kwdefaults__):
        yield from _value_parts(default, visited)
    names = {name for code in _codes(function.__code__) for name in code.co_names}
    for name, value in references(function).items():
        yield name
        if isinstance(value, ModuleType):
            yield from _module_parts(value, names, visited)
        else:
            yield from _value_parts(value, visited)


def _code_parts(code: CodeType, visited: set[int]) -> Iterator[str]:
    """The code, with line numbers, because errors name them."""
    yield repr((code.co_filename, code.co_firstlineno, code.co_code, code.co_linetable))
    yield repr((code.co_names, code.co_varnames, code.co_freevars, code.co_flags))
    for constant in code.co_consts:
        if not isinstance(constant, CodeType):
            yield from _value_parts(constant, visited)


def _module_parts(module: ModuleType, names: set[str], visited: set[int]) -> Iterator[str]:
    """The objects of a user's module whose names the function mentions."""
    yield module.__name__
    if module.__name__.split(".")[0] in _KNOWN:
        return
    for name in sorted(names & set(vars(module))):
        value = vars(module)[name]
        yield name
        if isinstance(value, ModuleType):
            yield from _module_parts(value, names, visited)
        else:
            yield from _value_parts(value, visited)


def _value_parts(value: Any, visited: set[int]) -> Iterator[str]:
    """The identity of any value that a function may refer to."""
    plain = bool | int | float | complex | str | bytes | None | type(Ellipsis)
    yield type(value).__qualname__
    if isinstance(value, Enum):
        yield value.name
        yield from _value_parts(type(value), visited)
    elif isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        yield f"{value.dtype} {value.shape} {value.tobytes().hex()}"
    elif isinstance(value, plain):
        yield repr(value)
    elif isinstance(value, tuple | list):
        yield from _value_parts(getattr(value, "_fields", None), visited)  # of a namedtuple
        for each in value:
            yield from _value_parts(each, visited)
    elif isinstance(value, dict | frozenset | set):
        pairs = value.items() if isinstance(value, dict) else ((each, None) for each in value)
        yield from sorted(
            " ".join([*_value_parts(key, visited), *_value_parts(of, visited)]) for key, of in pairs
        )
    elif isinstance(value, type) and _package(value) not in _KNOWN:
        yield from _class_parts(value, visited)
    else:
        yield from _callable_parts(value, visited)


def _class_parts(kind: type, visited: set[int]) -> Iterator[str]:
    """An enum's members, a namedtuple's fields, or all attributes of another class."""
    yield " ".join(f"{each.__module__}.{each.__qualname__}" for each in kind.__mro__)
    if id(kind) in visited:
        return
    visited.add(id(kind))
    if issubclass(kind, Enum):
        for name, member in kind.__members__.items():
            yield name
            yield from _value_parts(member.value, visited)
    elif issubclass(kind, tuple) and hasattr(kind, "_field_defaults"):
        yield from _value_parts((vars(kind)["_fields"], vars(kind)["_field_defaults"]), visited)
    else:
        own = {n: v for n, v in vars(kind).items() if n not in ("__dict__", "__weakref__")}
        yield from _value_parts(own, visited)
        yield from _value_parts([base for base in kind.__bases__ if base is not object], visited)


def _callable_parts(value: Any, visited: set[int]) -> Iterator[str]:
    known = isinstance(value, type | BuiltinFunctionType | np.ufunc) or _package(value) in _KNOWN
    inside = getattr(value, "py_func", value)  # of a function that the user has compiled
    if isinstance(inside, FunctionType) and _package(inside) not in _KNOWN:
        yield from _function_parts(inside, visited)
    elif known and hasattr(value, "__name__"):
        yield f"{getattr(value, '__module__', builtins.__name__)}.{value.__name__}"
    else:
        raise NoIdentityError(f"{type(value).__name__} {value!r:.80}")


def versions() -> str:
    """The versions that the machine code depends on."""
    modules = [sys.modules[name] for name in ("numpy", "numba") if name in sys.modules]
    return " ".join([sys.version, *(f"{m.__name__} {m.__version__}" for m in modules)])
