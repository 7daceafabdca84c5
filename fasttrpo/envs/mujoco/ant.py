"""Ant: four legs, in three dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fasttrpo.envs.mujoco.task import Scored, Task, never, normal_start, norms, squares


@dataclass
class Ant(Task):
    """reward = w_f dx/dt + [healthy] r_h - w_c |a|^2 - w_k |clip(cfrc_ext)|^2.

    dx is the displacement of `main_body` (an index or a name) in one step. Healthy: the state is
    finite and the height within its range, bounds included.
    """

    xml_file: str = "ant.xml"
    frame_skip: int = 5
    forward_reward_weight: float = 1
    ctrl_cost_weight: float = 0.5
    contact_cost_weight: float = 5e-4
    healthy_reward: float = 1.0
    main_body: int | str = 1
    terminate_when_unhealthy: bool = True
    healthy_z_range: tuple[float, float] = (0.2, 1.0)
    contact_force_range: tuple[float, float] = (-1.0, 1.0)
    reset_noise_scale: float = 0.1
    exclude_current_positions_from_observation: bool = True
    include_cfrc_ext_in_observation: bool = True

    start = normal_start

    @property
    def contact_forces(self) -> bool:
        return bool(self.include_cfrc_ext_in_observation or self.contact_cost_weight)

    def bind(self, batch: Any) -> None:
        super().bind(batch)
        body = self.model.body(self.main_body).id
        self._xy = batch.bind("xpos")[:, body, :2]
        self._forces = batch.bind("cfrc_ext")

    remembered = ("_xy_before",)

    def remember(self) -> None:
        self._xy_before = self._xy.copy()

    def _contact_forces(self) -> np.ndarray:
        """(E, nbody, 6)"""
        return np.clip(self._forces, *self.contact_force_range)

    def observe(self) -> np.ndarray:
        skip = 2 * bool(self.exclude_current_positions_from_observation)
        parts = [self.qpos[:, skip:], self.qvel]
        if self.include_cfrc_ext_in_observation:
            parts.append(self._contact_forces()[:, 1:].reshape(len(self.qpos), -1))
        return np.concatenate(parts, axis=1)

    def _healthy(self) -> np.ndarray:
        low, high = self.healthy_z_range
        height = self.qpos[:, 2]
        finite = np.isfinite(self.qpos).all(axis=1) & np.isfinite(self.qvel).all(axis=1)
        return finite & (low <= height) & (height <= high)

    def score(self, actions: np.ndarray) -> Scored:
        healthy = self._healthy()
        x_velocity, y_velocity = ((self._xy - self._xy_before) / self.dt).T.copy()
        forward = x_velocity * self.forward_reward_weight
        survive = healthy * self.healthy_reward
        control = self.ctrl_cost_weight * squares(actions)
        contact = self.contact_cost_weight * squares(self._contact_forces())
        infos = {
            **self.reset_info(),
            "x_velocity": x_velocity,
            "y_velocity": y_velocity,
            "reward_forward": forward,
            "reward_ctrl": -control,
            "reward_contact": -contact,
            "reward_survive": survive,
        }
        terminated = ~healthy if self.terminate_when_unhealthy else never(self)
        return forward + survive - (control + contact), terminated, infos

    def reset_info(self) -> dict[str, np.ndarray]:
        return {
            "x_position": self.qpos[:, 0].copy(),
            "y_position": self.qpos[:, 1].copy(),
            "distance_from_origin": norms(self.qpos[:, :2]),
        }
