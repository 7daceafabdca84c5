"""Humanoid and HumanoidStandup: a body of thirteen parts walks, or stands up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fasttrpo.envs.mujoco.task import Scored, Task, inside, never, norms, squares, uniform_start


class _Humanoid(Task):
    """The observation of both: positions, velocities, inertias, actuator and contact forces."""

    exclude_current_positions_from_observation: bool
    include_cinert_in_observation: bool
    include_cvel_in_observation: bool
    include_qfrc_actuator_in_observation: bool
    include_cfrc_ext_in_observation: bool

    start = uniform_start

    @property
    def contact_forces(self) -> bool:
        return True

    def bind(self, batch: Any) -> None:
        super().bind(batch)
        self._cinert, self._cvel = batch.bind("cinert"), batch.bind("cvel")
        self._qfrc_actuator, self._cfrc_ext = batch.bind("qfrc_actuator"), batch.bind("cfrc_ext")
        self._tendons = {name: batch.bind(f"ten_{name}") for name in ("length", "velocity")}

    def observe(self) -> np.ndarray:
        n_envs = len(self.qpos)
        skip = 2 * bool(self.exclude_current_positions_from_observation)
        parts = [self.qpos[:, skip:], self.qvel]
        if self.include_cinert_in_observation:
            parts.append(self._cinert[:, 1:].reshape(n_envs, -1))
        if self.include_cvel_in_observation:
            parts.append(self._cvel[:, 1:].reshape(n_envs, -1))
        if self.include_qfrc_actuator_in_observation:
            parts.append(self._qfrc_actuator[:, 6:])
        if self.include_cfrc_ext_in_observation:
            parts.append(self._cfrc_ext[:, 1:].reshape(n_envs, -1))
        return np.concatenate(parts, axis=1)

    def _where(self) -> dict[str, np.ndarray]:
        return {
            "x_position": self.qpos[:, 0].copy(),
            "y_position": self.qpos[:, 1].copy(),
            **{f"tendon_{name}": value.copy() for name, value in self._tendons.items()},
        }


@dataclass
class Humanoid(_Humanoid):
    """reward = w_f dx/dt + [healthy] r_h - w_c |ctrl|^2 - clip(w_k |cfrc_ext|^2).

    dx is the displacement of the centre of mass in one step. Healthy: the height within its range.
    """

    xml_file: str = "humanoid.xml"
    frame_skip: int = 5
    forward_reward_weight: float = 1.25
    ctrl_cost_weight: float = 0.1
    contact_cost_weight: float = 5e-7
    contact_cost_range: tuple[float, float] = (-np.inf, 10.0)
    healthy_reward: float = 5.0
    terminate_when_unhealthy: bool = True
    healthy_z_range: tuple[float, float] = (1.0, 2.0)
    reset_noise_scale: float = 1e-2
    exclude_current_positions_from_observation: bool = True
    include_cinert_in_observation: bool = True
    include_cvel_in_observation: bool = True
    include_qfrc_actuator_in_observation: bool = True
    include_cfrc_ext_in_observation: bool = True

    def bind(self, batch: Any) -> None:
        super().bind(batch)
        self._xipos = batch.bind("xipos")

    def _centre_of_mass(self) -> np.ndarray:
        """(E, 2): x and y of sum_b m_b xipos_b / sum_b m_b."""
        mass = self.model.body_mass
        return np.einsum("b,ebj->ej", mass, self._xipos[:, :, :2]) / mass.sum()

    remembered = ("_xy_before",)

    def remember(self) -> None:
        self._xy_before = self._centre_of_mass()

    def score(self, actions: np.ndarray) -> Scored:
        healthy = inside(self.qpos[:, 2], self.healthy_z_range)
        velocity = (self._centre_of_mass() - self._xy_before) / self.dt
        x_velocity, y_velocity = velocity.T.copy()
        forward = self.forward_reward_weight * x_velocity
        survive = healthy * self.healthy_reward
        control = self.ctrl_cost_weight * squares(self.ctrl)
        contact = self.contact_cost_weight * squares(self._cfrc_ext)
        contact = np.clip(contact, *self.contact_cost_range)
        infos = {
            **self.reset_info(),
            "x_velocity": x_velocity,
            "y_velocity": y_velocity,
            "reward_survive": survive,
            "reward_forward": forward,
            "reward_ctrl": -control,
            "reward_contact": -contact,
        }
        terminated = ~healthy if self.terminate_when_unhealthy else never(self)
        return forward + survive - (control + contact), terminated, infos

    def reset_info(self) -> dict[str, np.ndarray]:
        return {**self._where(), "distance_from_origin": norms(self.qpos[:, :2])}


@dataclass
class HumanoidStandup(_Humanoid):
    """reward = z / time step - w_c |ctrl|^2 - clip(w_i |cfrc_ext|^2) + 1; never terminates.

    z is the height of the torso. As in Gymnasium, `uph_cost_weight` is unused.
    """

    xml_file: str = "humanoidstandup.xml"
    frame_skip: int = 5
    uph_cost_weight: float = 1
    ctrl_cost_weight: float = 0.1
    impact_cost_weight: float = 0.5e-6
    impact_cost_range: tuple[float, float] = (-np.inf, 10.0)
    reset_noise_scale: float = 1e-2
    exclude_current_positions_from_observation: bool = True
    include_cinert_in_observation: bool = True
    include_cvel_in_observation: bool = True
    include_qfrc_actuator_in_observation: bool = True
    include_cfrc_ext_in_observation: bool = True

    def score(self, actions: np.ndarray) -> Scored:
        up = self.qpos[:, 2] / self.model.opt.timestep
        control = self.ctrl_cost_weight * squares(self.ctrl)
        impact = self.impact_cost_weight * squares(self._cfrc_ext)
        impact = np.clip(impact, *self.impact_cost_range)
        infos = {
            **self.reset_info(),
            "reward_linup": up,
            "reward_quadctrl": -control,
            "reward_impact": -impact,
        }
        return up - control - impact + 1, never(self), infos

    def reset_info(self) -> dict[str, np.ndarray]:
        return {**self._where(), "z_distance_from_origin": self.qpos[:, 2] - self.init_qpos[2]}
