"""Reacher and Pusher: an arm moves its tip, or an object, to a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fasttrpo.envs.mujoco.task import Scored, Start, Task, never, norms, squares


class _Arm(Task):
    """Tasks that read the positions of bodies."""

    def bind(self, batch: Any) -> None:
        super().bind(batch)
        self._xpos = batch.bind("xpos")

    def _body(self, name: str) -> np.ndarray:
        """(E, 3): the position of a body."""
        return self._xpos[:, self.model.body(name).id]


@dataclass
class Reacher(_Arm):
    """reward = -w_d |fingertip - target| - w_c |a|^2; never terminates."""

    xml_file: str = "reacher.xml"
    frame_skip: int = 2
    reward_dist_weight: float = 1
    reward_control_weight: float = 1

    def bind(self, batch: Any) -> None:
        super().bind(batch)
        self._fingertip, self._target = self._body("fingertip"), self._body("target")

    def observe(self) -> np.ndarray:
        theta, gap = self.qpos[:, :2], self._fingertip - self._target
        parts = (np.cos(theta), np.sin(theta), self.qpos[:, 2:], self.qvel[:, :2], gap[:, :2])
        return np.concatenate(parts, axis=1)

    def score(self, actions: np.ndarray) -> Scored:
        distance = -norms(self._fingertip - self._target) * self.reward_dist_weight
        control = -squares(actions) * self.reward_control_weight
        infos = {"reward_dist": distance, "reward_ctrl": control}
        return distance + control, never(self), infos

    def start(self, rng: np.random.Generator) -> Start:
        """The arm near its initial pose, the target uniform within 0.2 of the centre."""
        qpos = rng.uniform(low=-0.1, high=0.1, size=self.model.nq) + self.init_qpos
        goal = rng.uniform(low=-0.2, high=0.2, size=2)
        while not np.linalg.norm(goal) < 0.2:
            goal = rng.uniform(low=-0.2, high=0.2, size=2)
        qpos[-2:] = goal
        qvel = self.init_qvel + rng.uniform(low=-0.005, high=0.005, size=self.model.nv)
        qvel[-2:] = 0
        return qpos, qvel


@dataclass
class Pusher(_Arm):
    """reward = -w_n |object - tip| - w_d |object - goal| - w_c |a|^2; never terminates."""

    xml_file: str = "pusher_v5.xml"
    frame_skip: int = 5
    reward_near_weight: float = 0.5
    reward_dist_weight: float = 1
    reward_control_weight: float = 0.1

    def bind(self, batch: Any) -> None:
        super().bind(batch)
        names = ("tips_arm", "object", "goal")
        self._tip, self._object, self._goal = map(self._body, names)

    def observe(self) -> np.ndarray:
        places = (self._tip, self._object, self._goal)
        return np.concatenate((self.qpos[:, :7], self.qvel[:, :7], *places), axis=1)

    def score(self, actions: np.ndarray) -> Scored:
        near = -norms(self._object - self._tip) * self.reward_near_weight
        distance = -norms(self._object - self._goal) * self.reward_dist_weight
        control = -squares(actions) * self.reward_control_weight
        infos = {"reward_dist": distance, "reward_ctrl": control, "reward_near": near}
        return distance + control + near, never(self), infos

    def start(self, rng: np.random.Generator) -> Start:
        """The arm in its initial pose, the object on one side, over 0.17 from the goal."""
        place = self._object_place(rng)
        while not np.linalg.norm(place) > 0.17:
            place = self._object_place(rng)
        qpos = self.init_qpos.copy()
        qpos[-4:-2], qpos[-2:] = place, 0.0
        qvel = self.init_qvel + rng.uniform(low=-0.005, high=0.005, size=self.model.nv)
        qvel[-4:] = 0
        return qpos, qvel

    @staticmethod
    def _object_place(rng: np.random.Generator) -> np.ndarray:
        x = rng.uniform(low=-0.3, high=0, size=1)
        return np.concatenate((x, rng.uniform(low=-0.2, high=0.2, size=1)))
