"""A vector environment that steps each of its environments in a process of its own.

It is Gymnasium's `AsyncVectorEnv` with the checks, infos and bits of `InTurn`, with errors that
carry the environment's own traceback, and with processes that end in every case.
"""

from __future__ import annotations

import pickle
import random
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from multiprocessing import connection, get_all_start_methods, util
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.vector.async_vector_env import AsyncState, _async_worker

from fasttrpo.stream import answers
from fasttrpo.stream.in_turn import slots
from fasttrpo.stream.infos import gather

# Forked processes need no `if __name__ == "__main__"` in the user's script. Elsewhere it is unsafe.
CONTEXT = "fork" if sys.platform == "linux" and "fork" in get_all_start_methods() else None
PATIENCE = 5.0  # seconds in which a process must close its environment
_BEFORE_DAEMONS_END = 10  # priority of a finalizer of multiprocessing


class InProcesses(AsyncVectorEnv):
    """E environments that reset in the same step, in E processes, which end with this object.

    Takes the arguments of `AsyncVectorEnv`, because `workers.settle` restarts it with them.
    """

    def __init__(self, env_fns: Sequence[Callable[[], Any]], **keywords: Any) -> None:
        fixed = {"context": CONTEXT, "worker": _work, "autoreset_mode": AutoresetMode.SAME_STEP}
        try:
            super().__init__(env_fns, **{**keywords, **fixed})
        except BaseException:
            _end(getattr(self, "parent_pipes", []), getattr(self, "processes", []))
            raise
        # Older versions of Gymnasium write into the environment's own dict.
        self.metadata = {**self.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}
        arguments = self.parent_pipes, self.processes
        self._end = util.Finalize(self, _end, arguments, exitpriority=_BEFORE_DAEMONS_END)

    def call_in(self, envs: Sequence[int], name: str, *args: Any, **keywords: Any) -> list[Any]:
        """What a method of some of the environments returns, or the value of an attribute. Raises
        AttributeError if one lacks it, which would end its process.
        """
        if not all(self._ask(envs, "_call", ("has_wrapper_attr", (name,), {}))):
            raise AttributeError(f"the environments have no attribute {name!r}")
        return self._ask(envs, "_call", (name, args, keywords))

    def set_in(self, envs: Sequence[int], name: str, value: Any) -> None:
        """Sets an attribute of some of the environments."""
        self._ask(envs, "_setattr", (name, value))

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """An attribute of each environment."""
        return tuple(self.call_in(range(self.num_envs), name))

    def _ask(self, envs: Sequence[int], command: str, data: tuple) -> list[Any]:
        """The answers of these environments' processes."""
        self._assert_is_running()
        for env in envs:
            self.parent_pipes[env].send((command, data))
        given = {env: self.parent_pipes[env].recv() for env in envs}
        self._raise_if_errors([given.get(env, (None, True))[1] for env in range(self.num_envs)])
        return [given[env][0] for env in envs]

    def _add_info(self, vector_infos: Any, env_info: Any, env_num: int) -> Any:
        return gather(vector_infos, env_info, env_num, self.num_envs)

    def _raise_if_errors(self, successes: Iterable[bool]) -> None:
        """Raises what the first failing environment raised, with the traceback as a note."""
        failed = [env for env, succeeded in enumerate(successes) if not succeeded]
        if not failed:
            return
        self._state = AsyncState.DEFAULT
        errors = {index: rest for index, *rest in (self.error_queue.get() for _ in failed)}
        for env in errors:  # these processes have ended
            self.parent_pipes[env].close()
        _, error, traceback = errors[min(errors)]
        error.add_note(f"in the process of environment {min(errors)}:\n{traceback}")
        raise error

    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None:
        """Closes the environments and ends their processes."""
        if terminate:
            for process in self.processes:
                process.terminate()
        self._end()

    def __del__(self) -> None:
        """Does nothing: the finalizer ends the processes."""


def _end(pipes: Sequence[Any], processes: Sequence[Any]) -> None:
    """Asks processes to close their environments; ends those that do not in time."""
    for pipe in pipes:
        try:
            pipe.send(("close", None))
        except OSError:  # its process has ended
            pipe.close()
    until = time.monotonic() + PATIENCE
    while any(each.is_alive() for each in processes) and time.monotonic() < until:
        _drop_answers(pipes, processes, until - time.monotonic())
    for process in processes:
        if process.is_alive():
            process.kill()
        process.join()
    for pipe in pipes:
        pipe.close()


def _drop_answers(pipes: Sequence[Any], processes: Sequence[Any], seconds: float) -> None:
    """Waits for an answer or the end of a process: one that nobody reads could not go on."""
    alive = [each.sentinel for each in processes if each.is_alive()]
    ready = connection.wait([*alive, *(pipe for pipe in pipes if not pipe.closed)], seconds)
    for pipe in pipes:
        if pipe in ready:
            try:
                pipe.recv_bytes()
            except (EOFError, OSError):
                pipe.close()


# -- in the processes ------------------------------------------------------------------------------


def _work(
    index: int, env_fn: Callable[[], Any], pipe: Any, parent_pipe: Any, memory: Any, *rest: Any
) -> None:
    """What a process does: Gymnasium's loop, around an environment that is checked."""
    for number in (signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)):
        signal.signal(number, signal.SIG_IGN)  # the main process decides what an interrupt means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _separate_streams(index)
    errors: Any = _Errors(rest[0])
    try:
        env = _Checked(env_fn(), f"environment {index}")
    except Exception as error:
        pipe.recv()  # the first request
        errors.put((index, type(error), error, _text(error)))
        pipe.send((None, False))
        return
    with suppress(EOFError, ConnectionError):  # the main process has ended
        _async_worker(index, lambda: env, pipe, parent_pipe, memory, errors, *rest[1:])


def _separate_streams(index: int) -> None:
    """Makes the global generators differ, of which forked processes have identical copies."""
    random.seed(f"{random.random()} {index}")
    np.random.seed([*np.random.randint(2**31, size=4), index])  # noqa: NPY002


def _text(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(error))


class _Errors:
    """A queue of errors; those that cannot be sent are replaced by their words."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def put(self, item: tuple[int, Any, BaseException, str]) -> None:
        index, kind, error, traceback = item
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # whatever its class's methods raise
            error = RuntimeError(f"{kind.__name__}: {error}")
        self._queue.put((index, type(error), error, traceback))


class _Checked(gymnasium.Wrapper):
    """Checks and converts what an environment returns, as `InTurn` does."""

    def __init__(self, env: Any, name: str) -> None:
        super().__init__(env)
        self._name, self._row = name, slots(env.observation_space, 1)

    def reset(self, **keywords: Any) -> tuple[Any, Any]:
        """As the environment's."""
        obs, info = answers.of_reset(self.env.reset(**keywords), self._name)
        return self._converted(obs), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, Any]:
        """As the environment's; nothing follows a termination, so it may lack an observation."""
        obs, reward, terminated, truncated, info = answers.of_step(
            self.env.step(action), self._name
        )
        obs = None if obs is None and terminated else self._converted(obs)
        return obs, reward, terminated, truncated, info

    def set_wrapper_attr(self, name: str, value: Any, **_: Any) -> None:  # type: ignore[override]
        """Sets an attribute of the environment inside all wrappers."""
        setattr(self.unwrapped, name, value)

    def _converted(self, obs: Any) -> Any:
        self._row.put(0, obs, self._name)
        return self._row.row(0)
