"""Environments of your own model: an MJCF file and a few functions.

A complete example, a reaching arm. The functions handle all E simulations at once, on live views of
the batch: `batch.qpos` is (E, nq), `batch.xpos` is (E, nbody, 3), and likewise any field of mjData
that `mujoco.batch.Batch.bind` accepts. They return new arrays, never views.

    import numpy as np
    from fasttrpo.envs import mujoco

    def observation(batch):                     # -> (E, O)
        return np.concatenate([batch.qpos, batch.qvel, batch.site_xpos[:, 0]], axis=1)

    def reward(batch, actions):                 # -> (E,)
        return -np.linalg.norm(batch.site_xpos[:, 0] - TARGET, axis=1) - 0.1 * (actions**2).sum(1)

    def terminated(batch):                      # -> (E,) bool; optional
        return np.abs(batch.qvel).max(axis=1) > 50

    def start(model, rng):                      # -> one simulation's qpos (nq,), qvel (nv,)
        return model.qpos0 + rng.uniform(-0.1, 0.1, model.nq), np.zeros(model.nv)

    env = mujoco.from_model(
        "arm.xml", observation, reward, terminated=terminated, start=start,
        num_envs=64, frame_skip=5, max_episode_steps=200,
    )
    TRPO("MlpPolicy", env).learn(100_000)

`tests/test_mujoco_custom.py` runs it. For a reward that depends on the state before the step, for
infos or for keyword arguments, subclass `fasttrpo.envs.mujoco.Task`, as `planar.py` does, and pass
an instance to `MujocoVectorEnv`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fasttrpo.envs.mujoco.task import Scored, Start, Task, never
from fasttrpo.errors import UserError

if TYPE_CHECKING:
    from fasttrpo.envs.mujoco.batch_env import MujocoVectorEnv

Observe = Callable[[Any], np.ndarray]
Reward = Callable[[Any, np.ndarray], np.ndarray]
Draw = Callable[[Any, np.random.Generator], Start]


@dataclass(kw_only=True)
class FunctionsTask(Task):
    """A task defined by functions (see the module's docstring). Checks their results."""

    observation: Observe
    reward: Reward
    terminated: Observe | None = None
    first: Draw | None = None
    forces: bool = False

    @property
    def contact_forces(self) -> bool:
        return self.forces

    def bind(self, batch: Any) -> None:
        """Calls the functions once, so that the fields they read are bound before any step."""
        super().bind(batch)
        with np.errstate(all="ignore"):
            self.observe()
            self.score(np.zeros(self.ctrl.shape))

    def observe(self) -> np.ndarray:
        obs = np.array(self.observation(self.batch), dtype=np.float64)
        if obs.ndim != 2 or len(obs) != self.batch.nsim:
            raise UserError(_wrong("observation", obs, f"({self.batch.nsim}, O)"))
        return obs

    def score(self, actions: np.ndarray) -> Scored:
        reward = self._vector("reward", self.reward(self.batch, actions), np.float64)
        if self.terminated is None:
            return reward, never(self), {}
        return reward, self._vector("terminated", self.terminated(self.batch), bool), {}

    def start(self, rng: np.random.Generator) -> Start:
        if self.first is None:
            return self.init_qpos, self.init_qvel
        qpos, qvel = map(np.asarray, self.first(self.model, rng))
        for name, got, size in (("qpos", qpos, self.model.nq), ("qvel", qvel, self.model.nv)):
            if got.shape != (size,):
                raise UserError(_wrong(f"start: {name}", got, f"({size},)"))
        return qpos, qvel

    def _vector(self, name: str, values: Any, dtype: Any) -> np.ndarray:
        values = np.array(values)
        if values.shape != (self.batch.nsim,):
            raise UserError(_wrong(name, values, f"({self.batch.nsim},)"))
        if dtype is bool and values.dtype != bool:
            raise UserError(f"{name} returned {values.dtype}, expected bool")
        return values.astype(dtype)


def _wrong(name: str, got: np.ndarray, expected: str) -> str:
    return f"{name} returned an array of shape {got.shape}, expected {expected}"


def from_model(
    model: Any,
    observation: Observe,
    reward: Reward,
    *,
    terminated: Observe | None = None,
    start: Draw | None = None,
    num_envs: int = 1,
    frame_skip: int = 1,
    contact_forces: bool = False,
    **kwargs: Any,
) -> MujocoVectorEnv:
    """Makes a `MujocoVectorEnv` of your own model; the module's docstring has an example.

    model           an MJCF file, or a `mujoco.MjModel`
    observation     batch -> (E, O)
    reward          batch, actions (E, A) -> (E,), after each step
    terminated      batch -> (E,) bool; None: never
    start           model, random generator -> qpos (nq,), qvel (nv,); None: the model's own
    frame_skip      steps of MuJoCo per step of the environment
    contact_forces  whether a function reads cfrc_ext, cfrc_int or cacc
    kwargs          as in `MujocoVectorEnv`: max_episode_steps, n_threads, autoreset_mode, ...

    Raises ValueError if a function returns the wrong shape, ImportError without MuJoCo.
    """
    from fasttrpo.envs.mujoco.versions import require_mujoco

    library = require_mujoco()
    from fasttrpo.envs.mujoco.batch_env import MujocoVectorEnv

    if not isinstance(model, library.MjModel):
        model = os.path.abspath(os.path.expanduser(model))
    task = FunctionsTask(
        model,
        frame_skip,
        observation=observation,
        reward=reward,
        terminated=terminated,
        first=start,
        forces=contact_forces,
    )
    return MujocoVectorEnv(task, num_envs, **kwargs)
