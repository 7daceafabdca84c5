"""sin, cos, log, log1p, exp, expm1 and pow of csrc/include/trpo_math.h for environments in Python.

The C library's differ in the last bit from machine to machine. So in the functions of an
environment `math.sin` etc. are replaced by these, which have the bits of environments in C
everywhere. They return NaN or infinity where `math` raises. Numba calls the same machine code
(numba_types.py).
"""

from __future__ import annotations

import ctypes
import math
from types import ModuleType
from typing import Any

from fasttrpo.core import _envs

ADDRESSES = _envs.elementary()
_OF_ONE = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)
_OF_TWO = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_double)
_CALLS = {
    name: (_OF_TWO if name == "pow" else _OF_ONE)(address) for name, address in ADDRESSES.items()
}


def _of_one(name: str) -> Any:
    call = _CALLS[name]

    def function(x: float) -> float:
        return call(x)

    function.__name__ = function.__qualname__ = name
    return function


def log(x: float, base: float | None = None) -> float:
    """The logarithm to this base, as that of `math`."""
    return _CALLS["log"](x) if base is None else _CALLS["log"](x) / _CALLS["log"](base)


def _of_two(name: str) -> Any:
    call = _CALLS[name]

    def function(x: float, y: float) -> float:
        return call(x, y)

    function.__name__ = function.__qualname__ = name
    return function


FUNCTIONS = {name: _of_one(name) for name in ADDRESSES} | {"log": log, "pow": _of_two("pow")}
cos = FUNCTIONS["cos"]

# The module `math` with these functions.
MATH = ModuleType("math")
vars(MATH).update({**vars(math), **FUNCTIONS})
_OWN = {id(getattr(math, name)): function for name, function in FUNCTIONS.items()}


def replaced(value: Any) -> Any:
    """What stands for a global of an environment's function; the value itself if it is not of
    `math`.
    """
    return MATH if value is math else _OWN.get(id(value), value)
