"""What a task is: its model, and observation, reward, termination and start over a batch.

Written for E simulations at once, over the batch's live views (`mujoco.batch.Batch.bind`), in
float64. The eleven tasks follow Gymnasium's v5 environments of the same names, whose documentation
describes each; where a formula's order of operations decides the last bit, it is theirs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np


@dataclass
class Task:
    """The base of every task: a dataclass whose fields are the task's keyword arguments.

    `xml_file` is a path, a file that ships with Gymnasium, or a `mujoco.MjModel`.

    A subclass writes `observe` and `score`, and what else it needs of `remember`, `reset_info`
    and `start`. `bind` has given it, by then:

        batch       the simulations: `batch.bind(name)` is a live (E, ...) view of an mjData field
        model       the mjModel that all of them share
        qpos qvel ctrl      (E, nq) (E, nv) (E, nu), live; writing to them is the batch env's
        init_qpos init_qvel (nq,) (nv,): the model's own start
        dt          seconds between two steps: frame_skip times the model's time step
    """

    xml_file: Any
    frame_skip: int
    default_camera_config: dict[str, Any] | None = None

    # The attributes, arrays (E, ...), that `remember` sets: with them simulations can be saved.
    remembered: ClassVar[tuple[str, ...]] = ()

    @property
    def contact_forces(self) -> bool:
        """Whether it looks at cfrc_ext, cfrc_int or cacc, which cost extra (see forces.py)."""
        return False

    def bind(self, batch: Any) -> None:
        """Takes views of the batch; called once, before anything else."""
        self.batch, self.model = batch, batch.model
        self.qpos, self.qvel, self.ctrl = map(batch.bind, ("qpos", "qvel", "ctrl"))
        self.init_qpos = np.array(batch.model.qpos0)
        self.init_qvel = np.zeros(batch.model.nv)
        self.dt = batch.model.opt.timestep * self.frame_skip

    def remember(self) -> None:
        """Before each step: keeps what `score` compares with (positions, for velocities)."""

    def observe(self) -> np.ndarray:
        """(E, O) float64, a new array: what the agent sees now."""
        raise NotImplementedError

    def score(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """After a step: reward (E,), terminated (E,) bool, infos (E, ...), all new arrays.

        actions  (E, A) as given to `step`, in the caller's dtype
        """
        raise NotImplementedError

    def reset_info(self) -> dict[str, np.ndarray]:
        """Infos (E, ...) of a start, new arrays; `score`'s infos have these keys too."""
        return {}

    def start(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """One simulation's first qpos (nq,) and qvel (nv,), drawn from its own stream."""
        return self.init_qpos, self.init_qvel

    @classmethod
    def arguments(cls) -> list[str]:
        """The names of its keyword arguments."""
        return [field.name for field in fields(cls)]


def uniform_start(task: Any, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """qpos and qvel off the model's start by U(-s, s), s = task.reset_noise_scale."""
    low, high = -task.reset_noise_scale, task.reset_noise_scale
    qpos = task.init_qpos + rng.uniform(low=low, high=high, size=task.model.nq)
    return qpos, task.init_qvel + rng.uniform(low=low, high=high, size=task.model.nv)


def normal_start(task: Any, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """qpos off the model's start by U(-s, s), qvel by N(0, s^2), s = task.reset_noise_scale."""
    scale = task.reset_noise_scale
    qpos = task.init_qpos + rng.uniform(low=-scale, high=scale, size=task.model.nq)
    return qpos, task.init_qvel + scale * rng.standard_normal(task.model.nv)


def squares(rows: np.ndarray) -> np.ndarray:
    """(E, ...) -> (E,): each row's sum of squares, in the rows' own dtype.

    Gymnasium sums float32 actions in float32, so the order of the sum shows in the seventh digit:
    NumPy adds a row of a contiguous array as it adds an array of that length.
    """
    return np.add.reduce(np.square(rows.reshape(len(rows), -1)), axis=1)


def norms(rows: np.ndarray) -> np.ndarray:
    """(E, n) -> (E,): each row's Euclidean length."""
    return np.sqrt(np.add.reduce(np.square(rows), axis=1))


def inside(values: np.ndarray, bounds: Iterable[float]) -> np.ndarray:
    """Whether bounds[0] < values < bounds[1], both exclusive."""
    low, high = bounds
    return (low < values) & (values < high)


def never(task: Task) -> np.ndarray:
    """(E,) False: a task that only a step limit ends."""
    return np.zeros(len(task.qpos), dtype=bool)
