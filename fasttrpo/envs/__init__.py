"""Environments that step many simulations at once. Each is an ordinary Gymnasium `VectorEnv`.

    from fasttrpo.envs import CompiledVectorEnv

    env = CompiledVectorEnv("CartPole-v1", num_envs=64)
    env = CompiledVectorEnv("./my_sim.so", num_envs=64)         # csrc/include/trpo_env.h
    env = CompiledVectorEnv("./my_sim.py:walk", num_envs=64)    # a NumbaEnvironment: envs/python
    env = fasttrpo.envs.mujoco.make("HalfCheetah-v5", num_envs=64)

Registered with Gymnasium, their ids start with `fasttrpo/`:

    fasttrpo.envs.register()
    env = gymnasium.make_vec("fasttrpo/CartPole-v1", num_envs=64)

or in one line, because this package registers them if Gymnasium was imported before it:

    env = gymnasium.make_vec("fasttrpo.envs:fasttrpo/CartPole-v1", num_envs=64)

(Gymnasium 1.0 and later do not load plugins.) Importing this package imports neither Gymnasium nor
a simulator.
"""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names for type checkers and editors
    from fasttrpo.envs import classic, mujoco
    from fasttrpo.envs.compiled import CompiledVectorEnv
    from fasttrpo.envs.definition import is_definition
    from fasttrpo.envs.failures import CompileError, SimulationError
    from fasttrpo.envs.names import is_library
    from fasttrpo.envs.python.environment import NumbaEnvironment

NAMESPACE = "fasttrpo/"
MODULE = "fasttrpo.envs:"

# Modules with `native(name, n_threads)`, `missing(name)`, `keywords(name)`, `entry_points()`; quick
# to import.
_PROVIDERS = ("classic", "mujoco")
# Public name -> the module of this package that defines it.
_HOME = {
    "CompileError": "failures",
    "CompiledVectorEnv": "compiled",
    "NumbaEnvironment": "python.environment",
    "SimulationError": "failures",
    "is_definition": "definition",
    "is_library": "names",
}

__all__ = [
    "CompileError",
    "CompiledVectorEnv",
    "NumbaEnvironment",
    "SimulationError",
    "classic",
    "is_definition",
    "is_library",
    "is_ours",
    "missing",
    "mujoco",
    "native",
    "register",
    "unknown_keywords",
]


def is_ours(env_id: str) -> bool:
    """Whether the id names an environment of fasttrpo: "fasttrpo/..." or "fasttrpo.envs:..."."""
    return env_id.startswith((NAMESPACE, MODULE))


def native(env_id: str, n_threads: int | None = None) -> Callable[..., Any] | None:
    """Returns a function that makes fasttrpo's implementation of a Gymnasium environment.

    `maker(num_envs=..., **kwargs)` accepts the keyword arguments of Gymnasium's environment and
    returns a `VectorEnv`. None if there is no such implementation, or its simulator is missing or
    too old.

    n_threads  for simulations that start their own threads; None: their default
    """
    for provider in _PROVIDERS:
        maker = _module(provider).native(_plain(env_id), n_threads)
        if maker is not None:
            return maker
    return None


def unknown_keywords(env_id: str, names: Iterable[str]) -> list[str]:
    """Those of Gymnasium's keyword arguments that fasttrpo's implementation of an id lacks."""
    names = list(names)
    if not names or native(env_id) is None:
        return []
    known = next(filter(None, (_module(each).keywords(_plain(env_id)) for each in _PROVIDERS)))
    return [name for name in names if name not in known]


def missing(env_id: str) -> str | None:
    """What to install for fasttrpo's implementation of an id; None if nothing is missing."""
    reasons = (_module(provider).missing(_plain(env_id)) for provider in _PROVIDERS)
    return next(filter(None, reasons), None)


def _plain(env_id: str) -> str:
    return env_id.removeprefix(MODULE).removeprefix(NAMESPACE)


def register() -> None:
    """Registers the environments with Gymnasium under `fasttrpo/`; idempotent.

    With such an id `gymnasium.make` creates Gymnasium's environment and `make_vec` fasttrpo's, with
    the same step limit and reward threshold.
    """
    import gymnasium

    points = [_module(provider).entry_points().items() for provider in _PROVIDERS]
    for name, entry_point in itertools.chain(*points):
        spec = gymnasium.registry.get(name)
        if spec is not None and NAMESPACE + name not in gymnasium.registry:
            gymnasium.register(
                NAMESPACE + name,
                entry_point=spec.entry_point,
                vector_entry_point=entry_point,
                max_episode_steps=spec.max_episode_steps,
                reward_threshold=spec.reward_threshold,
            )


def _register_with_gymnasium() -> None:
    """Calls `register` if Gymnasium is imported already; importing it is slow."""
    if "gymnasium.envs.registration" in sys.modules:
        register()


def _module(name: str) -> Any:
    return importlib.import_module(f"fasttrpo.envs.{name}")


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in _HOME:
            found = getattr(_module(_HOME[name]), name)
            _register_with_gymnasium()
            return found
        if name in _PROVIDERS:
            return _module(name)
        raise AttributeError(f"module 'fasttrpo.envs' has no attribute {name!r}")


_register_with_gymnasium()
