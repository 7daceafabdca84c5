"""MuJoCo in batches: Gymnasium's eleven v5 tasks, and your own models.

    from fasttrpo.envs import mujoco

    env = mujoco.make("HalfCheetah-v5", num_envs=64, ctrl_cost_weight=0.05)     # one of the tasks
    env = mujoco.from_model("arm.xml", observation, reward, num_envs=64)        # your own model

The simulations run on the threads of `mujoco.batch.Batch`, outside the GIL. NumPy computes
observations, rewards and terminations of all simulations at once. With the same seed and actions,
an environment returns the same values as Gymnasium's `SyncVectorEnv` of the task in each autoreset
mode (`tests/test_mujoco_parity.py`). Results do not depend on the number of threads.

    batch_env.py    the vector environment: steps, autoresets, seeds, infos
    task.py         the base class; planar.py ant.py humanoid.py pendulum.py arm.py: the eleven
    custom.py       a task defined by an MJCF file and three functions
    forces.py       the batch for tasks that read contact forces
    rendering.py    images, by Gymnasium's renderer

It needs `pip install 'fasttrpo[mujoco]'`; importing this module imports no dependency.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fasttrpo.checks.suggest import unknown
from fasttrpo.errors import UserError

if TYPE_CHECKING:  # the same names for type checkers and editors
    from fasttrpo.envs.mujoco.batch_env import MujocoVectorEnv, UnstableSimulation
    from fasttrpo.envs.mujoco.custom import from_model
    from fasttrpo.envs.mujoco.task import Task

    Ant: Callable[..., MujocoVectorEnv]
    HalfCheetah: Callable[..., MujocoVectorEnv]
    Hopper: Callable[..., MujocoVectorEnv]
    Humanoid: Callable[..., MujocoVectorEnv]
    HumanoidStandup: Callable[..., MujocoVectorEnv]
    InvertedDoublePendulum: Callable[..., MujocoVectorEnv]
    InvertedPendulum: Callable[..., MujocoVectorEnv]
    Pusher: Callable[..., MujocoVectorEnv]
    Reacher: Callable[..., MujocoVectorEnv]
    Swimmer: Callable[..., MujocoVectorEnv]
    Walker2d: Callable[..., MujocoVectorEnv]

# Task -> the module that defines its class.
TASKS = {
    "Ant": "ant",
    "HalfCheetah": "planar",
    "Hopper": "planar",
    "Humanoid": "humanoid",
    "HumanoidStandup": "humanoid",
    "InvertedDoublePendulum": "pendulum",
    "InvertedPendulum": "pendulum",
    "Pusher": "arm",
    "Reacher": "arm",
    "Swimmer": "planar",
    "Walker2d": "planar",
}
IDS = tuple(f"{name}-v5" for name in TASKS)

# Public name -> its module, imported on first access.
_HOME = {
    "MujocoVectorEnv": "batch_env",
    "UnstableSimulation": "batch_env",
    "Task": "task",
    "from_model": "custom",
}

__all__ = ["IDS", "MujocoVectorEnv", "Task", "UnstableSimulation", "from_model", "make", "native"]


def make(env_id: str, num_envs: int = 1, **kwargs: Any) -> MujocoVectorEnv:
    """A `MujocoVectorEnv` of one of Gymnasium's v5 tasks.

    env_id    one of `IDS`, such as "HalfCheetah-v5"
    num_envs  number of simulations
    kwargs    those of Gymnasium's environment, and those of `MujocoVectorEnv`: n_threads,
              autoreset_mode, max_episode_steps, render_mode, ...

    Raises ValueError for an unknown id and TypeError for an unknown keyword, both naming the
    nearest known one; ImportError with the command to run if MuJoCo is missing or too old.
    """
    if env_id not in IDS:
        raise UserError(unknown("MuJoCo environment", env_id, IDS))
    from fasttrpo.envs.mujoco.versions import require_mujoco

    require_mujoco()
    return _module("batch_env").make_task(env_id, num_envs, kwargs)


def native(env_id: str, n_threads: int | None = None) -> Callable[..., Any] | None:
    """`make` for this id; None if it is not in `IDS`, or MuJoCo is missing or too old."""
    if env_id not in IDS:
        return None
    from fasttrpo.envs.mujoco.versions import has_mujoco

    return functools.partial(make, env_id, n_threads=n_threads) if has_mujoco() else None


def missing(env_id: str) -> str | None:
    """What to install for one of `IDS`; None if nothing is missing."""
    if env_id not in IDS:
        return None
    from fasttrpo.envs.mujoco.versions import what_is_missing

    return what_is_missing()


def keywords(env_id: str) -> set[str]:
    """The keyword arguments of Gymnasium's environment that `native` accepts too."""
    if env_id not in IDS:
        return set()
    rendering = _module("rendering").Rendering.arguments()
    return {*task_class(env_id).arguments(), *rendering, "max_episode_steps"}


def entry_points() -> dict[str, str]:
    """Gymnasium's id -> the entry point of a vector environment."""
    return {f"{name}-v5": f"{__name__}:{name}" for name in TASKS}


def task_class(env_id: str) -> Any:
    """The `Task` of an id: a dataclass whose fields are the task's keyword arguments."""
    name = env_id.removesuffix("-v5")
    return getattr(_module(TASKS[name]), name)


def _module(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name}")


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """The names in `_HOME`, and `mujoco.HalfCheetah(num_envs=...)` etc.: `make` for a task."""
        if name in TASKS:
            return functools.partial(make, f"{name}-v5")
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(_module(_HOME[name]), name)
