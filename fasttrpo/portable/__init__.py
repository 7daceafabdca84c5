"""The portable twin: the whole agent in NumPy, compiled by Numba where Numba is installed.

It is the readable specification, the independent implementation that the C core is tested
against, and the backend where there is no C core. One stage of the iteration per file; read
`update` first. Imports point one way: agent -> update -> stages -> network, distributions, rng.
"""

from .agent import Agent

__all__ = ["Agent"]
