"""Names of environments in strings, and names that their options cannot have."""

from __future__ import annotations

import os
from typing import Any

SUFFIXES = (".so", ".dylib", ".dll")
SOURCE_MARK = ".py:"
# Names that options cannot have, because `CompiledVectorEnv` or its `reset` use them.
RESERVED = {"self", "env", "num_envs", "autoreset_mode", "max_episode_steps", "render_mode"}
RESERVED |= {"reset_mask"}


def is_library(env: Any) -> bool:
    """Whether this names a shared library: a path object, or a string that ends in a suffix."""
    return isinstance(env, os.PathLike) or (isinstance(env, str) and env.endswith(SUFFIXES))


def is_in_source(env: Any) -> bool:
    """Whether this names an environment written in Python, as "my_sim.py:walk"."""
    return isinstance(env, str) and SOURCE_MARK in env
