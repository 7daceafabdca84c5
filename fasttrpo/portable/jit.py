"""Compilation by Numba, if installed, of what is slow in NumPy: recursions over rows and long
chains of integer operations. Everything else is array arithmetic.

The environment variable FASTTRPO_NUMBA=0 turns compilation off. Numba's cache does not notice
changes in other files, so a compiled function must not call one from another file.
"""

from __future__ import annotations

import os

try:
    import numba
except ImportError:
    numba = None  # type: ignore[assignment]

COMPILED = numba is not None and os.environ.get("FASTTRPO_NUMBA") != "0"


def jit(function):
    """Compile a function with loops; the original is `function.py_func`."""
    return numba.njit(cache=True)(function) if COMPILED else function


def elementwise(function):
    """Compile a function of numbers that broadcasts over arrays, as it does in plain NumPy."""
    return numba.vectorize(cache=True)(function) if COMPILED else function
