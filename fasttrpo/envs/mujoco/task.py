"""`Task`: a model, and observations, rewards, terminations and initial states of its simulations.

Tasks compute E simulations at once, on the batch's live views (`mujoco.batch.Batch.bind`), in
float64. The eleven tasks follow Gymnasium's v5 environments of the same names, which Gymnasium
documents. Formulas keep Gymnasium's order of operations, so that results agree to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

Scored = tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]
Start = tuple[np.ndarray, np.ndarray]


@dataclass
class Task:
    """Base class of tasks: a dataclass whose fields are the task's keyword arguments.

    `xml_file` is a path, a file that ships with Gymnasium, or a `mujoco.MjModel`.

    A subclass defines `observe` and `score`, and overrides `remember`, `reset_info` and `start` if
    needed. They can use what `bind` has set:

        batch       the simulations: `batch.bind(name)` is a live (E, ...) view of an mjData field
        model       the mjModel that they share
        qpos qvel ctrl      (E, nq) (E, nv) (E, nu), live; only the vector environment writes them
        init_qpos init_qvel (nq,) (nv,): the model's initial state
        dt          seconds between two steps: frame_skip times the model's time step
    """

    xml_file: Any
    frame_skip: int
    default_camera_config: dict[str, Any] | None = None

    # Names of the arrays (E, ...) that `remember` sets, which saved simulations include.
    remembered: ClassVar[tuple[str, ...]] = ()

    @property
    def contact_forces(self) -> bool:
        """Whether it reads cfrc_ext, cfrc_int or cacc, which take extra time (see forces.py)."""
        return False

    def bind(self, batch: Any) -> None:
        """Stores views of the batch; called once, before any other method."""
        self.batch, self.model = batch, batch.model
        self.qpos, self.qvel, self.ctrl = map(batch.bind, ("qpos", "qvel", "ctrl"))
        self.init_qpos = np.array(batch.model.qpos0)
        self.init_qvel = np.zeros(batch.model.nv)
        self.dt = batch.model.opt.timestep * self.frame_skip

    def remember(self) -> None:
        """Called before each step: stores values that `score` needs, such as positions."""

    def observe(self) -> np.ndarray:
        """The observations (E, O) float64, a new array."""
        raise NotImplementedError

    def score(self, actions: np.ndarray) -> Scored:
        """Called after a step: reward (E,), terminated (E,) bool, infos (E, ...), all new arrays.

        actions  (E, A) as passed to `step`, in the caller's dtype
        """
        raise NotImplementedError

    def reset_info(self) -> dict[str, np.ndarray]:
        """Infos (E, ...) of a reset, new arrays; `score` returns these keys too."""
        return {}

    def start(self, rng: np.random.Generator) -> Start:
        """One simulation's initial qpos (nq,) and qvel (nv,); `rng` is its own generator."""
        return self.init_qpos, self.init_qvel

    @classmethod
    def arguments(cls) -> list[str]:
        """The names of its keyword arguments."""
        return [field.name for field in fields(cls)]


def uniform_start(task: Any, rng: np.random.Generator) -> Start:
    """The model's initial qpos and qvel plus U(-s, s), s = task.reset_noise_scale."""
    low, high = -task.reset_noise_scale, task.reset_noise_scale
    qpos = task.init_qpos + rng.uniform(low=low, high=high, size=task.model.nq)
    return qpos, task.init_qvel + rng.uniform(low=low, high=high, size=task.model.nv)


def normal_start(task: Any, rng: np.random.Generator) -> Start:
    """The model's initial qpos plus U(-s, s), qvel plus N(0, s^2), s = task.reset_noise_scale."""
    scale = task.reset_noise_scale
    qpos = task.init_qpos + rng.uniform(low=-scale, high=scale, size=task.model.nq)
    return qpos, task.init_qvel + scale * rng.standard_normal(task.model.nv)


def squares(rows: np.ndarray) -> np.ndarray:
    """(E, ...) -> (E,): each row's sum of squares, in the dtype of the rows.

    Gymnasium sums float32 actions in float32, so the order of summation affects the seventh digit.
    NumPy sums a row of a contiguous array in the same order as an array of that length.
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
    """(E,) False, for tasks that never terminate."""
    return np.zeros(len(task.qpos), dtype=bool)
