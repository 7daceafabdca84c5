"""Checks what environments return. An error names the wrong part, and says what to return.

`who` names the environment: "the environment", or "environment 3" of several in this process.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from traceback import walk_tb
from typing import Any

import numpy as np

from fasttrpo.errors import UserError, UserTypeError
from fasttrpo.stream.notes import Noted

_RESET = "(observation, info)"
_STEP = "(observation, reward, terminated, truncated, info)"
_BOTH = "return a tuple of both, with an empty dict if there is no info"
_TRUTHS = (bool, np.bool_)
_MOST = 2**53
_NUMBERS = (float, np.float64, np.float32)


def of_reset(answer: Any, who: str) -> tuple[Any, Mapping]:
    """(observation, info) of one environment's reset. ValueError for anything else."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise UserError(f"{who} returned {form(answer)} from reset, expected {_RESET}: {_BOTH}")
    obs, info = answer
    return obs, info if type(info) is dict else _info(info, who, "reset")


def of_step(answer: Any, who: str) -> tuple[Any, float, bool, bool, Mapping]:
    """The five parts of one environment's step, as plain numbers. ValueError for anything else."""
    if not isinstance(answer, tuple | list) or len(answer) != 5:
        raise UserError(
            f"{who} returned {form(answer)} from step, expected {_STEP}: {_remedy(answer)}"
        )
    obs, reward, terminated, truncated, info = answer
    return (
        obs,
        reward if type(reward) in _NUMBERS or _is_small_int(reward) else _number(reward, who),
        terminated if type(terminated) in _TRUTHS else _truth("terminated", terminated, who),
        truncated if type(truncated) in _TRUTHS else _truth("truncated", truncated, who),
        info if type(info) is dict else _info(info, who, "step"),
    )


def _is_small_int(value: Any) -> bool:
    return type(value) is int and -_MOST < value < _MOST


def of_vector_env(answer: Any, call: str) -> Any:
    """The parts of a vector environment's reset or step. ValueError if their number is wrong."""
    wanted = _RESET if call == "reset" else _STEP
    if not isinstance(answer, tuple | list) or len(answer) != len(wanted.split(",")):
        raise UserError(
            f"the vector environment returned {form(answer)} from {call}, expected "
            f"{wanted.replace(')', 's)')}: {_remedy(answer) if call == 'step' else _BOTH}"
        )
    return answer


def rewards(values: Any, n_envs: int) -> np.ndarray:
    """(E,) float64 from a vector environment's step; (E, 1) is accepted. ValueError otherwise."""
    if getattr(values, "shape", None) == (n_envs, 1):
        values = np.reshape(values, n_envs)
    return _vector("reward", values, n_envs).astype(np.float64)


def _vector(name: str, values: Any, n_envs: int) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError:  # ragged
        array = np.asarray(values, object)
    if array.dtype.kind not in "fiub" or array.shape != (n_envs,):
        raise UserError(
            f"the environment's {name} has shape {array.shape} and dtype {array.dtype}, "
            f"expected {n_envs} numbers: an array of shape {(n_envs,)}"
        )
    return array


def truths(name: str, values: Any, n_envs: int) -> np.ndarray:
    """(E,) bool from True and False, or 1 and 0. ValueError for anything else."""
    array = _vector(name, values, n_envs)
    if array.dtype.kind == "b":
        return array.copy()  # the environment may write the next ones into it
    is_true = array == 1
    for env in np.flatnonzero(~is_true & (array != 0))[:1]:
        raise UserError(
            f"the environment's {name} is {array[env]} in environment {env}, expected True or False"
        )
    return is_true


def check_spaces(env: Any, *names: str) -> None:
    """Raises TypeError unless each of these attributes is a Gymnasium space."""
    from gymnasium.spaces import Space

    for name in names:
        space = getattr(env, name, None)
        if not isinstance(space, Space):
            raise UserTypeError(
                f"{type(env).__name__}.{name} is {form(space)}, expected a space of "
                "gymnasium.spaces: set it in __init__ (spaces of the old package gym do not count)"
            )


def no_environment(given: Any) -> str:
    """Describes an object that is not an environment, and what to pass instead."""
    if isinstance(given, list | tuple):
        return f"{form(given)}: pass a gymnasium.vector.SyncVectorEnv of several"
    if hasattr(given, "step") and hasattr(given, "reset"):
        return (
            f"{type(given).__name__}, which is not derived from gymnasium.Env: derive it (shimmy "
            "has wrappers for environments of the old package gym)"
        )
    return type(given).__name__


def form(value: Any) -> str:
    """A short description of a value."""
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, int | float | complex | str | np.generic) and len(repr(value)) < 40:
        return f"{value!r} ({type(value).__name__})"
    return f"an object of type {type(value).__name__}"


def _remedy(answer: Any) -> str:
    """What to return instead of a wrong number of parts; before Gym 0.26, there were four."""
    if not isinstance(answer, tuple | list) or len(answer) != 4:
        return "return a tuple of these five"
    return "instead of Gym's done return terminated (the task is over) and truncated (time is up)"


def _number(value: Any, who: str) -> float:
    """A number, or the one number in an array."""
    try:
        array = np.asarray(value)
        if array.dtype.kind in "fiub" and array.size == 1:
            return float(array.reshape(()))
        if array.dtype.kind == "O" and array.ndim == 0:  # Fraction, Decimal
            return float(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise UserError(
        f"{who} returned {form(value)} as reward from step, expected a number: return float(reward)"
    )


def _truth(name: str, value: Any, who: str) -> bool:
    """A flag: True or False, or 1 or 0, or one of these in an array."""
    try:
        array = np.asarray(value)
        if array.dtype.kind in "fiub" and array.size == 1 and array.reshape(()) in (0, 1):
            return bool(array.reshape(()))
    except ValueError:
        pass
    raise UserError(
        f"{who} returned {form(value)} as {name} from step, expected True or False: "
        f"return bool({name})"
    )


def _info(info: Any, who: str, call: str) -> Mapping:
    if isinstance(info, Mapping):
        return info
    raise UserError(
        f"{who} returned {form(info)} as info from {call}, expected a dict: return an empty one "
        "if there is nothing to report"
    )


# -- answers that a library failed on --------------------------------------------------------------


class ExplainedCall(Noted):
    """`Noted` that also explains: if a library failed on what an environment returned, raises a
    ValueError that says what to return instead.
    """

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        super().__exit__(kind, error, traceback)
        words = _explanation(error) if isinstance(error, _MISTAKES) else None
        if words is not None:
            explained = UserError(words)
            super().__exit__(ValueError, explained, None)
            raise explained from error


def explain(error: Exception, call: str) -> None:
    """Adds the note to an exception; raises the one that explains it, if there is one."""
    ExplainedCall(call).__exit__(type(error), error, None)


_MISTAKES = (ValueError, TypeError, AttributeError, LookupError)
_WRAPPERS = ("gymnasium", "stable_baselines3", "sb3_contrib", "supersuit", "shimmy", "fasttrpo")
_COLLECTORS = (
    "gymnasium.vector.sync_vector_env",
    "gymnasium.vector.vector_env",
    "gymnasium.vector.utils",
    "stable_baselines3.common.vec_env.dummy_vec_env",
)
_UNPACKED = re.compile(r"values to unpack|cannot unpack")
_EXPECTED = re.compile(r"expected (\d)")
_UNEXPECTED = re.compile(r"\w*reset\(\) got an unexpected keyword argument '(seed|options)'")


def _explanation(error: BaseException) -> str | None:
    """What the environment returned wrongly, if the exception shows that it did; else None."""
    match = _UNEXPECTED.search(str(error))
    if match:
        return (
            f"the environment's reset does not accept {match[1]}: Gymnasium calls "
            "reset(seed=..., options=...); define it as reset(self, *, seed=None, options=None)"
        )
    frames = [
        (str(frame.f_globals.get("__name__", "")), frame.f_code.co_name)
        for frame, _ in walk_tb(error.__traceback__)
    ]
    if _UNPACKED.search(str(error)):
        return _unpacked(error, *frames[-1])
    while frames and frames[-1][0].split(".")[0] in ("numpy", "functools"):
        frames.pop()
    if not frames or not frames[-1][0].startswith(_COLLECTORS):
        return None
    return (
        f"{frames[-1][0]} could not combine what its environments returned ({error}): each "
        "must return observations that fit its space, a number as reward, True or False as "
        "terminated and truncated, and a dict as info; gymnasium.utils.env_checker.check_env "
        "checks one of them"
    )


def _unpacked(error: BaseException, module: str, function: str) -> str | None:
    """As `_explanation`, for a wrong number of parts; None if the user's code unpacked them."""
    if module.split(".")[0] not in _WRAPPERS:
        return None
    number = _EXPECTED.search(str(error))
    call = "reset" if number and number[1] == "2" else "step"
    call = function if function in ("reset", "step") else call
    wanted = _RESET if call == "reset" else _STEP
    return (
        f"an environment's {call} must return {wanted}, but {module} got something else "
        f"({error}): fix its {call}, or wrap it for Gymnasium's API (shimmy has wrappers)"
    )
