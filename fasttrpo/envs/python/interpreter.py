"""The user's functions as they are, called back from C: the same results, slowly; pdb and print."""

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

RAISED = 1
_AT = ctypes.c_void_p
_TYPES = {
    "reset": ctypes.CFUNCTYPE(ctypes.c_int, _AT, _AT, _AT, _AT),
    "step": ctypes.CFUNCTYPE(ctypes.c_int, _AT, _AT, _AT, _AT, _AT, _AT, _AT),
    "observe": ctypes.CFUNCTYPE(ctypes.c_int, _AT, _AT, _AT),
    "mask": ctypes.CFUNCTYPE(ctypes.c_int, _AT, _AT, _AT),
}


def interpreted(env: Any, parameters: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """{role: C function} of the roles that there are, which run the user's in the interpreter."""
    calls = Calls(env, parameters)
    return {role: _TYPES[role](getattr(calls, role)) for role in parameters}


def _doubles(at: int, count: int, is_read_only: bool = False) -> np.ndarray:
    array = np.ctypeslib.as_array((ctypes.c_double * count).from_address(at))
    array.flags.writeable = not is_read_only
    return array


def _reporting(role: str) -> Callable[[Any], Any]:
    """Of a C function: what it raises is kept for `Envs`, and answered as an error."""

    def decorate(function: Any) -> Any:
        def safe(self: Any, config: int, state: int, *arguments: int) -> int:
            try:
                return function(self, config, state, *arguments)
            except BaseException as error:  # C cannot let it through, KeyboardInterrupt neither
                failures.note(state, self._name(role), error, _where(error))
                return RAISED

        return safe

    return decorate


def _where(error: BaseException) -> str:
    """The line that raised it; nothing where that is one of this file's."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return "" if last.filename == __file__ else failures.line_of(last.filename, last.lineno or 0)


class Calls:
    """The C functions of trpo_env.h, by the user's; as glue.py has them compiled."""

    def __init__(self, env: Any, parameters: dict[str, tuple[str, ...]]) -> None:
        self._env, self._parameters = env, parameters
        self._options: Any = namedtuple("Options", env.options)  # type: ignore[misc]

    def _call(self, role: str, config: int, **known: Any) -> Any:
        """The user's function, with those of the values that it takes."""
        count = len(self._env.options)
        known["options"] = self._options(*(_doubles(config, count) if count else ()))
        return self._env.functions[role](*(known[name] for name in self._parameters[role]))

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
        answer = self._call("reset", config, state=values, random=random)
        _check_nothing(answer)
        return self.observe(config, state, obs)

    @_reporting("step")
    def step(
        self, config: int, state: int, act: int, obs: int, rew: int, term: int, words: int
    ) -> int:
        """trpo_env.step"""
        values, random = self._state(state), _random(words)
        answer = self._call("step", config, state=values, action=self._action(act), random=random)
        reward, terminated = _checked(answer)
        _doubles(rew, 1)[0] = reward
        ctypes.c_uint8.from_address(term).value = terminated
        return self.observe(config, state, obs)

    @_reporting("observe")
    def observe(self, config: int, state: int, obs: int) -> int:
        """trpo_env.observe"""
        values = self._state(state, is_read_only=True)
        answer = self._call("observe", config, state=values, obs=_doubles(obs, self._env.obs_size))
        _check_nothing(answer)
        return 0

    @_reporting("mask")
    def mask(self, config: int, state: int, mask: int) -> int:
        """trpo_env.mask"""
        values = self._state(state, is_read_only=True)
        is_open = np.ctypeslib.as_array((ctypes.c_bool * sum(self._env.choices)).from_address(mask))
        _check_nothing(self._call("mask", config, state=values, mask=is_open))
        return 0

    def _action(self, at: int) -> Any:
        act = _doubles(at, self._env.n_actions, is_read_only=True)
        if self._env.choices is None:
            return act
        return int(act[0]) if len(self._env.choices) == 1 else tuple(map(int, act))


def _random(at: int) -> Random:
    return Random(np.ctypeslib.as_array((ctypes.c_uint64 * 3).from_address(at)))


def _checked(answer: Any) -> tuple[float, bool]:
    """(reward, terminated) as step returned them."""
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise TypeError(f"it must return (reward, terminated), and returned {answer!r}")
    reward, terminated = answer
    return float(reward), bool(terminated)


def _check_nothing(answer: Any) -> None:
    if answer is not None:
        raise TypeError(f"it must return nothing, and returned {answer!r}")
