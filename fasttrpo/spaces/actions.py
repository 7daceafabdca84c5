"""What the agent does: rows of D numbers as actions of any space, and back.

`n` rows, T steps, E environments; `shape` is one action's own shape.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from fasttrpo.checks.distributions import DISTRIBUTIONS
from fasttrpo.errors import UserError
from fasttrpo.spaces import masks
from fasttrpo.spaces.convert import Lead
from fasttrpo.spaces.kinds import Box, Discrete, MultiBinary, MultiDiscrete


class Actions:
    """A space whose actions are rows of D numbers, one for each of `parts`.

    distribution  what the components are drawn from
    scale         whether the environment gets others than those drawn, bounds aside
    """

    distribution: ClassVar[str]
    shape: Any
    scale: bool = False

    @property
    def parts(self) -> tuple[int, ...]:
        """Each component's number of network outputs."""
        raise NotImplementedError

    @property
    def filler(self) -> Any:
        """Some legal action, to stand where there is none."""
        return 0

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the kind of space."""
        raise NotImplementedError

    def to_space(self) -> Any:
        """The space of Gymnasium's."""
        raise NotImplementedError

    def sent(self, clip: bool, scale: bool) -> Actions:
        """The same, clipped and scaled as the settings `clip_actions` and `scale_actions` say."""
        if scale:
            warnings.warn(
                f"scale_actions makes no use of {self.to_space()}: only a Box can be scaled",
                UserWarning,
                stacklevel=4,
            )
        return self

    def to_env(self, act: np.ndarray) -> np.ndarray:
        """(n, D) as drawn, in any number type -> (n, *shape) in the space, in its type."""
        raise NotImplementedError

    def from_user(self, actions: np.ndarray) -> np.ndarray:
        """(T, E, *shape) of the space -> (T, E, D) as drawn. ValueError for what is not in it."""
        raise NotImplementedError

    def masks(
        self, name: str, given: Any, lead: Lead, valid: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Action masks (see `masks`) with `lead` axes as (*lead, A) bool; None stays None.

        ValueError for other forms, and for actions that are not choices.
        """
        if given is None:
            return None
        if not DISTRIBUTIONS[self.distribution].takes_masks:
            raise UserError(
                f"{name}: only Discrete and MultiDiscrete actions can be masked, "
                f"and these are {self.to_space()}"
            )
        return masks.rows(name, given, lead, self.parts, valid=valid)

    def matches(self, other: Any) -> bool:
        """Whether a model with these actions can act in the other space."""
        return self == other


@dataclass(frozen=True)
class ContinuousActions(Box, Actions):
    """A Box of real numbers, drawn from a diagonal Gaussian.

    clip   what the environment gets is clipped to the bounds
    scale  the policy's -1 and 1 are the bounds, and what is between them is so there
    """

    clip: bool = field(default=True, compare=False)
    scale: bool = field(default=False, compare=False)

    distribution = "gaussian"
    dtypes = "f"

    @property
    def parts(self) -> tuple[int, ...]:
        """One network output, the mean, per component."""
        return (1,) * math.prod(self.shape)

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the kind of space; clip and scale are the model's settings."""
        return {k: v for k, v in super().to_json().items() if k not in ("clip", "scale")}

    def sent(self, clip: bool, scale: bool) -> ContinuousActions:
        """See `Actions`. ValueError where there is no bound to scale to."""
        unbounded = np.flatnonzero(~np.isfinite([self.low, self.high]).all(axis=0))
        if scale and len(unbounded):
            raise UserError(
                f"scale_actions=True needs finite bounds, and component {unbounded[0]} of "
                f"{self.to_space()} has none on one side: set scale_actions=False, or give the "
                "environment bounds (gymnasium.wrappers.TransformAction)"
            )
        return replace(self, clip=clip, scale=scale)

    @cached_property
    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(1, D) each, in the space's own type, which has them exactly."""
        low, high = (np.array([bound], self.dtype) for bound in (self.low, self.high))
        return low, high

    @cached_property
    def _affine(self) -> tuple[np.ndarray, np.ndarray]:
        """(D,) float64: half the distance of the bounds, and their middle."""
        low, high = np.array(self.low) / 2, np.array(self.high) / 2
        return high - low, high + low

    def to_env(self, act: np.ndarray) -> np.ndarray:
        """(n, D) -> (n, *shape), scaled and clipped to the bounds as is set.

        Only what the environment gets is scaled and clipped: the log-probability belongs to the
        action as drawn, which is the one that the rollout keeps.
        """
        if self.scale:
            half, middle = self._affine
            act = act * half + middle
        if self.clip:
            low, high = self._bounds
            act = np.minimum(np.maximum(act, low), high)
        return act.astype(self.dtype, copy=False).reshape(len(act), *self.shape)

    def from_user(self, actions: np.ndarray) -> np.ndarray:
        """(T, E, *shape) -> (T, E, D), scaled back where that is set."""
        actions = actions.reshape(*actions.shape[:2], -1)
        if not self.scale:
            return actions
        half, middle = self._affine
        # Where the bounds are one, any action is sent as that.
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

    def to_env(self, act: np.ndarray) -> np.ndarray:
        """(n, 1) choices counted from 0, in any number type -> (n,) in the space."""
        return (act[:, 0].astype(np.int64) + self.start).astype(self.dtype, copy=False)

    def from_user(self, actions: np.ndarray) -> np.ndarray:
        """(T, E) integers of the space -> (T, E, 1) counted from 0. ValueError outside of it."""
        return self.choices.from_zero("action", actions[..., None])


class MultiDiscreteActions(MultiDiscrete, Actions):
    """Integers, each drawn from a categorical distribution of its own."""

    distribution = "categorical"

    @property
    def parts(self) -> tuple[int, ...]:
        """nvec[d] network outputs, the logits, for component d."""
        return self.nvec

    @property
    def filler(self) -> np.ndarray:
        """See `Actions`."""
        return self.choices.starts.reshape(self.shape)

    def to_env(self, act: np.ndarray) -> np.ndarray:
        """(n, D) choices counted from 0, in any number type -> (n, *shape) in the space."""
        chosen = (act.astype(np.int64) + self.choices.starts).astype(self.dtype, copy=False)
        return chosen.reshape(len(act), *self.shape)

    def from_user(self, actions: np.ndarray) -> np.ndarray:
        """(T, E, *shape) of the space -> (T, E, D) counted from 0. ValueError outside of it."""
        return self.choices.from_zero("action", actions.reshape(*actions.shape[:2], -1))


class BinaryActions(MultiBinary, Actions):
    """Zeros and ones, each drawn from a Bernoulli distribution of its own."""

    distribution = "bernoulli"

    @property
    def parts(self) -> tuple[int, ...]:
        """One network output, the logit of a one, per component."""
        return (1,) * math.prod(self.shape)

    def to_env(self, act: np.ndarray) -> np.ndarray:
        """(n, D) -> (n, *shape) int8."""
        return act.astype(np.int8).reshape(len(act), *self.shape)

    def from_user(self, actions: np.ndarray) -> np.ndarray:
        """(T, E, *shape) -> (T, E, D). ValueError for what is neither 0 nor 1."""
        return self.choices.from_zero("action", actions.reshape(*actions.shape[:2], -1))


_COUNTED: dict[str, Any] = {
    "Discrete": DiscreteActions,
    "MultiDiscrete": MultiDiscreteActions,
    "MultiBinary": BinaryActions,
}
_KINDS: dict[str, Any] = {kind.kind: kind for kind in (ContinuousActions, *_COUNTED.values())}


def of(space: Any) -> Any:
    """From a Gymnasium space. ValueError for one that is not supported, with what would do."""
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
            f"action space {space} is not supported: fasttrpo takes a Box of real numbers; "
            f"{instead} has the same actions"
        )
    raise UserError(
        f"action space {space} is not supported: fasttrpo takes a Box of real numbers, Discrete, "
        "MultiDiscrete or MultiBinary; a wrapper with an `action` method makes such a space of "
        "another (gymnasium.wrappers.TransformAction)"
    )


def from_json(data: dict[str, Any]) -> Actions:
    """From what `to_json` wrote. KeyError, TypeError or ValueError if it is something else."""
    return _KINDS[data["kind"]].from_json(data)
