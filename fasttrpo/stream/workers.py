"""Recovers vector environments in processes after an interrupted call.

An interrupt or an exception during a step leaves answers in the pipes, which the next call would
read as its own. A process answers each request once, in order. So `settle` sends a request whose
answer is unmistakable, and reads until that arrives.
"""

from __future__ import annotations

import inspect
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from fasttrpo.checks.imported import is_instance

_SUBPROC_VEC_ENV = "stable_baselines3.common.vec_env.subproc_vec_env", "SubprocVecEnv"
_PROC_CONCAT_VEC = "supersuit.vector.multiproc_vec", "ProcConcatVec"
_PIPE_ENDED = (EOFError, ConnectionError)  # raised by a pipe whose other end is closed
PATIENCE = 10.0  # seconds for a running step, if new processes can be started
_unanswered: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
"""Our requests that are not answered yet, by pipe; several if `settle` was interrupted."""


class Workers(NamedTuple):
    """The processes of a vector environment, one pipe to each."""

    pipes: Any
    processes: Any
    request: Any
    """the request to send"""
    is_answer: Callable[[Any], bool]
    """whether an answer is that to `request`, and to no other request"""
    can_restart: bool
    """whether the environment knows how to make its environments"""


def settle(env: Any) -> None:
    """Prepares the processes of a vector environment for a reset; ignores other environments.

    Drops unread answers. If processes ended or do not answer, an `AsyncVectorEnv` starts new ones,
    with a warning; for others, which cannot, raises RuntimeError.
    """
    base = _base(env)
    workers = _workers(base)
    if workers is None or getattr(base, "closed", False):
        return
    if _is_drained(workers):
        _forget_pending(base)
    elif workers.can_restart:
        _restart(base)
    else:
        raise RuntimeError(_what_ended(base, workers))


def call(env: Any, function: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
    """Calls a method of the environment. Raises RuntimeError if a process ended, and names it."""
    try:
        return function(*args, **keywords)
    except _PIPE_ENDED as error:
        base = _base(env)
        workers = _workers(base)
        if workers is None or not _dead(workers):
            raise
        raise RuntimeError(_what_ended(base, workers)) from error


# -- the processes ---------------------------------------------------------------------------------


def _base(env: Any) -> Any:
    """The environment inside all wrappers: Gymnasium's, SB3's, and our own of `VecEnv`s."""
    env = getattr(env, "vec_env", env)
    return getattr(env, "unwrapped", env)


def _workers(base: Any) -> Workers | None:
    from gymnasium.vector import AsyncVectorEnv

    if isinstance(base, AsyncVectorEnv):
        about = base.observation_mode, base.single_observation_space, base.single_action_space
        return Workers(base.parent_pipes, base.processes, ("_check_spaces", about), _is_check, True)
    if is_instance(base, *_SUBPROC_VEC_ENV):
        return Workers(base.remotes, base.processes, ("get_spaces", None), _are_spaces, False)
    if is_instance(base, *_PROC_CONCAT_VEC):
        return Workers(base.pipes, base.procs, ("env_is_wrapped", Workers), _are_bools, False)
    return None


def _is_check(answer: Any) -> bool:
    result, succeeded = answer
    return succeeded and isinstance(result, tuple) and len(result) == 2 and _are_bools([*result])


def _are_spaces(answer: Any) -> bool:
    from gymnasium import Space

    is_pair = isinstance(answer, tuple) and len(answer) == 2
    return is_pair and all(isinstance(each, Space) for each in answer)


def _are_bools(answer: Any) -> bool:
    """Python bools or, from older versions of Gymnasium, NumPy bools."""
    is_list = isinstance(answer, list) and bool(answer)
    return is_list and all(isinstance(x, bool | np.bool_) for x in answer)


# -- unread answers --------------------------------------------------------------------------------


def _is_drained(workers: Workers) -> bool:
    """Drops unread answers; returns whether all processes live and answer."""
    until = time.monotonic() + PATIENCE if workers.can_restart else None
    try:
        for pipe in workers.pipes:
            pipe.send(workers.request)
            _unanswered[pipe] = _unanswered.get(pipe, 0) + 1
        return all(_answers(pipe, workers.is_answer, until) for pipe in workers.pipes)
    except Exception:  # reading half an answer can raise anything
        return False


def _answers(pipe: Any, is_answer: Callable[[Any], bool], until: float | None) -> bool:
    while pipe.poll(None if until is None else max(0.0, until - time.monotonic())):
        _unanswered[pipe] -= is_answer(pipe.recv())
        if not _unanswered[pipe]:
            return True
    return False


def _forget_pending(base: Any) -> None:
    """Makes the environment forget a call without an answer."""
    from gymnasium.vector.async_vector_env import AsyncState

    if hasattr(base, "_state"):
        base._state = AsyncState.DEFAULT  # noqa: SLF001 - Gymnasium has no call that forgets one
    if hasattr(base, "waiting"):
        base.waiting = False


def _restart(base: Any) -> None:
    """Restarts an `AsyncVectorEnv` with new processes, and environments from its env_fns."""
    from gymnasium.vector import AsyncVectorEnv

    from fasttrpo.stream.in_processes import InProcesses

    warnings.warn(
        f"{base}: processes have ended or do not answer; new ones are started, with fresh "
        "environments from env_fns",
        RuntimeWarning,
        stacklevel=5,
    )
    kind = InProcesses if isinstance(base, InProcesses) else AsyncVectorEnv
    names = [*inspect.signature(AsyncVectorEnv.__init__).parameters][1:]
    settings = {name: getattr(base, name) for name in names if hasattr(base, name)}
    _forget_pending(base)
    base.close_extras(terminate=True)
    kind.__init__(base, **settings)


# -- ended processes -------------------------------------------------------------------------------


def _dead(workers: Workers) -> dict[int, int | None]:
    """The exit codes of the processes that have ended."""
    from multiprocessing import connection

    ended = connection.wait([each.sentinel for each in workers.processes], 1.0)
    for process in workers.processes:
        if process.sentinel in ended:
            process.join(1.0)  # its pipes end a moment before it does
    codes = {e: each.exitcode for e, each in enumerate(workers.processes)}
    return {e: code for e, code in codes.items() if code is not None}


def _what_ended(base: Any, workers: Workers) -> str:
    remedy = (
        "the next `learn` starts new ones"
        if workers.can_restart
        else "make a new environment and pass it to set_env"
    )
    codes = ", ".join(f"{e} (exit code {code})" for e, code in _dead(workers).items())
    return (
        f"{type(base).__name__}: processes have ended or do not answer: {codes or 'none ended'}. "
        "A process ends by an exception in its environment, which it prints, by Ctrl-C in a "
        f"terminal, or by a kill; {remedy}"
    )
