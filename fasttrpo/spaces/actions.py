"""Action spaces: converts rows of D numbers to actions of any space, and back.

`n` rows, T steps, E environments; `shape` is the shape of one action.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fasttrpo.checks.distributions import DISTRIBUTIONS
from fasttrpo.errors import UserError
from fasttrpo.spaces import masks
from fasttrpo.spaces.convert import Lead
from fasttrpo.spaces.kinds import Box, Discrete, MultiBinary, MultiDiscrete

_FEW = 1000  # choices for a table


class PlainActions(NamedTuple):
    """How the core converts an action for the environment: by `choices`; by `like` and `bounds`; or
    else by `to_env`.
    """

    choices: list[Any] | None = None
    """the environment's action for each choice"""
    like: np.ndarray | None = None
    """an array in the form of the environment's actions, which are real numbers"""
    bounds: np.ndarray | None = None
    """(2, D) float64, to which they are clipped"""


class Actions:
    """A space whose actions are rows of D numbers, one for each of `parts`.

    distribution  the distribution that the components are drawn from
    scale         whether actions are scaled for the environment
    """

    distribution: ClassVar[str]
    shape: Any
    scale: bool = False

    @property
    def parts(self) -> tuple[int, ...]:
        """The number of network outputs per component."""
        raise NotImplementedError

    @property
    def filler(self) -> Any:
        """A valid action, for rows without one."""
        return 0

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the kind of space."""
        raise NotImplementedError

    def to_space(self) -> Any:
        """The Gymnasium space."""
        raise NotImplementedError

    def configured(self, clip: bool, scale: bool) -> Actions:
        """A copy with the settings `clip_actions` and `scale_actions`."""
        if scale:
            warnings.warn(
                f"scale_actions has no effect on {self.to_space()}: only a Box can be scaled",
                UserWarning,
                stacklevel=4,
            )
        return self

    def to_env(self, act: np.ndarray) -> np.ndarray:
        """(n, D) as drawn, in any number type -> (n, *shape) in the space, in its dtype."""
        raise NotImplementedError

    @cached_property
    def plain(self) -> PlainActions:
        """How the core converts actions, with the bits of `to_env`."""
        return PlainActions()

    def from_user(self, actions: np.ndarray) -> np.ndarray:
        """(T, E, *shape) in the space -> (T, E, D) as drawn. ValueError for other values."""
        raise NotImplementedError

    def masks(
        self, name: str, given: Any, lead: Lead, valid: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Action masks (see `masks`) with `lead` axes as (*lead, A) bool; None stays None.

        Raises ValueError for malformed masks, and for actions that are not choices.
        """
        if given is None:
            return None
        if not DISTRIBUTIONS[self.distribution].takes_masks:
            raise UserError(
                f"{name}: only Discrete and MultiDiscrete actions can be masked, "
                f"not {self.to_space()}"
            )
        return masks.rows(name, given, lead, self.parts, valid=valid)

    def matches(self, other: Any) -> bool:
        """Whether a model with these actions can act in the other space."""
        return self == other


@dataclass(frozen=True)
class ContinuousActions(Box, Actions):
    """A Box of real numbers, drawn from a diagonal Gaussian.

    clip   clip the actions sent to the environment to the bounds
    scale  map the policy's -1 and 1 linearly to the bounds
    """

    clip: bool = field(default=True, compare=False)
    scale: bool = field(default=False, compare=False)

    distribution = "gaussian"
    dtypes = "f"

    @property
    def parts(self) -> tuple[int, ...]:
        """One network output per component, the mean."""
        return (1,) * math.prod(self.shape)

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the kind of space, without clip and scale, which are settings."""
        return {k: v for k, v in super().to_json().items() if k not in ("clip", "scale")}

    def configured(self, clip: bool, scale: bool) -> ContinuousActions:
        """See `Actions`. Raises ValueError if a bound to scale to is infinite."""
        unbounded = np.flatnonzero(~np.isfinite([self.low, self.high]).all(axis=0))
        if scale and len(unbounded):
            raise UserError(
                f"scale_actions=True needs finite bounds, and component {unbounded[0]} of "
                f"{self.to_space()} has an infinite one: set scale_actions=False, or wrap the "
                "environment to add bounds (gymnasium.wrappers.TransformAction)"
            )
        return replace(self, clip=clip, scale=scale)

    @cached_property
    def _numbers(self) -> np.dtype:
        return np.dtype(self.dtype)

    @cached_property
    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(1, D) each, in the space's dtype, which represents them exactly."""
        low, high = (np.array([bound], self.dtype) for bound in (self.low, self.high))
        return low, high

    @cached_property
    def _affine(self) -> tuple[np.ndarray, np.ndarray]:
        """(D,) float64: half the distance between the bounds, and their centre."""
        low, high = np.array(self.low) / 2, np.array(self.high) / 2
        return high - low, high + low

    def to_env(self, act: np.ndarray) -> np.ndarray:
        """(n, D) -> (n, *shape), scaled and clipped to the bounds if set.

        The rollout keeps the action as drawn, whose log-probability it holds.
        """
        if self.scale:
            half, middle = self._affine
            act = act * half + middle
        if self.clip:
            low, high = self._bounds
            act = np.minimum(np.maximum(act, low), high)
        if act.dtype != self._numbers:
            act = act.astype(self._numbers)
        return act if len(self.shape) == 1 else act.reshape(len(act), *self.shape)

    @cached_property
    def plain(self) -> PlainActions:
        """See `Actions`."""
        if self.scale or not self.shape or self.dtype not in ("float32", "float64"):
            return PlainActions()
        bounds = np.array([self.low, self.high])
        infinite = np.full_like(bounds, [[-np.inf], [np.inf]])
        like = np.zeros(self.shape, self.dtype)
        return PlainActions(like=like, bounds=bounds if self.clip else infinite)

    def from_user(self, actions: np.ndarray) -> np.ndarray:
        """(T, E, *shape) -> (T, E, D), scaled back if set."""
        actions = actions.reshape(*actions.shape[:2], -1)
        if not self.scale:
            return actions
        half, middle = self._affine
        # Where the bounds are equal, every action maps to that value.
        return np.divide(actions - middle, half, out=np.zeros(actions.shape), where=half > 0)


class DiscreteActions(Discrete, Actions):
    """One integer, drawn from a categorical distribution."""

    distribution = "categorical"

    @property
    def parts(self) -> tuple[int, ...]:
        """n network outputs, the logits, for the one component."""
        return (self.n,)

    @property
    def filler(self) -> int:
        """See `Actions`."""
        return self.start

    @cached_property
    def _integers(self) -> np.dtype:
        return np.dtype(self.dtype)

    def to_env(self, act: np.ndarray) -> np.ndarray:
        """(n, 1) choices from 0, in any number type -> (n,) in the space."""
        if self.start == 0:
            return act.ravel().astype(self._integers)
        return (act.ravel().astype(np.int64) + self.start).astype(self._integers, copy=False)

    @cached_property
    def plain(self) -> PlainActions:
        """See `Actions`."""
        if self.n > _FEW:
            return PlainActions()
        return PlainActions(choices=list(self.to_env(np.arange(self.n)[:, None])))

    def from_user(self, actions: np.ndarray) -> np.ndarray:
        """(T, E) integers in the space -> (T, E, 1), from 0. ValueError for other values."""
        return self.choices.from_zero("action", actions[..., None])


class MultiDiscreteActions(MultiDiscrete, Actions):
    """Integers, each drawn from a categorical distribution of its own."""

    distribution = "categorical"

    @property
    def parts(self) -> tuple[int, ...]:
        """nvec[d] network outputs for component d, the logits."""
        return self.nvec

    @property
    def filler(self) -> np.ndarray:
        """See `Actions`."""
        return self.choices.starts.reshape(self.shape)

    def to_env(self, act: np.ndarray) -> np.ndarray:
        """(n, D) choices from 0, in any number type -> (n, *shape) in the space."""
        chosen = (act.astype(np.int64) + self.choices.starts).astype(self.dtype, copy=False)
        return chosen.reshape(len(act), *self.shape)

    def from_user(self, actions: np.ndarray) -> np.ndarray:
        """(T, E, *shape) in the space -> (T, E, D), from 0. ValueError for other values."""
        return self.choices.from_zero("action", actions.reshape(*actions.shape[:2], -1))


class BinaryActions(MultiBinary, Actions):
    """Zeros and ones, each drawn from a Bernoulli distribution of its own."""

    distribution = "bernoulli"

    @property
    def parts(self) -> tuple[int, ...]:
        """One network output per component, the logit of a one."""
        return (1,) * math.prod(self.shape)

    def to_env(self, act: np.ndarray) -> np.ndarray:
        """(n, D) -> (n, *shape) int8."""
        return act.astype(np.int8).reshape(len(act), *self.shape)

    def from_user(self, actions: np.ndarray) -> np.ndarray:
        """(T, E, *shape) -> (T, E, D). Raises ValueError for values other than 0 and 1."""
        return self.choices.from_zero("action", actions.reshape(*actions.shape[:2], -1))


_COUNTED: dict[str, Any] = {
    "Discrete": DiscreteActions,
    "MultiDiscrete": MultiDiscreteActions,
    "MultiBinary": BinaryActions,
}
_KINDS: dict[str, Any] = {kind.kind: kind for kind in (ContinuousActions, *_COUNTED.values())}


def from_space(space: Any) -> Actions:
    """From a Gymnasium space. Raises ValueError with a remedy if it is not supported."""
    from gymnasium import spaces

    for kind, actions in _COUNTED.items():
        if isinstance(space, getattr(spaces, kind)) and math.prod(space.shape) > 0:
            return actions.from_space(space)
    if isinstance(space, spaces.Box) and math.prod(space.shape) > 0:
        if np.issubdtype(space.dtype, np.floating):
            return ContinuousActions.from_space(space)
        instead = (
            "a MultiBinary" if space.dtype == bool else "a MultiDiscrete(high - low + 1, start=low)"
        )
        raise UserError(
            f"action space {space} is not supported: a Box must have a floating-point dtype; "
            f"{instead} has the same actions"
        )
    raise UserError(
        f"action space {space} is not supported: use a Box of real numbers, Discrete, "
        "MultiDiscrete or MultiBinary; gymnasium.wrappers.TransformAction converts other spaces "
        "to one of these"
    )


def from_json(data: dict[str, Any]) -> Actions:
    """From the result of `to_json`. Raises KeyError, TypeError or ValueError for other data."""
    return _KINDS[data["kind"]].from_json(data)


def plain_actions(
    distribution: str, parts: tuple[int, ...], low: tuple[float, ...], high: tuple[float, ...]
) -> dict[str, Any]:
    """The JSON of a space whose actions are the rows drawn, as in C programs.

    low, high  (D,) the bounds of real numbers, possibly infinite
    """
    return _PLAIN[distribution](parts, low, high).to_json()


def _plain_box(parts: tuple[int, ...], low: tuple[float, ...], high: tuple[float, ...]) -> Box:
    is_single = all(np.float32(x) == x for x in (*low, *high))
    return Box((len(parts),), low, high, "float32" if is_single else "float64")


def _plain_choices(parts: tuple[int, ...], *_: Any) -> Discrete | MultiDiscrete:
    if len(parts) == 1:
        return Discrete(parts[0])
    return MultiDiscrete((len(parts),), parts, (0,) * len(parts))


_PLAIN: dict[str, Any] = {
    "gaussian": _plain_box,
    "categorical": _plain_choices,
    "bernoulli": lambda parts, *_: MultiBinary((len(parts),)),
}
