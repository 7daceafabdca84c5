"""Seeds of environments: such as every simulator takes."""

from __future__ import annotations

from typing import Any

LIMIT = 2**31
"""Simulators that keep seeds in a C int take less; so do those in NumPy's old generators."""


def of_env(seed: int, env: Any) -> int:
    """`seed` for `env.reset`, which seeds environment e with this + e: all are below 2**31.

    A seed that is small enough stays. Environments of fasttrpo's own take every seed; their class
    has `takes_any_seed`.
    """
    if getattr(type(env.unwrapped), "takes_any_seed", False):
        return seed
    return int(seed) % (LIMIT - env.num_envs)
