"""Observation and action spaces as plain values, and the conversions to and from arrays.

The agent sees observations as rows of O numbers and actions as rows of D numbers. These classes
turn the environment's arrays into those rows and back. They need no Gymnasium, so that a saved
model predicts without importing it.

`n` rows, T steps, E environments; `shape` is one observation's or action's own shape.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from fasttrpo.values import LARGEST_SIZE, integer

_WHOLE = integer(-(2**63), 2**63 - 1)


@dataclass(frozen=True)
class Box:
    """An array of numbers between two bounds, flattened in C order."""

    shape: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    dtype: str

    @cached_property
    def size(self) -> int:
        """Number of components."""
        return math.prod(self.shape)

    @classmethod
    def from_space(cls, space: Any) -> Box:
        """From a `gymnasium.spaces.Box`."""
        low, high = (tuple(np.ravel(bound).tolist()) for bound in (space.low, space.high))
        return cls(tuple(space.shape), low, high, np.dtype(space.dtype).name)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Box:
        """From what `to_json` wrote. KeyError, TypeError or ValueError if it is something else."""
        shape = tuple(integer(1, LARGEST_SIZE)("length", length) for length in data["shape"])
        low, high = (tuple(map(float, data[bound])) for bound in ("low", "high"))
        if not len(low) == len(high) == math.prod(shape):
            raise ValueError(f"a Box of shape {shape} with {len(low)} lower bounds")
        return cls(shape, low, high, np.dtype(data["dtype"]).name)

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the kind of space."""
        return {"kind": "box", **asdict(self)}

    def to_space(self) -> Any:
        """The `gymnasium.spaces.Box`."""
        from gymnasium import spaces

        low, high = (np.asarray(b, self.dtype).reshape(self.shape) for b in (self.low, self.high))
        return spaces.Box(low, high, self.shape, np.dtype(self.dtype))


class Observations(Box):
    """What the agent sees."""

    def rows(self, obs: Any, n: int) -> np.ndarray:
        """(n, *shape) -> (n, O). ValueError for another shape, TypeError for no numbers."""
        obs = numeric("observation", obs)
        if obs.shape != (n, *self.shape):
            raise ValueError(f"observation has shape {obs.shape}, expected {(n, *self.shape)}")
        return obs.reshape(n, self.size)

    def batch(self, observation: Any) -> tuple[np.ndarray, bool]:
        """One observation (*shape), or a batch of n, as (n, O); and whether it was one alone.

        ValueError for another shape, TypeError for no numbers.
        """
        obs = np.asarray(observation)
        single = obs.shape == self.shape
        if not single and (obs.shape[1:] != self.shape or obs.size == 0):
            raise ValueError(
                f"observation has shape {obs.shape}, expected {self.shape} or a batch of such"
            )
        return numeric("observation", obs).reshape(-1, self.size), single

    def matches(self, other: Observations) -> bool:
        """Whether a model for these observations can take the other's."""
        return self.shape == other.shape


class ContinuousActions(Box):
    """A Box of real numbers, drawn from a diagonal Gaussian."""

    distribution: ClassVar[str] = "gaussian"

    @property
    def parts(self) -> tuple[int, ...]:
        """One network output, the mean, per component."""
        return (1,) * self.size

    @cached_property
    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(1, D) each, in the space's own type, which has them exactly."""
        low, high = (np.array([bound], self.dtype) for bound in (self.low, self.high))
        return low, high

    def to_env(self, act: np.ndarray) -> np.ndarray:
        """(n, D) -> (n, *shape), clipped to the bounds.

        Only what the environment gets is clipped: the log-probability belongs to the action
        as drawn, which is the one that the rollout keeps.
        """
        low, high = self._bounds
        clipped = np.minimum(np.maximum(act, low), high).astype(self.dtype, copy=False)
        return clipped.reshape(len(act), *self.shape)

    def from_user(self, actions: np.ndarray) -> np.ndarray:
        """(T, E, *shape) -> (T, E, D), as given."""
        return actions.reshape(*actions.shape[:2], self.size)

    def matches(self, other: Any) -> bool:
        """Whether a model with these actions can act in the other space."""
        return isinstance(other, ContinuousActions) and self == other


@dataclass(frozen=True)
class DiscreteActions:
    """The integers start, ..., start + n - 1, drawn from a categorical distribution."""

    n: int
    start: int = 0

    distribution: ClassVar[str] = "categorical"
    shape: ClassVar[tuple[int, ...]] = ()

    @property
    def parts(self) -> tuple[int, ...]:
        """n network outputs, the logits, for the one component."""
        return (self.n,)

    @classmethod
    def from_space(cls, space: Any) -> DiscreteActions:
        """From a `gymnasium.spaces.Discrete`."""
        return cls(int(space.n), int(space.start))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> DiscreteActions:
        """From what `to_json` wrote. KeyError or ValueError if it is something else."""
        return cls(integer(1, LARGEST_SIZE)("n", data["n"]), _WHOLE("start", data["start"]))

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the kind of space."""
        return {"kind": "discrete", **asdict(self)}

    def to_space(self) -> Any:
        """The `gymnasium.spaces.Discrete`."""
        from gymnasium import spaces

        return spaces.Discrete(self.n, start=self.start)

    def to_env(self, act: np.ndarray) -> np.ndarray:
        """(n, 1) choices counted from 0, in any number type -> (n,) int64 in the space."""
        return act[:, 0].astype(np.int64) + self.start

    def from_user(self, actions: np.ndarray) -> np.ndarray:
        """(T, E) integers of the space -> (T, E, 1) counted from 0. ValueError outside of it."""
        choices = actions - self.start
        legal = (choices == np.floor(choices)) & (choices >= 0) & (choices < self.n)
        # What is not finite passes: the agent's own check names it better.
        wrong = np.argwhere(~legal & np.isfinite(choices))
        if len(wrong):
            step, env = wrong[0]
            last = self.start + self.n - 1
            raise ValueError(
                f"action {actions[step, env]} of environment {env} at step {step} "
                f"is not an integer from {self.start} to {last}"
            )
        return choices[..., None]

    def matches(self, other: Any) -> bool:
        """Whether a model with these actions can act in the other space."""
        return self == other


Actions = ContinuousActions | DiscreteActions


def numeric(name: str, array: Any) -> np.ndarray:
    """`array` as a NumPy array of real numbers. TypeError if it holds anything else."""
    array = np.asarray(array)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be an array of real numbers, got dtype {array.dtype}")
    return array


def describe(observation_space: Any, action_space: Any) -> tuple[Observations, Actions]:
    """The spaces of one environment. ValueError names a space that is not supported."""
    return _observations(observation_space), _actions(action_space)


def _observations(space: Any) -> Observations:
    from gymnasium import spaces

    if not isinstance(space, spaces.Box) or math.prod(space.shape) == 0:
        raise ValueError(
            f"observation space {space} is not supported: fasttrpo takes a Box of any shape"
        )
    return Observations.from_space(space)


def _actions(space: Any) -> Actions:
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        return DiscreteActions.from_space(space)
    is_box = isinstance(space, spaces.Box) and math.prod(space.shape) > 0
    if is_box and np.issubdtype(space.dtype, np.floating):
        return ContinuousActions.from_space(space)
    raise ValueError(
        f"action space {space} is not supported: fasttrpo takes a Box of real numbers or a Discrete"
    )


def check_same(own: tuple, given: tuple) -> None:
    """ValueError unless a model for the spaces `own` can act in `given`, both by `describe`."""
    for mine, other in zip(own, given, strict=True):
        if not mine.matches(other):
            raise ValueError(
                f"the environment has {other.to_space()} "
                f"where the model was made for {mine.to_space()}"
            )


def from_json(observations: dict[str, Any], actions: dict[str, Any]) -> tuple:
    """The spaces from what their `to_json` wrote."""
    kind = {"box": ContinuousActions, "discrete": DiscreteActions}[actions["kind"]]
    return Observations.from_json(observations), kind.from_json(actions)
