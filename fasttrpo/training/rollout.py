"""Rollouts that users collect themselves: checked, and stored in an agent.

T steps, E environments; `obs` and `act` stand for one observation's and action's own shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fasttrpo.checks.arrays import finite_rows
from fasttrpo.errors import UserError, UserTypeError
from fasttrpo.protocols import Agent
from fasttrpo.spaces import Actions, Observations, numeric


@dataclass
class Rollout:
    """T steps in each of E environments, for `TRPO.update`.

    obs         (T, E, *obs)  observations; for a Dict or Tuple, a dict or tuple of arrays
    actions     (T, E, *act)  the actions as drawn: before clipping but, with scale_actions, after
                              scaling
    rewards     (T, E)
    terminated  (T, E) bool   the episode ended, and no rewards would follow
    truncated   (T, E) bool   the episode was cut off: the value of its last observation is added
    last_obs    (E, *obs)     the observation after the last step, before any reset
    final_obs   (T, E, *obs)  the observation after each step, before any reset; used where
                              `truncated`, and required if that is before the last row
    valid       (T, E) bool   False where no step happened (None: True everywhere)
    action_masks (T, E, A) bool  True for allowed choices of Discrete and MultiDiscrete actions, or
                              another form of `spaces.masks` (None: all are allowed)
    """

    obs: Any
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    last_obs: Any
    final_obs: Any = None
    valid: Any = None
    action_masks: Any = None

    @property
    def shape(self) -> tuple[int, int]:
        """(T, E). Raises ValueError if `rewards` has other axes, or an empty one."""
        shape = np.shape(self.rewards)
        if len(shape) != 2 or 0 in shape:
            raise UserError(f"rollout rewards has shape {shape}, expected (T, E) with T, E > 0")
        return shape


def checked(rollout: Rollout, observations: Observations, actions: Actions) -> Rollout:
    """A copy in which every field is an array of the right shape and dtype; None is filled in.

    `obs` becomes (T, E, O), `actions` (T, E, D), and `final_obs` the observation after each step.
    Raises ValueError or TypeError with the name of the invalid field.
    """
    if not isinstance(rollout, Rollout):
        raise UserTypeError(f"update requires a fasttrpo.Rollout, got {type(rollout).__name__}")
    t, e = rollout.shape
    valid = np.ones((t, e), dtype=bool)
    if rollout.valid is not None:
        valid = _flags("valid", rollout.valid, (t, e))
    # Rows without a step have no observation, action or reward; any valid value serves.
    obs = observations.rows(rollout.obs, (t, e), "rollout obs", valid)
    acts = _array("actions", rollout.actions, (t, e, *actions.shape))
    acts = actions.from_user(_fill(acts, valid, actions.filler))
    masks = actions.masks("rollout action_masks", rollout.action_masks, (t, e), valid)
    rewards = _fill(_array("rewards", rollout.rewards, (t, e)), valid, 0)
    for name, values in (("observation", obs), ("action", acts), ("reward", rewards)):
        _check_finite(name, values, ~valid)
    terminated = _flags("terminated", rollout.terminated, (t, e))
    truncated = _flags("truncated", rollout.truncated, (t, e))
    _check_gaps(valid, (terminated | truncated) & valid)
    # The last observation is unused if the last row has no step or has its own final_obs.
    unused = ~valid[-1] | (truncated[-1] & (rollout.final_obs is not None))
    last_obs = observations.rows(rollout.last_obs, (e,), "rollout last_obs", ~unused)
    finite_rows("last observation", last_obs, "environment", t - 1, unused)
    return Rollout(
        obs,
        acts,
        rewards,
        terminated,
        truncated,
        last_obs,
        _next_observations(rollout.final_obs, obs, last_obs, truncated, valid, observations),
        valid,
        masks,
    )


def replay(agent: Agent, rollout: Rollout) -> None:
    """Stores a checked rollout in the agent, row by row."""
    masks, valid = rollout.action_masks, rollout.valid
    assert valid is not None  # `checked` filled it in
    for t in range(len(rollout.obs)):
        mask = () if masks is None else (masks[t],)
        agent.record(rollout.obs[t], rollout.actions[t], *mask)
        agent.push(
            rollout.rewards[t],
            rollout.terminated[t],
            rollout.truncated[t],
            rollout.final_obs[t],
            ~valid[t],
        )


def _next_observations(
    final_obs: Any,
    obs: np.ndarray,
    last_obs: np.ndarray,
    truncated: np.ndarray,
    valid: np.ndarray,
    observations: Observations,
) -> np.ndarray:
    """(T, E, O): the observation after each step: the next row's, except after truncation."""
    truncated = truncated & valid
    following = np.concatenate([obs[1:], last_obs[None]])
    if final_obs is not None:
        final = observations.rows(final_obs, obs.shape[:2], "rollout final_obs", truncated)
        _check_finite("final observation", final, ~truncated)
        return np.where(truncated[..., None], final, following)
    if truncated[:-1].any():
        step, env = np.argwhere(truncated[:-1])[0]
        raise UserError(
            f"rollout final_obs is missing: environment {env} is truncated at step {step}, "
            "and the value of its last observation is needed"
        )
    return following


def _check_gaps(valid: np.ndarray, done: np.ndarray) -> None:
    """Raises ValueError if a row without a successor does not end an episode."""
    if not valid.any():
        raise UserError("rollout valid is False everywhere: there is nothing to learn from")
    gaps = np.argwhere(valid[:-1] & ~valid[1:] & ~done[:-1])
    if len(gaps):
        step, env = gaps[0]
        raise UserError(
            f"rollout valid: environment {env} has no step after step {step}, "
            "which is neither terminated nor truncated"
        )


def _check_finite(name: str, values: np.ndarray, skip: np.ndarray) -> None:
    """Raises ValueError for the first value of (T, E) or (T, E, components) not finite."""
    bad = ~np.isfinite(values)
    for step in np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1)):
        finite_rows(name, values[step], "environment", int(step), skip[step])


def _array(name: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    values = numeric(f"rollout {name}", values)
    if values.shape != shape:
        raise UserError(f"rollout {name} has shape {values.shape}, expected {shape}")
    return values


def _flags(name: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    values = _array(name, values, shape)
    if not np.isin(values, (0, 1)).all():
        raise UserError(f"rollout {name} must hold only True and False")
    return values.astype(bool)


def _fill(values: np.ndarray, valid: np.ndarray, filler: Any) -> np.ndarray:
    where = valid.reshape(valid.shape + (1,) * (values.ndim - 2))
    return np.where(where, values, filler)
