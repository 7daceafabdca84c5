"""Seeds that every simulator accepts."""

from __future__ import annotations

from typing import Any

LIMIT = 2**31
"""Simulators that store seeds in a C int, or use NumPy's old generators, need smaller ones."""


def of_env(seed: int, env: Any) -> int:
    """A seed for `env.reset`, which seeds environment e with seed + e: all stay below 2**31.

    Small seeds are unchanged. fasttrpo's own environments accept any seed; their class has
    `takes_any_seed`.
    """
    if getattr(type(env.unwrapped), "takes_any_seed", False):
        return seed
    return int(seed) % (LIMIT - env.num_envs)
