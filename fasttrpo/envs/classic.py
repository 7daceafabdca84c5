"""Classic control, compiled: Gymnasium's physics, spaces, limits and rewards in C (csrc/envs)."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

from fasttrpo.core import source_tree

# The package of Gymnasium's classes; a user may have registered another class under the same id.
_GYMNASIUM = "gymnasium.envs.classic_control."

IDS = ("CartPole-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1")


def make(name: str, num_envs: int = 1, **keywords: Any) -> Any:
    """`num_envs` compiled environments; keywords as in `CompiledVectorEnv`."""
    from fasttrpo.envs.compiled import CompiledVectorEnv

    return CompiledVectorEnv(name, num_envs, **keywords)


def native(env_id: str, n_threads: int | None = None) -> Callable[..., Any] | None:
    """Returns a function that makes the compiled environments of a Gymnasium id, or None.

    Also None if the extension is missing, or the id no longer names Gymnasium's environment.
    `n_threads` has no effect: rollouts step these environments on the agent's threads.
    """
    if env_id not in IDS or not has_extension():
        return None
    import gymnasium

    spec = gymnasium.registry.get(env_id)
    is_own = spec is not None and str(spec.entry_point).startswith(_GYMNASIUM)
    return partial(make, env_id) if is_own else None


def missing(env_id: str) -> str | None:
    """What to install for one of `IDS`; None if nothing is missing."""
    if env_id not in IDS or has_extension():
        return None
    return f"compiled environments are missing here: {source_tree.remedy()}"


def keywords(env_id: str) -> set[str]:
    """The keyword arguments of Gymnasium's environment that `native` accepts too."""
    if env_id not in IDS:
        return set()
    from fasttrpo.core import _envs

    compiled = _envs.Envs(env_id)
    return {*compiled.options, "max_episode_steps"} - {*compiled.reset_options}


def has_extension() -> bool:
    """Whether this installation has the compiled environments."""
    return importlib.util.find_spec("fasttrpo.core._envs") is not None


def entry_points() -> dict[str, str]:
    """Gymnasium's id -> the entry point of a compiled vector environment; {} without extension."""
    return {name: f"{__name__}:{_attribute(name)}" for name in IDS if has_extension()}


def _attribute(name: str) -> str:
    return name.replace("-", "_")


def __getattr__(name: str) -> Callable[..., Any]:
    """The entry points: `CartPole_v1` etc. are `make` for that environment."""
    for each in IDS:
        if _attribute(each) == name:
            return partial(make, each)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
