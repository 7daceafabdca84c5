"""Compile with Numba, where it is installed, what NumPy does slowly: recursions over rows and long
chains of integer operations. Everything else is array arithmetic and stays NumPy.

FASTTRPO_NUMBA=0 in the environment turns compilation off. Numba's cache does not notice a change
in a compiled function of another file, so a compiled function here calls none from elsewhere.
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
    """Compile a function of numbers into one that broadcasts over arrays, as the original does by
    itself when it is given arrays.
    """
    return numba.vectorize(cache=True)(function) if COMPILED else function
