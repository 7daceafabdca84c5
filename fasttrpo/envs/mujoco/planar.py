"""HalfCheetah, Hopper, Walker2d and Swimmer: move forward in a plane, at little control cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fasttrpo.envs.mujoco.task import (
    Scored,
    Task,
    inside,
    never,
    normal_start,
    norms,
    squares,
    uniform_start,
)


class _Runner(Task):
    """Tasks that reward the speed of qpos[0], the x position of the root."""

    ctrl_cost_weight: float
    forward_reward_weight: float
    exclude_current_positions_from_observation: bool

    hidden_positions = 1
    """number of positions that the observation omits by default: x, or x and y"""

    remembered = ("_x",)

    def remember(self) -> None:
        self._x = self.qpos[:, 0].copy()

    def observe(self) -> np.ndarray:
        return np.concatenate((self._positions(), self.qvel), axis=1)

    def _positions(self) -> np.ndarray:
        skip = self.hidden_positions * bool(self.exclude_current_positions_from_observation)
        return self.qpos[:, skip:]

    def _costs(self, actions: np.ndarray) -> np.ndarray:
        return self.ctrl_cost_weight * squares(actions)


@dataclass
class HalfCheetah(_Runner):
    """reward = w_f dx/dt - w_c |a|^2; never terminates."""

    xml_file: str = "half_cheetah.xml"
    frame_skip: int = 5
    forward_reward_weight: float = 1.0
    ctrl_cost_weight: float = 0.1
    reset_noise_scale: float = 0.1
    exclude_current_positions_from_observation: bool = True

    start = normal_start

    def score(self, actions: np.ndarray) -> Scored:
        x = self.qpos[:, 0].copy()
        x_velocity = (x - self._x) / self.dt
        forward, cost = self.forward_reward_weight * x_velocity, self._costs(actions)
        infos = {
            "x_position": x,
            "x_velocity": x_velocity,
            "reward_forward": forward,
            "reward_ctrl": -cost,
        }
        return forward - cost, never(self), infos

    def reset_info(self) -> dict[str, np.ndarray]:
        return {"x_position": self.qpos[:, 0].copy()}


@dataclass
class Swimmer(_Runner):
    """reward = w_f dx/dt - w_c |a|^2; never terminates."""

    xml_file: str = "swimmer.xml"
    frame_skip: int = 4
    forward_reward_weight: float = 1.0
    ctrl_cost_weight: float = 1e-4
    reset_noise_scale: float = 0.1
    exclude_current_positions_from_observation: bool = True

    hidden_positions = 2
    start = uniform_start

    remembered = ("_xy",)

    def remember(self) -> None:
        self._xy = self.qpos[:, :2].copy()

    def score(self, actions: np.ndarray) -> Scored:
        velocity = (self.qpos[:, :2] - self._xy) / self.dt
        x_velocity, y_velocity = velocity.T.copy()
        forward, cost = self.forward_reward_weight * x_velocity, self._costs(actions)
        infos = {
            **self.reset_info(),
            "x_velocity": x_velocity,
            "y_velocity": y_velocity,
            "reward_forward": forward,
            "reward_ctrl": -cost,
        }
        return forward - cost, never(self), infos

    def reset_info(self) -> dict[str, np.ndarray]:
        return {
            "x_position": self.qpos[:, 0].copy(),
            "y_position": self.qpos[:, 1].copy(),
            "distance_from_origin": norms(self.qpos[:, :2]),
        }


class _Legged(_Runner):
    """Runners that have to stay healthy: reward = w_f dx/dt + [healthy] r_h - w_c |a|^2."""

    healthy_reward: float
    terminate_when_unhealthy: bool
    healthy_z_range: tuple[float, float]
    healthy_angle_range: tuple[float, float]

    start = uniform_start

    def observe(self) -> np.ndarray:
        return np.concatenate((self._positions(), np.clip(self.qvel, -10, 10)), axis=1)

    def _healthy(self) -> np.ndarray:
        return inside(self.qpos[:, 1], self.healthy_z_range) & inside(
            self.qpos[:, 2], self.healthy_angle_range
        )

    def score(self, actions: np.ndarray) -> Scored:
        healthy = self._healthy()
        x_velocity = (self.qpos[:, 0] - self._x) / self.dt
        forward, cost = self.forward_reward_weight * x_velocity, self._costs(actions)
        survive = healthy * self.healthy_reward
        infos = {
            **self.reset_info(),
            "x_velocity": x_velocity,
            "reward_forward": forward,
            "reward_ctrl": -cost,
            "reward_survive": survive,
        }
        terminated = ~healthy if self.terminate_when_unhealthy else never(self)
        return forward + survive - cost, terminated, infos

    def reset_info(self) -> dict[str, np.ndarray]:
        return {
            "x_position": self.qpos[:, 0].copy(),
            "z_distance_from_origin": self.qpos[:, 1] - self.init_qpos[1],
        }


@dataclass
class Hopper(_Legged):
    """One leg. Healthy: height, angle and every other state component within their ranges."""

    xml_file: str = "hopper.xml"
    frame_skip: int = 4
    forward_reward_weight: float = 1.0
    ctrl_cost_weight: float = 1e-3
    healthy_reward: float = 1.0
    terminate_when_unhealthy: bool = True
    healthy_state_range: tuple[float, float] = (-100.0, 100.0)
    healthy_z_range: tuple[float, float] = (0.7, float("inf"))
    healthy_angle_range: tuple[float, float] = (-0.2, 0.2)
    reset_noise_scale: float = 5e-3
    exclude_current_positions_from_observation: bool = True

    def _healthy(self) -> np.ndarray:
        bounds = self.healthy_state_range
        state = inside(self.qpos[:, 2:], bounds).all(axis=1)
        return super()._healthy() & state & inside(self.qvel, bounds).all(axis=1)


@dataclass
class Walker2d(_Legged):
    """Two legs. Healthy: height and angle within their ranges."""

    xml_file: str = "walker2d_v5.xml"
    frame_skip: int = 4
    forward_reward_weight: float = 1.0
    ctrl_cost_weight: float = 1e-3
    healthy_reward: float = 1.0
    terminate_when_unhealthy: bool = True
    healthy_z_range: tuple[float, float] = (0.8, 2.0)
    healthy_angle_range: tuple[float, float] = (-1.0, 1.0)
    reset_noise_scale: float = 5e-3
    exclude_current_positions_from_observation: bool = True
