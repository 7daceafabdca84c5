"""The environment that a user passes: as one vector environment, and as `get_env` returns it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakMethod

from fasttrpo.core import backend
from fasttrpo.sb3.view import VecEnvView
from fasttrpo.settings import Settings
from fasttrpo.stream.make import as_vector_env, is_maker, user_env

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

    from fasttrpo.protocols import EnvLike


def vector_env(env: EnvLike, n_envs: int = 1, settings: Settings | None = None) -> VectorEnv:
    """Whatever `TRPO` accepts as an environment, as a `VectorEnv`. Errors: see `as_vector_env`.

    n_envs    how many to make, if they are made
    settings  the model's: `env_backend`, `n_threads` and `env_kwargs` of environments that are made
    """
    if settings is None:
        return as_vector_env(_to_gymnasium(env), n_envs)
    n_threads = settings.n_threads or backend.n_threads()
    return as_vector_env(
        _to_gymnasium(env), n_envs, settings.env_backend, n_threads, settings.env_kwargs
    )


def _to_gymnasium(env: Any) -> Any:
    """An SB3 `VecEnv` or a view as a `VectorEnv`; anything else unchanged."""
    if is_maker(env):
        return env
    if isinstance(env, VecEnvView):
        return env.vector_env
    from fasttrpo.sb3.env import WrappedVecEnv, is_vec_env

    return WrappedVecEnv(env) if is_vec_env(env) else env


def returned_env(vector_env: Any, given: Any, on_move: Callable[[Any], Any]) -> Any:
    """What `TRPO.get_env` returns: `given` if that is a vector environment, else a view of
    `vector_env` with a `VecEnv`'s calls.

    on_move  a method that the view calls before it steps or resets the environments; held weakly,
             because a view must not keep a model in memory
    """
    if user_env(vector_env) is given:
        return given
    weak = WeakMethod(on_move)
    return VecEnvView(vector_env, lambda env: (method := weak()) and method(env))
