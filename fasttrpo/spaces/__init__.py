"""Observation and action spaces as plain values, and the conversions to and from arrays.

For the agent, observations are rows of O numbers and actions rows of D numbers. `observations`
converts an environment's observations to such rows, `actions` converts rows to its actions.
Gymnasium is not imported, so a saved model predicts without it.
"""

from __future__ import annotations

import warnings
from typing import Any

from fasttrpo.errors import UserError
from fasttrpo.spaces import actions as _actions
from fasttrpo.spaces import observations as _observations
from fasttrpo.spaces.actions import Actions, ContinuousActions, plain_actions
from fasttrpo.spaces.convert import numeric
from fasttrpo.spaces.observations import Observations

__all__ = [
    "Actions",
    "ContinuousActions",
    "Observations",
    "check_same",
    "describe",
    "from_json",
    "numeric",
    "plain_actions",
    "warn_of_images",
]


def describe(observation_space: Any, action_space: Any) -> tuple[Observations, Actions]:
    """The spaces of one environment. Raises ValueError for an unsupported space."""
    observations = _observations.from_space(observation_space)
    if observations.size == 0:
        raise UserError(f"observation space {observation_space} is empty")
    return observations, _actions.from_space(action_space)


def check_same(own: tuple, given: tuple) -> None:
    """Raises ValueError unless a model made for the spaces `own` can act in `given`."""
    for mine, other in zip(own, given, strict=True):
        if not mine.matches(other):
            raise UserError(
                f"the environment has {other.to_space()}, "
                f"but the model was made for {mine.to_space()}"
            )


def from_json(observations: dict[str, Any], actions: dict[str, Any]) -> tuple:
    """The spaces that `to_json` wrote."""
    return _observations.from_json(observations), _actions.from_json(actions)


def warn_of_images(observations: Observations) -> None:
    """Warns about images, which are flattened."""
    unscaled, size = set(observations.unscaled()), observations.size
    images = observations.images()
    _warn_of([name for name in images if name not in unscaled], "scaled to 0..1", size)
    add = "gymnasium.wrappers.ReshapeObservation adds one"
    how = f"not scaled, as it has no axis of channels ({add})"
    _warn_of([name for name in images if name in unscaled], how, size)


def _warn_of(images: list[str], how: str, size: int) -> None:
    if images:
        warnings.warn(
            f"{' and '.join(images)} is an image: it is flattened and {how}, because the policy is "
            "an MLP without convolutions. Features of it, or fewer pixels, learn faster: each of "
            f"these {size} numbers is an input of both networks",
            UserWarning,
            stacklevel=4,
        )
