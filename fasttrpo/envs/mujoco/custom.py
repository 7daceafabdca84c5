"""The door for a model of one's own: an MJCF file and a few functions.

A reaching arm, whole. The functions see all E simulations at once, through the batch's live views:
`batch.qpos` is (E, nq), `batch.xpos` (E, nbody, 3), any field of mjData that
`mujoco.batch.Batch.bind` takes; what they return is new, never a view.

    import numpy as np
    from fasttrpo.envs import mujoco

    def observation(batch):                     # -> (E, O)
        return np.concatenate([batch.qpos, batch.qvel, batch.site_xpos[:, 0]], axis=1)

    def reward(batch, actions):                 # -> (E,)
        return -np.linalg.norm(batch.site_xpos[:, 0] - TARGET, axis=1) - 0.1 * (actions**2).sum(1)

    def terminated(batch):                      # -> (E,) bool; without it, the step limit alone
        return np.abs(batch.qvel).max(axis=1) > 50

    def start(model, rng):                      # -> one simulation's qpos (nq,), qvel (nv,)
        return model.qpos0 + rng.uniform(-0.1, 0.1, model.nq), np.zeros(model.nv)

    env = mujoco.from_model(
        "arm.xml", observation, reward, terminated=terminated, start=start,
        num_envs=64, frame_skip=5, max_episode_steps=200,
    )
    TRPO("MlpPolicy", env).learn(100_000)

(The same, run: `tests/test_mujoco_custom.py`.) A reward that compares with the state before the
step, infos, or arguments of one's own: subclass `fasttrpo.envs.mujoco.Task`, as `planar.py` does,
and pass an instance to `MujocoVectorEnv`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fasttrpo.envs.mujoco.task import Task, never
from fasttrpo.errors import UserError

if TYPE_CHECKING:
    from fasttrpo.envs.mujoco.batch_env import MujocoVectorEnv

Start = Callable[[Any, np.random.Generator], tuple[np.ndarray, np.ndarray]]


@dataclass
class FunctionsTask(Task):
    """A task of functions (see the module's docstring); what each returns is checked."""

    observation: Callable[[Any], np.ndarray] | None = None
    reward: Callable[[Any, np.ndarray], np.ndarray] | None = None
    terminated: Callable[[Any], np.ndarray] | None = None
    first: Start | None = None
    forces: bool = False

    @property
    def contact_forces(self):
        return self.forces

    def bind(self, batch):
        """Tries the functions once: what they look at is bound from then on, before any step."""
        super().bind(batch)
        with np.errstate(all="ignore"):
            self.observe()
            self.score(np.zeros(self.ctrl.shape))

    def observe(self):
        obs = np.array(self.observation(self.batch), dtype=np.float64)
        if obs.ndim != 2 or len(obs) != self.batch.nsim:
            raise UserError(_wrong("observation", obs, f"({self.batch.nsim}, O)"))
        return obs

    def score(self, actions):
        reward = self._vector("reward", self.reward(self.batch, actions), np.float64)
        if self.terminated is None:
            return reward, never(self), {}
        return reward, self._vector("terminated", self.terminated(self.batch), bool), {}

    def start(self, rng):
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
    observation: Callable[[Any], np.ndarray],
    reward: Callable[[Any, np.ndarray], np.ndarray],
    *,
    terminated: Callable[[Any], np.ndarray] | None = None,
    start: Start | None = None,
    num_envs: int = 1,
    frame_skip: int = 1,
    contact_forces: bool = False,
    **kwargs: Any,
) -> MujocoVectorEnv:
    """A `MujocoVectorEnv` of a model of one's own; the module's docstring shows one.

    model           an MJCF file, or a `mujoco.MjModel`
    observation     batch -> (E, O)
    reward          batch, actions (E, A) -> (E,), after each step
    terminated      batch -> (E,) bool; None: never
    start           model, random generator -> qpos (nq,), qvel (nv,); None: the model's own
    frame_skip      steps of MuJoCo in one of the environment's
    contact_forces  whether a function reads cfrc_ext, cfrc_int or cacc
    kwargs          `MujocoVectorEnv`'s: max_episode_steps, n_threads, autoreset_mode, ...

    ValueError where a function returns another shape, ImportError without MuJoCo.
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
