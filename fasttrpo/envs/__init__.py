"""Environments that step many simulations at once, each an ordinary Gymnasium `VectorEnv`.

    from fasttrpo.envs import CompiledVectorEnv

    env = CompiledVectorEnv("CartPole-v1", num_envs=64)
    env = CompiledVectorEnv("./my_sim.so", num_envs=64)         # csrc/include/trpo_env.h
    env = CompiledVectorEnv("./my_sim.py:walk", num_envs=64)    # a NumbaEnvironment: envs/python
    env = fasttrpo.envs.mujoco.make("HalfCheetah-v5", num_envs=64)

Gymnasium knows them too, as `fasttrpo/CartPole-v1` and so on, once they are registered:

    fasttrpo.envs.register()
    env = gymnasium.make_vec("fasttrpo/CartPole-v1", num_envs=64)

or in one line, where Gymnasium imports this package and so has it register itself:

    env = gymnasium.make_vec("fasttrpo.envs:fasttrpo/CartPole-v1", num_envs=64)

(Gymnasium 1.0 and later load no plugins by themselves.) Importing this package imports neither
Gymnasium nor a simulator.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

NAMESPACE = "fasttrpo/"

# Each has `native(name)` and `register(namespace)`, and is light to import.
_PROVIDERS = ("classic", "mujoco")
# Public name -> the module of this package that defines it.
_HOME = {
    "CompileError": "failures",
    "CompiledVectorEnv": "compiled",
    "NumbaEnvironment": "python.environment",
    "SimulationError": "failures",
    "is_definition": "python.load",
    "is_library": "library",
}

__all__ = [*_HOME, "mujoco", "native", "register"]


def native(env_id: str) -> Callable[..., Any] | None:
    """The maker of our own environment for one of Gymnasium's ids, or None if there is none.

    `maker(num_envs=..., **kwargs)` takes the same keyword arguments as Gymnasium's environment
    and returns a `VectorEnv`. None too where the simulator that it needs is missing or too old.
    """
    for provider in _PROVIDERS:
        maker = _module(provider).native(env_id.removeprefix(NAMESPACE))
        if maker is not None:
            return maker
    return None


def register() -> None:
    """Registers the environments with Gymnasium, under `fasttrpo/`; again changes nothing.

    `gymnasium.make` gives Gymnasium's own single environment under that id, `make_vec` ours.
    """
    for provider in _PROVIDERS:
        _module(provider).register(NAMESPACE)


def _module(name: str) -> Any:
    return importlib.import_module(f"fasttrpo.envs.{name}")


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(_module(_HOME[name]), name)
    if name in _PROVIDERS:
        return _module(name)
    raise AttributeError(f"module 'fasttrpo.envs' has no attribute {name!r}")


if "gymnasium" in sys.modules:
    register()
