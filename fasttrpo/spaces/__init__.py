"""Observation and action spaces as plain values, and the conversions to and from arrays.

The agent sees observations as rows of O numbers and actions as rows of D numbers. These classes
turn the environment's observations into those rows (`observations`) and rows into its actions
(`actions`). They need no Gymnasium, so that a saved model predicts without importing it.
"""

from __future__ import annotations

import warnings
from typing import Any

from fasttrpo.errors import UserError
from fasttrpo.spaces import actions as _actions
from fasttrpo.spaces import observations as _observations
from fasttrpo.spaces.actions import Actions, ContinuousActions
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
    "warn_of_images",
]


def describe(observation_space: Any, action_space: Any) -> tuple[Observations, Actions]:
    """The spaces of one environment. ValueError names a space that is not supported."""
    observations = _observations.of(observation_space)
    if observations.size == 0:
        raise UserError(f"observation space {observation_space} has nothing in it to see")
    return observations, _actions.of(action_space)


def check_same(own: tuple, given: tuple) -> None:
    """ValueError unless a model for the spaces `own` can act in `given`, both by `describe`."""
    for mine, other in zip(own, given, strict=True):
        if not mine.matches(other):
            raise UserError(
                f"the environment has {other.to_space()} "
                f"where the model was made for {mine.to_space()}"
            )


def from_json(observations: dict[str, Any], actions: dict[str, Any]) -> tuple:
    """The spaces from what their `to_json` wrote."""
    return _observations.from_json(observations), _actions.from_json(actions)


def warn_of_images(observations: Observations) -> None:
    """A UserWarning if there are images, which a network of dense layers has to take as a row."""
    unscaled, size = set(observations.unscaled()), observations.size
    images = observations.images()
    _warn_of([name for name in images if name not in unscaled], "scaled to 0..1", size)
    add = "gymnasium.wrappers.ReshapeObservation adds one"
    how = f"not scaled, as it has no axis of channels ({add})"
    _warn_of([name for name in images if name in unscaled], how, size)


def _warn_of(images: list[str], how: str, size: int) -> None:
    if images:
        warnings.warn(
            f"{' and '.join(images)} is an image: it is flattened and {how}, for the policy is an "
            "MLP, without convolutions. Features of it, or fewer pixels, learn faster: every one "
            f"of these {size} numbers is an input of both networks",
            UserWarning,
            stacklevel=4,
        )
