"""The struct `trpo_env` of csrc/include/trpo_env.h, filled from Python."""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np

VERSION = 1  # TRPO_ENV_VERSION
RUNNING, TERMINATED, TRUNCATED = 0, 1, 2  # what `step` of trpo_env.h sets *term to

_POINTER, _INT = ctypes.c_void_p, ctypes.c_int


class Option(ctypes.Structure):
    """trpo_env_option"""

    _fields_ = (("name", ctypes.c_char_p), ("of_reset", _INT))


class Struct(ctypes.Structure):
    """trpo_env, field by field; C checks `struct_size`."""

    _fields_ = (
        ("version", _INT),
        ("struct_size", _INT),
        ("name", ctypes.c_char_p),
        ("state_bytes", ctypes.c_size_t),
        ("obs_size", _INT),
        ("obs_low", _POINTER),
        ("obs_high", _POINTER),
        ("n_actions", _INT),
        ("choices", _POINTER),
        ("act_low", _POINTER),
        ("act_high", _POINTER),
        ("max_episode_steps", _INT),
        ("reward_threshold", ctypes.c_double),
        ("config", _POINTER),
        ("n_options", _INT),
        ("options", _POINTER),
        ("reset", _POINTER),
        ("step", _POINTER),
        ("observe", _POINTER),
        ("close", _POINTER),
        ("mask", _POINTER),
        ("open", _POINTER),
        ("save_bytes", ctypes.c_size_t),
        ("save", _POINTER),
        ("load", _POINTER),
    )


def how_it_ended(result: tuple) -> int:
    """RUNNING, TERMINATED or TRUNCATED, from what the user's `step` returned: (reward, terminated)
    or (reward, terminated, truncated). Terminated if both.
    """
    if result[1]:
        return TERMINATED
    return TRUNCATED if len(result) > 2 and result[2] else RUNNING


class Source:
    """A `trpo_env` at `address`, for `_envs.Envs`; it keeps alive everything the struct points to.

    functions    {"reset", "step", "observe", optionally "mask": C function} from Numba or ctypes
    is_compiled  whether they run without the interpreter
    """

    def __init__(self, env: Any, functions: dict[str, Any], is_compiled: bool) -> None:
        self.name, self.is_compiled = env.name, is_compiled
        self._keep: list[Any] = [functions]
        observations, actions = env.observation_space, env.action_space
        self._struct = Struct(
            version=VERSION,
            struct_size=ctypes.sizeof(Struct),
            name=env.name.encode(),
            state_bytes=env.state_size * 8,
            obs_size=env.obs_size,
            obs_low=self._array(observations.low),
            obs_high=self._array(observations.high),
            n_actions=env.n_actions,
            max_episode_steps=env.max_episode_steps,
            reward_threshold=math.nan if env.reward_threshold is None else env.reward_threshold,
            **{role: _address(function) for role, function in functions.items()},
        )
        if env.choices is None:
            self._struct.act_low = self._array(actions.low)
            self._struct.act_high = self._array(actions.high)
        else:
            self._struct.choices = self._array(env.choices, np.intc)
        if env.options:
            self._set_options(env.options)
        self.address = ctypes.addressof(self._struct)

    def _array(self, values: Any, dtype: Any = np.float64) -> int:
        """The address of a copy of the values."""
        array = np.array(values, dtype)
        self._keep.append(array)
        return array.ctypes.data

    def _set_options(self, options: dict[str, float]) -> None:
        named = (Option * len(options))(*(Option(name.encode(), 0) for name in options))
        self._keep.append(named)
        self._struct.n_options = len(options)
        self._struct.options = ctypes.addressof(named)
        self._struct.config = self._array(list(options.values()))

    def __str__(self) -> str:
        return self.name


def _address(function: Any) -> int:
    if hasattr(function, "address"):
        return function.address
    return ctypes.cast(function, ctypes.c_void_p).value or 0
