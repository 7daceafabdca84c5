"""What the agent sees: observations of any space as rows of O numbers.

The rows are those of `gymnasium.spaces.flatten`: a Box in C order, Discrete and MultiDiscrete
one-hot, MultiBinary as it is, Tuple part after part, and Dict in the order of the space's keys,
which Gymnasium sorts where a space is made from a plain dict. Images alone differ: what
Stable-Baselines3 takes for one, a Box of uint8 with three axes and bounds 0 and 255, is scaled to
0..1. Files of models say whether it is ("scaled"), so that each sees what it was trained on.

A batch of a Dict is a dict of arrays, and of a Tuple a tuple of arrays, with the `lead` axes first
in each: () for one observation, (n,) for a batch, (T, E) for a rollout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fasttrpo.errors import UserError, UserTypeError
from fasttrpo.spaces.convert import Choices, Lead, numeric
from fasttrpo.spaces.kinds import Box, Discrete, MultiBinary, MultiDiscrete


class Observations:
    """A space whose observations become rows of `size` numbers."""

    @property
    def size(self) -> int:
        """Numbers in a row."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the kind of space."""
        raise NotImplementedError

    def to_space(self) -> Any:
        """The space of Gymnasium's."""
        raise NotImplementedError

    def rows(
        self, obs: Any, lead: Lead, name: str = "observation", valid: np.ndarray | None = None
    ) -> np.ndarray:
        """Observations with `lead` axes -> (*lead, O). Where `valid` (*lead) is False: anything.

        ValueError or TypeError names what is of another form.
        """
        raise NotImplementedError

    def lead(self, obs: Any, name: str = "observation") -> Lead:
        """() for one observation, (n,) for a batch of n. ValueError or TypeError if neither."""
        raise NotImplementedError

    def batch(self, observation: Any) -> tuple[np.ndarray, bool]:
        """One observation, or a batch of n, as (n, O); and whether it was one alone.

        ValueError for another shape, TypeError for no numbers, and for what `reset` returns.
        """
        if _is_answer_of_reset(observation) and not isinstance(self, TupleObservations):
            raise UserTypeError(
                "observation is a tuple (observation, info), as Gymnasium's reset returns it: "
                "pass its first part alone"
            )
        lead = self.lead(observation)
        return self.rows(observation, lead).reshape(-1, self.size), lead == ()

    def matches(self, other: Observations) -> bool:
        """Whether a model for these observations can take the other's."""
        return type(self) is type(other) and self == other

    def images(self, name: str = "observation") -> list[str]:
        """The names of the parts that are images."""
        return []

    def unscaled(self, name: str = "observation") -> list[str]:
        """The names of the parts that are bytes from 0 to 255 as they are."""
        return []


class _Array(Observations):
    """A space whose observations are arrays of one shape."""

    shape: Any

    @cached_property
    def size(self) -> int:
        """Numbers in a row."""
        return math.prod(self.shape)

    def rows(
        self, obs: Any, lead: Lead, name: str = "observation", valid: np.ndarray | None = None
    ) -> np.ndarray:
        obs = numeric(name, obs)
        if obs.shape != (*lead, *self.shape):
            raise UserError(f"{name} has shape {obs.shape}, expected {(*lead, *self.shape)}")
        obs = obs.reshape(*lead, math.prod(self.shape))
        if valid is not None:
            obs = np.where(valid[..., None], obs, getattr(self, "start", 0))
        return self._encoded(name, obs)

    def _encoded(self, name: str, obs: np.ndarray) -> np.ndarray:
        """(*lead, components) -> (*lead, O)."""
        return obs

    def lead(self, obs: Any, name: str = "observation") -> Lead:
        shape = np.shape(obs)
        if shape == self.shape:
            return ()
        if shape[1:] != self.shape or shape[:1] in ((), (0,)):
            raise UserError(f"{name} has shape {shape}, expected {self.shape} or a batch of such")
        return shape[:1]


@dataclass(frozen=True)
class BoxObservations(Box, _Array):
    """Numbers as they are; images scaled to 0..1.

    scaled  as the model was trained: older ones scale no bytes at all, or all that there are
    """

    scaled: bool = False

    @classmethod
    def from_space(cls, space: Any) -> BoxObservations:
        """From a `gymnasium.spaces.Box`."""
        box = Box.from_space(space)
        is_image = _are_bytes(box) and len(box.shape) == 3
        return cls(box.shape, box.low, box.high, box.dtype, scaled=is_image)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> BoxObservations:
        """From what `to_json` wrote. KeyError, TypeError or ValueError if it is something else."""
        box = Box.from_json(data)
        scaled = bool(data.get("scaled", False))
        return cls(box.shape, box.low, box.high, box.dtype, scaled=scaled)

    def _encoded(self, name: str, obs: np.ndarray) -> np.ndarray:
        return obs / 255.0 if self.scaled else obs

    def matches(self, other: Observations) -> bool:
        """The same shape, and both are bytes or neither is."""
        if not isinstance(other, BoxObservations):
            return False
        return self.shape == other.shape and _are_bytes(self) == _are_bytes(other)

    def images(self, name: str = "observation") -> list[str]:
        """Itself, if it is bytes with rows and columns."""
        return [name] if _are_bytes(self) and len(self.shape) > 1 else []

    def unscaled(self, name: str = "observation") -> list[str]:
        """Itself, if it is bytes from 0 to 255 as they are."""
        return [name] if _are_bytes(self) and not self.scaled else []


def _are_bytes(box: Box) -> bool:
    return box.dtype == "uint8" and set(box.low) == {0} and set(box.high) == {255}


class _OneHot(_Array):
    """Integers, each as zeros with a one among them."""

    @property
    def choices(self) -> Choices:
        """What they may be."""
        raise NotImplementedError

    @cached_property
    def size(self) -> int:
        """Numbers in a row: as many for each component as it has values."""
        return self.choices.total

    def _encoded(self, name: str, obs: np.ndarray) -> np.ndarray:
        return self.choices.one_hot(name, obs)


class DiscreteObservations(Discrete, _OneHot):
    """One integer, one-hot."""


class MultiDiscreteObservations(MultiDiscrete, _OneHot):
    """Integers, one-hot one after the other."""


class MultiBinaryObservations(MultiBinary, _Array):
    """Zeros and ones as they are."""


@dataclass(frozen=True)
class _Parts(Observations):
    """A space that is put together from others, each under its key."""

    parts: tuple[tuple[Any, Observations], ...]

    @cached_property
    def size(self) -> int:
        """Numbers in a row: the parts' one after the other."""
        return sum(part.size for _, part in self.parts)

    def rows(
        self, obs: Any, lead: Lead, name: str = "observation", valid: np.ndarray | None = None
    ) -> np.ndarray:
        parts = self._each(obs, name)
        return np.concatenate([part.rows(o, lead, at, valid) for part, o, at in parts], axis=-1)

    def lead(self, obs: Any, name: str = "observation") -> Lead:
        leads = {at: part.lead(o, at) for part, o, at in self._each(obs, name)}
        (first, lead), *others = leads.items()
        for at, other in others:
            if other != lead:
                raise UserError(f"{at} is {_number(other)}, but {first} is {_number(lead)}")
        return lead

    def matches(self, other: Observations) -> bool:
        """The same parts under the same keys, in whatever order."""
        if type(self) is not type(other) or len(self.parts) != len(other.parts):
            return False
        theirs = dict(other.parts)
        return all(key in theirs and part.matches(theirs[key]) for key, part in self.parts)

    def images(self, name: str = "observation") -> list[str]:
        """The parts' images."""
        return [image for key, part in self.parts for image in part.images(f"{name}[{key!r}]")]

    def unscaled(self, name: str = "observation") -> list[str]:
        """The parts' bytes."""
        return [each for key, part in self.parts for each in part.unscaled(f"{name}[{key!r}]")]

    def _each(self, obs: Any, name: str) -> list[tuple[Observations, Any, str]]:
        """The parts in order, each with what is its own in `obs`, and that one's name."""
        self._check(obs, name)
        return [(part, obs[key], f"{name}[{key!r}]") for key, part in self.parts]

    def _check(self, obs: Any, name: str) -> None:
        """TypeError or ValueError unless `obs` has every key."""
        raise NotImplementedError


class DictObservations(_Parts):
    """Parts by name, in the order of the space."""

    def _check(self, obs: Any, name: str) -> None:
        keys = [key for key, _ in self.parts]
        if not isinstance(obs, Mapping):
            raise UserTypeError(f"{name} must be a dict with {keys}, got {type(obs).__name__}")
        for key in keys:
            if key not in obs:
                raise UserError(f"{name} lacks {key!r}: it has {list(obs)}")

    @classmethod
    def from_space(cls, space: Any, name: str) -> DictObservations:
        """From a `gymnasium.spaces.Dict`. ValueError for keys that no file can keep."""
        keys = [_key(key, name) for key in space.spaces]
        each = zip(keys, space.spaces.values(), strict=True)
        return cls(tuple((key, of(part, f"{name}[{key!r}]")) for key, part in each))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> DictObservations:
        """From what `to_json` wrote. KeyError, TypeError or ValueError if it is something else."""
        parts = [(_key(key, "the Dict"), from_json(part)) for key, part in data["parts"]]
        if len(dict(parts)) < len(parts):
            raise UserError("a Dict with a key twice")
        return cls(tuple(parts))

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the kind of space."""
        return {"kind": "dict", "parts": [[key, part.to_json()] for key, part in self.parts]}

    def to_space(self) -> Any:
        """The `gymnasium.spaces.Dict`, its keys in the same order."""
        from gymnasium import spaces

        return spaces.Dict([(key, part.to_space()) for key, part in self.parts])


class TupleObservations(_Parts):
    """Parts in a row; their keys are 0, 1, ..."""

    def _check(self, obs: Any, name: str) -> None:
        if not isinstance(obs, tuple | list):
            n = len(self.parts)
            raise UserTypeError(f"{name} must be a tuple of {n} parts, got {type(obs).__name__}")
        if len(obs) != len(self.parts):
            raise UserError(f"{name} has {len(obs)} parts, expected {len(self.parts)}")

    @classmethod
    def from_space(cls, space: Any, name: str) -> TupleObservations:
        """From a `gymnasium.spaces.Tuple`."""
        return cls(tuple((i, of(s, f"{name}[{i}]")) for i, s in enumerate(space.spaces)))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TupleObservations:
        """From what `to_json` wrote. KeyError, TypeError or ValueError if it is something else."""
        return cls(tuple(enumerate(map(from_json, data["parts"]))))

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the kind of space."""
        return {"kind": "tuple", "parts": [part.to_json() for _, part in self.parts]}

    def to_space(self) -> Any:
        """The `gymnasium.spaces.Tuple`."""
        from gymnasium import spaces

        return spaces.Tuple([part.to_space() for _, part in self.parts])


def _key(key: Any, name: str) -> str | int:
    """A key as JSON has it."""
    if isinstance(key, str):
        return key
    if isinstance(key, int | np.integer):
        return int(key)
    raise UserError(
        f"{name} has the key {key!r}, which a saved model cannot keep: name its parts by words or "
        "integers"
    )


def _is_answer_of_reset(given: Any) -> bool:
    return isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], Mapping)


def _number(lead: Lead) -> str:
    return f"a batch of {lead[0]}" if lead else "one observation"


_ARRAYS: dict[str, Any] = {
    "Box": BoxObservations,
    "Discrete": DiscreteObservations,
    "MultiDiscrete": MultiDiscreteObservations,
    "MultiBinary": MultiBinaryObservations,
}
_PARTS: dict[str, Any] = {"Dict": DictObservations, "Tuple": TupleObservations}
_KINDS: dict[str, Any] = {kind.kind: kind for kind in _ARRAYS.values()}
_KINDS |= {"dict": DictObservations, "tuple": TupleObservations}


def of(space: Any, name: str = "observation space") -> Observations:
    """From a Gymnasium space. ValueError for one that is not supported, or that has nothing."""
    from gymnasium import spaces

    for kind, observations in _ARRAYS.items():
        if isinstance(space, getattr(spaces, kind)):
            return observations.from_space(space)
    for kind, observations in _PARTS.items():
        if isinstance(space, getattr(spaces, kind)):
            return observations.from_space(space, name)
    raise UserError(
        f"{name} {space} is not supported: fasttrpo takes Box, Discrete, MultiDiscrete and "
        "MultiBinary, and Dict and Tuple of these; gymnasium.wrappers.TransformObservation makes "
        "such a space of another"
    )


def from_json(data: dict[str, Any]) -> Observations:
    """From what `to_json` wrote. KeyError, TypeError or ValueError if it is something else."""
    return _KINDS[data["kind"]].from_json(data)
