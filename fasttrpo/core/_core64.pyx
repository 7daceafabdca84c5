# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The compiled core with float64 as its `real`: see _core.pxi."""

include "_core.pxi"
