"""The portable twin: the whole agent in NumPy, compiled by Numba where Numba is installed.

It is the readable specification, the independent implementation that the C core is tested against,
and the backend where the C core is not available. Each stage of the iteration has a file; read
`update` first. Imports point one way: agent -> update -> stages -> network, distributions, rng.
"""

from .agent import Agent

__all__ = ["Agent"]
