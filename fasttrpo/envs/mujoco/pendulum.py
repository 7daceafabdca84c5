"""InvertedPendulum and InvertedDoublePendulum: keep a pole, or two, upright on a cart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fasttrpo.envs.mujoco.task import Scored, Task, normal_start, uniform_start


@dataclass
class InvertedPendulum(Task):
    """reward = 1 while the pole is up: |angle| <= 0.2 and a finite state."""

    xml_file: str = "inverted_pendulum.xml"
    frame_skip: int = 2
    reset_noise_scale: float = 0.01

    start = uniform_start

    def observe(self) -> np.ndarray:
        return np.concatenate((self.qpos, self.qvel), axis=1)

    def score(self, actions: np.ndarray) -> Scored:
        obs = self.observe()
        terminated = ~np.isfinite(obs).all(axis=1) | (np.abs(obs[:, 1]) > 0.2)
        survive = (~terminated).astype(np.int64)
        return survive.astype(np.float64), terminated, {"reward_survive": survive}


@dataclass
class InvertedDoublePendulum(Task):
    """reward = [alive] r_h - 0.01 x^2 - (y - 2)^2 - 0.001 v1^2 - 0.005 v2^2; alive while y > 1.

    (x, y) is the tip's position, v1 and v2 are the hinges' velocities.
    """

    xml_file: str = "inverted_double_pendulum.xml"
    frame_skip: int = 5
    healthy_reward: float = 10.0
    reset_noise_scale: float = 0.1

    start = normal_start

    def bind(self, batch: Any) -> None:
        super().bind(batch)
        self._tip = batch.bind("site_xpos")[:, 0]
        self._constraint = batch.bind("qfrc_constraint")

    def observe(self) -> np.ndarray:
        angles = self.qpos[:, 1:]
        parts = (
            self.qpos[:, :1],
            np.sin(angles),
            np.cos(angles),
            np.clip(self.qvel, -10, 10),
            np.clip(self._constraint[:, :1], -10, 10),
        )
        return np.concatenate(parts, axis=1)

    def score(self, actions: np.ndarray) -> Scored:
        x, y = self._tip[:, 0], self._tip[:, 2]
        terminated = y <= 1
        distance = 0.01 * x**2 + (y - 2) ** 2
        velocity = 1e-3 * self.qvel[:, 1] ** 2 + 5e-3 * self.qvel[:, 2] ** 2
        survive = self.healthy_reward * (~terminated).astype(np.int64)
        infos = {
            "reward_survive": survive,
            "distance_penalty": -distance,
            "velocity_penalty": -velocity,
        }
        return survive - distance - velocity, terminated, infos
