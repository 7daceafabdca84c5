"""Runs the user's functions in the interpreter: the same results, slower, for pdb and print."""

from __future__ import annotations

import ctypes
import math
import traceback
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np

from fasttrpo.envs import failures
from fasttrpo.envs.python.draws import Random
from fasttrpo.envs.python.errors import RESULT_OF_STEP
from fasttrpo.envs.python.functions import with_helpers
from fasttrpo.envs.python.struct import how_it_ended

RAISED = 1
_AT = ctypes.c_void_p
_TYPES = {
    "reset": ctypes.CFUNCTYPE(ctypes.c_int, _AT, _AT, _AT, _AT),
    "step": ctypes.CFUNCTYPE(ctypes.c_int, _AT, _AT, _AT, _AT, _AT, _AT, _AT),
    "observe": ctypes.CFUNCTYPE(ctypes.c_int, _AT, _AT, _AT),
    "mask": ctypes.CFUNCTYPE(ctypes.c_int, _AT, _AT, _AT),
}


def interpreted(env: Any, parameters: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """{role: C function} that runs the user's function in the interpreter."""
    calls = Calls(env, parameters)
    return {role: _TYPES[role](getattr(calls, role)) for role in parameters}


def _doubles(at: int, count: int, is_read_only: bool = False) -> np.ndarray:
    array = np.ctypeslib.as_array((ctypes.c_double * count).from_address(at))
    array.flags.writeable = not is_read_only
    return array


def _reporting(role: str) -> Callable[[Any], Any]:
    """Makes a C function store its exceptions for `Envs` and return an error code."""

    def decorate(function: Any) -> Any:
        def safe(self: Any, config: int, state: int, *arguments: int) -> int:
            try:
                return function(self, config, state, *arguments)
            except BaseException as error:  # nothing propagates through C, not even an interrupt
                failures.note(state, self._name(role), error, _where(error))
                return RAISED

        return safe

    return decorate


def _where(error: BaseException) -> str:
    """The line that raised it; empty if it is in this file."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return "" if last.filename == __file__ else failures.line_of(last.filename, last.lineno or 0)


class Calls:
    """The C functions of trpo_env.h, which call the user's; glue.py has the compiled ones."""

    def __init__(self, env: Any, parameters: dict[str, tuple[str, ...]]) -> None:
        self._env, self._parameters = env, parameters
        done: dict[Any, Any] = {}
        self._functions = {
            role: with_helpers(function, lambda copy: copy, done)
            for role, function in env.functions.items()
        }
        self._options: Any = namedtuple("Options", env.options)  # type: ignore[misc]

    def _call(self, role: str, config: int, **known: Any) -> Any:
        """Calls the user's function with the values of its parameters."""
        count = len(self._env.options)
        known["options"] = self._options(*(_doubles(config, count) if count else ()))
        return self._functions[role](*(known[name] for name in self._parameters[role]))

    def _name(self, role: str) -> str:
        return self._env.functions[role].__name__

    def _state(self, at: int, is_read_only: bool = False) -> np.ndarray:
        return _doubles(at, self._env.state_size, is_read_only)

    @_reporting("reset")
    def reset(self, config: int, state: int, obs: int, words: int) -> int:
        """trpo_env.reset"""
        values, random = self._state(state), _random(words)
        values[:] = 0
        _doubles(obs, self._env.obs_size)[:] = math.nan
        _check_none(self._call("reset", config, state=values, random=random))
        return self.observe(config, state, obs)

    @_reporting("step")
    def step(
        self, config: int, state: int, act: int, obs: int, rew: int, term: int, words: int
    ) -> int:
        """trpo_env.step"""
        values, random = self._state(state), _random(words)
        result = self._call("step", config, state=values, action=self._action(act), random=random)
        _check_step(result)
        _doubles(rew, 1)[0] = float(result[0])
        ctypes.c_uint8.from_address(term).value = how_it_ended(result)
        return self.observe(config, state, obs)

    @_reporting("observe")
    def observe(self, config: int, state: int, obs: int) -> int:
        """trpo_env.observe"""
        values = self._state(state, is_read_only=True)
        result = self._call("observe", config, state=values, obs=_doubles(obs, self._env.obs_size))
        _check_none(result)
        return 0

    @_reporting("mask")
    def mask(self, config: int, state: int, mask: int) -> int:
        """trpo_env.mask"""
        values = self._state(state, is_read_only=True)
        allowed = np.ctypeslib.as_array((ctypes.c_bool * sum(self._env.choices)).from_address(mask))
        _check_none(self._call("mask", config, state=values, mask=allowed))
        return 0

    def _action(self, at: int) -> Any:
        act = _doubles(at, self._env.n_actions, is_read_only=True)
        if self._env.choices is None:
            return act
        return int(act[0]) if len(self._env.choices) == 1 else tuple(map(int, act))


def _random(at: int) -> Random:
    return Random(np.ctypeslib.as_array((ctypes.c_uint64 * 3).from_address(at)))


def _check_step(result: Any) -> None:
    if not isinstance(result, tuple) or len(result) not in (2, 3):
        raise TypeError(f"it must return {RESULT_OF_STEP}, but returned {result!r}")


def _check_none(result: Any) -> None:
    if result is not None:
        raise TypeError(f"it must return nothing, but returned {result!r}")
