"""`jit`: compile a function with Numba if it is installed, otherwise leave it as it is.

FASTTRPO_NUMBA=0 in the environment turns compilation off. Numba's cache does not notice a change
in a compiled function of another file, so a compiled function here calls only NumPy and compiled
functions of its own file.
"""

from __future__ import annotations

import os

try:
    import numba
except ImportError:
    numba = None

COMPILED = numba is not None and os.environ.get("FASTTRPO_NUMBA") != "0"


def jit(function):
    """The decorator; the original stays reachable as `function.py_func` where it compiles."""
    return numba.njit(cache=True)(function) if COMPILED else function
