"""Any environment that a user passes, as one vector environment."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

from fasttrpo.checks.suggest import nearest
from fasttrpo.core import source_tree
from fasttrpo.errors import UserError, UserImportError, UserTypeError
from fasttrpo.stream import answers
from fasttrpo.stream.ownership import close_at_end, kept

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv


def as_vector_env(
    env: Any, n_envs: int = 1, env_backend: str | None = None, n_threads: int | None = None
) -> VectorEnv:
    """An environment id, a shared library, a `NumbaEnvironment`, a `gymnasium.Env` or `VectorEnv`
    as a `VectorEnv`. `sb3.convert.vector_env` accepts SB3's environments too.

    An Env is wrapped, not copied, and stays open when the wrapper is collected. The settings
    `n_envs`, `env_backend` and `n_threads` apply to names (`is_name`). Raises ValueError if n_envs
    differs from the number of environments passed, TypeError if `env` is not an environment, and
    ImportError with the command that installs a missing simulator.
    """
    import gymnasium

    if is_name(env):
        return _make(env, n_envs, env_backend, n_threads)
    is_vector = isinstance(env, gymnasium.vector.VectorEnv)  # EnvPool's environments are both
    if isinstance(env, gymnasium.Env) and not is_vector:
        answers.check_spaces(env, "observation_space", "action_space")
        env = _wrap(env)
    elif not is_vector:
        raise UserTypeError(
            "env must be an environment id, a shared library, a NumbaEnvironment, a gymnasium.Env, "
            "a gymnasium.vector.VectorEnv or an SB3 VecEnv, "
            f"got {answers.no_environment(env)}"
        )
    answers.check_spaces(env, "single_observation_space", "single_action_space")
    if n_envs not in (1, env.num_envs):
        raise UserError(f"n_envs={n_envs}, but the environment passed has {env.num_envs}")
    return env


def user_env(env: Any) -> Any:
    """The environment that the user passed: the wrapped `VecEnv`, if it was one."""
    return getattr(env, "vec_env", env)


def is_name(env: Any) -> bool:
    """Whether this names environments to make: an id, a library, a `NumbaEnvironment`."""
    from fasttrpo import envs

    return isinstance(env, str | os.PathLike) or envs.is_definition(env)


def _wrap(env: Any) -> Any:
    from fasttrpo.stream.in_turn import InTurn

    return kept(InTurn)([lambda: env])


def _make(name: Any, n_envs: int, env_backend: str | None, n_threads: int | None) -> Any:
    """Makes `n_envs` environments: from a library or Python, else fasttrpo's if it has them, else
    Gymnasium's. They reset in the same step, so that every row of a rollout is a step.
    """
    from fasttrpo import envs

    if envs.is_library(name) or envs.is_definition(name):
        return envs.CompiledVectorEnv(name, n_envs)
    if env_backend == "gymnasium":
        return _make_with_gymnasium(name, n_envs)
    maker = envs.native(name, n_threads)
    return _make_instead(name, n_envs, env_backend) if maker is None else maker(num_envs=n_envs)


def _make_instead(env_id: str, n_envs: int, env_backend: str | None) -> Any:
    """Makes Gymnasium's environments; raises an error if fasttrpo's are required."""
    from fasttrpo import envs

    missing = envs.missing(env_id)
    if missing and (env_backend == "native" or envs.is_ours(env_id)):
        raise UserImportError(f"{env_id}: {missing}")
    if env_backend == "native":
        raise UserError(f"env_backend='native': fasttrpo has no environment {env_id!r}")
    made = _make_with_gymnasium(env_id, n_envs)
    if missing and not (source_tree.has_warned() and source_tree.remedy() in missing):
        warnings.warn(
            f"{env_id}: using Gymnasium's environments, because {missing}; "
            "env_backend='gymnasium' does so without this warning",
            RuntimeWarning,
            stacklevel=5,
        )
    return made


def _make_with_gymnasium(env_id: str, n_envs: int) -> Any:
    """Makes Gymnasium's environments. Raises ValueError with the nearest id for an unknown one."""
    import gymnasium

    from fasttrpo import envs
    from fasttrpo.stream.in_turn import InTurn

    try:
        made = InTurn([lambda: gymnasium.make(env_id)] * n_envs)
        made.spec = made.envs[0].spec
        return close_at_end(made)
    except (gymnasium.error.Error, ImportError) as error:
        spec = gymnasium.registry.get(env_id.rpartition(":")[2])  # module:id has imported it
        if spec is not None and spec.entry_point is None and spec.vector_entry_point is not None:
            how = "vector_entry_point"
            return gymnasium.make_vec(env_id, num_envs=n_envs, vectorization_mode=how)
        if spec is not None:
            missing = envs.missing(env_id)
            if missing and isinstance(error, gymnasium.error.DependencyNotInstalled):
                raise UserImportError(f"{env_id}: {missing}") from error
            raise
        raise UserError(f"unknown environment id {env_id!r}; {_hint(env_id, error)}") from error


def _hint(env_id: str, error: Exception) -> str:
    """A suggestion for an unknown id, or Gymnasium's message."""
    import gymnasium

    if env_id.endswith(".py"):
        return f"name the environment in the file: {env_id}:NAME"
    match = nearest(env_id, gymnasium.registry)
    return f"did you mean {match!r}?" if match else str(error)


def shares(env: Any, other: Any) -> bool:
    """Whether stepping `other` steps `env`: the same object, or one of its environments."""
    return other is env or any(other is each for each in getattr(env, "envs", ()))
