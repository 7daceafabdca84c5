"""Any environment that a user passes, as one vector environment."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from fasttrpo.checks.suggest import nearest
from fasttrpo.core import source_tree
from fasttrpo.errors import UserError, UserImportError, UserTypeError
from fasttrpo.stream import answers, makers
from fasttrpo.stream.ownership import close_at_end, kept

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv


def as_vector_env(
    env: Any,
    n_envs: int = 1,
    env_backend: str | None = None,
    n_threads: int | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
) -> VectorEnv:
    """An environment id, a shared library, a `NumbaEnvironment`, a class or function that makes
    environments, a `gymnasium.Env` or `VectorEnv` as a `VectorEnv`. `sb3.convert.vector_env`
    accepts SB3's environments too.

    An Env is wrapped, not copied, and stays open when the wrapper is collected. The other
    arguments, settings of the model, apply if environments are made (`is_maker`). Raises ValueError
    if n_envs differs from the number of environments passed, or `env_kwargs` are refused; TypeError
    if `env` is not an environment; ImportError with the command that installs a missing simulator.
    """
    import gymnasium

    if is_maker(env):
        return _make(env, n_envs, env_backend, n_threads, env_kwargs or {})
    is_vector = isinstance(env, gymnasium.vector.VectorEnv)  # EnvPool's environments are both
    if isinstance(env, gymnasium.Env) and not is_vector:
        answers.check_spaces(env, "observation_space", "action_space")
        if n_envs != 1:
            raise UserError(_how_to_make_several(env, n_envs))
        env = _wrap(env)
    elif not is_vector:
        raise UserTypeError(
            "env must be an environment id, a shared library, a NumbaEnvironment, a class or "
            "function that makes environments, a gymnasium.Env, a gymnasium.vector.VectorEnv or an "
            f"SB3 VecEnv, got {answers.no_environment(env)}"
        )
    answers.check_spaces(env, "single_observation_space", "single_action_space")
    if n_envs not in (1, env.num_envs):
        raise UserError(f"n_envs={n_envs}, but the environment passed has {env.num_envs}")
    return env


def user_env(env: Any) -> Any:
    """The environment that the user passed: the wrapped `VecEnv`, if it was one."""
    return getattr(env, "vec_env", env)


def is_maker(env: Any) -> bool:
    """Whether environments are made from this: an id, a library, a `NumbaEnvironment`, a class or
    a function.
    """
    return _is_name(env) or makers.is_function(env)


def _is_name(env: Any) -> bool:
    from fasttrpo import envs

    return isinstance(env, str | os.PathLike) or envs.is_definition(env)


def check_made(env: Any, given: Mapping[str, Any]) -> None:
    """Raises ValueError if settings are given that only apply to environments that are made."""
    if is_maker(env):
        return
    what = "env_kwargs are" if given.get("env_kwargs") else ""
    what = "env_backend='async' is" if given.get("env_backend") == "async" else what
    if what:
        raise UserError(
            f"{what} for environments that are made: pass an id, a class or a function instead of "
            f"{type(env).__name__}, which exists already"
        )


def _how_to_make_several(env: Any, n_envs: int) -> str:
    spec = getattr(env, "spec", None)
    source = f"lambda: {type(env.unwrapped).__name__}(...)"
    source = f'"{spec.id}"' if spec is not None and spec.id else source
    return (
        f"n_envs={n_envs}, but one environment was passed; pass what makes them: "
        f'TRPO("MlpPolicy", {source}, n_envs={n_envs})'
    )


def _wrap(env: Any) -> Any:
    from fasttrpo.stream.in_turn import InTurn

    return kept(InTurn)([lambda: env])


def _make(
    env: Any,
    n_envs: int,
    env_backend: str | None,
    n_threads: int | None,
    env_kwargs: Mapping[str, Any],
) -> Any:
    """Makes `n_envs` environments: from a library, Python or a function, else fasttrpo's if it has
    them, else Gymnasium's. They reset in the same step, so that every row of a rollout is a step.
    """
    from fasttrpo import envs

    if envs.is_library(env) or envs.is_definition(env):
        if env_backend == "async":
            raise UserError(
                f"env_backend='async': {env} is compiled, and stepped on threads; omit the setting"
            )
        return _make_compiled(env, n_envs, env_kwargs)
    if env_backend in ("gymnasium", "async") or not isinstance(env, str):
        return _make_with_gymnasium(env, n_envs, env_kwargs, env_backend == "async")
    maker = envs.native(env, n_threads)
    if maker is None or envs.unknown_keywords(env, env_kwargs):
        return _make_instead(env, n_envs, env_backend, env_kwargs)
    with makers.naming(env, env_kwargs):
        return maker(num_envs=n_envs, **env_kwargs)


def _make_compiled(env: Any, n_envs: int, env_kwargs: Mapping[str, Any]) -> Any:
    """Environments from a library or Python; `env_kwargs` are its options."""
    from fasttrpo import envs

    options = dict(env_kwargs)
    made = envs.CompiledVectorEnv(
        env, n_envs, max_episode_steps=options.pop("max_episode_steps", None)
    )
    with makers.naming(made.name, options):
        made.envs_in_c.set_options(options)
    return made


def _make_instead(
    env_id: str, n_envs: int, env_backend: str | None, env_kwargs: Mapping[str, Any]
) -> Any:
    """Makes Gymnasium's environments; raises an error if fasttrpo's are required."""
    from fasttrpo import envs

    missing, lacks = envs.missing(env_id), envs.unknown_keywords(env_id, env_kwargs)
    if missing and (env_backend == "native" or envs.is_ours(env_id)):
        raise UserImportError(f"{env_id}: {missing}")
    if lacks:
        missing = f"fasttrpo's do not know env_kwargs {', '.join(map(repr, lacks))}"
    if env_backend == "native":
        raise UserError(
            f"env_backend='native': {missing or f'fasttrpo has no environment {env_id!r}'}"
        )
    made = _make_with_gymnasium(env_id, n_envs, env_kwargs)
    if missing and not (source_tree.has_warned() and source_tree.remedy() in missing):
        warnings.warn(
            f"{env_id}: using Gymnasium's environments, because {missing}; "
            "env_backend='gymnasium' does so without this warning",
            RuntimeWarning,
            stacklevel=5,
        )
    return made


def _make_with_gymnasium(
    source: Any, n_envs: int, env_kwargs: Mapping[str, Any], in_processes: bool = False
) -> Any:
    """Makes Gymnasium's environments. Raises ValueError with the nearest id for an unknown one."""
    import gymnasium

    maker = makers.Maker(source, env_kwargs)
    try:
        made = _in_processes(maker, n_envs) if in_processes else _in_turn(maker, n_envs)
    except (gymnasium.error.Error, ImportError) as error:
        if not isinstance(source, str):
            raise
        if in_processes or not _exists_as_batch_only(source):
            _explain(source, error)
        return _make_batch(source, n_envs, env_kwargs)
    made.spec = maker.spec
    return made


def _in_turn(maker: Any, n_envs: int) -> Any:
    from fasttrpo.stream.in_turn import InTurn

    return close_at_end(InTurn([maker] * n_envs))


def _in_processes(maker: Any, n_envs: int) -> Any:
    from fasttrpo.stream.in_processes import InProcesses

    return InProcesses([maker] * n_envs)


def _spec(env_id: str) -> Any:
    """Gymnasium's spec, or None; `module:id` has imported the module."""
    import gymnasium

    return gymnasium.registry.get(env_id.rpartition(":")[2])


def _exists_as_batch_only(env_id: str) -> bool:
    spec = _spec(env_id)
    return spec is not None and spec.entry_point is None and spec.vector_entry_point is not None


def _make_batch(env_id: str, n_envs: int, env_kwargs: Mapping[str, Any]) -> Any:
    import gymnasium

    how = "vector_entry_point"
    with makers.naming(env_id, env_kwargs):
        return gymnasium.make_vec(env_id, num_envs=n_envs, vectorization_mode=how, **env_kwargs)


def _explain(env_id: str, error: Exception) -> NoReturn:
    """Raises an error that says what to do about `error`, if that is known, else `error`."""
    import gymnasium

    from fasttrpo import envs

    if _spec(env_id) is None:
        raise UserError(f"unknown environment id {env_id!r}; {_hint(env_id, error)}") from error
    missing = envs.missing(env_id)
    if missing and isinstance(error, gymnasium.error.DependencyNotInstalled):
        raise UserImportError(f"{env_id}: {missing}") from error
    raise error


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
