"""Environments in shared libraries: any that exports `trpo_environment` of trpo_env.h."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

SUFFIXES = (".so", ".dylib", ".dll")
SOURCE_MARK = ".py:"
SYMBOL = "trpo_environment"
# Names that options cannot have: `CompiledVectorEnv` and its `reset` call something else so.
RESERVED = {"self", "env", "num_envs", "autoreset_mode", "max_episode_steps", "render_mode"}
RESERVED |= {"reset_mask"}
# Begins the note on what a file raised as it was run; the file and the line follow.
RAN = "raised as the file was run: "


def is_library(env: Any) -> bool:
    """Whether this names a shared library: a path, or a text that ends as one."""
    return isinstance(env, os.PathLike) or (isinstance(env, str) and env.endswith(SUFFIXES))


def is_in_source(env: Any) -> bool:
    """Whether this names an environment written in Python, as "my_sim.py:walk"."""
    return isinstance(env, str) and SOURCE_MARK in env


class Library:
    """An open library and the address of its `trpo_env`.

    FileNotFoundError if there is no such file; ValueError if it cannot be loaded, or exports no
    environment. It stays loaded: the environments call into it.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"there is no file {str(path)!r}")
        try:
            self._handle = ctypes.CDLL(str(self.path.resolve()))
        except OSError as error:
            raise ValueError(f"{path} cannot be loaded as a shared library: {error}") from error
        self.address = self._environment()

    def _environment(self) -> int:
        try:
            environment = getattr(self._handle, SYMBOL)
        except AttributeError:
            raise ValueError(
                f"{self.path} has no symbol {SYMBOL!r}: it must export "
                f'`const trpo_env *{SYMBOL}(void)` (as C: extern "C" in C++, and visible); '
                "see trpo_env.h"
            ) from None
        environment.restype = ctypes.c_void_p
        environment.argtypes = ()
        return environment() or 0

    def __str__(self) -> str:
        return str(self.path)
