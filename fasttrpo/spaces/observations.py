"""Observation spaces: converts observations of any space to rows of O numbers.

The rows equal those of `gymnasium.spaces.flatten`: a Box in C order, Discrete and MultiDiscrete
one-hot, MultiBinary unchanged, the parts of a Tuple in order, and those of a Dict in the order of
its keys, which Gymnasium sorts for a plain dict. Only images differ: as in Stable-Baselines3, a Box
of uint8 with three axes and bounds 0 and 255 is scaled to 0..1. Model files record this ("scaled"),
so that a loaded model gets the inputs that it was trained on.

Observations of a Dict are a dict of arrays, those of a Tuple a tuple of arrays, which start with
the `lead` axes: () for one observation, (n,) for a batch, (T, E) for a rollout.
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
    """A space whose observations are converted to rows of `size` numbers."""

    @cached_property
    def size(self) -> int:
        """Numbers in a row."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the kind of space."""
        raise NotImplementedError

    def to_space(self) -> Any:
        """The Gymnasium space."""
        raise NotImplementedError

    @property
    def plain(self) -> list[tuple[int | None, int]]:
        """For the core, which converts plain observations: of each part, the first choice, or None
        for real numbers; and its size. Empty if it cannot convert them.
        """
        return []

    def rows(
        self, obs: Any, lead: Lead, name: str = "observation", valid: np.ndarray | None = None
    ) -> np.ndarray:
        """Observations with `lead` axes -> (*lead, O), arbitrary where `valid` (*lead) is False.

        Raises ValueError or TypeError with the name of a malformed part.
        """
        raise NotImplementedError

    def lead(self, obs: Any, name: str = "observation") -> Lead:
        """() for one observation, (n,) for a batch of n; ValueError or TypeError otherwise."""
        raise NotImplementedError

    def batch(self, observation: Any) -> tuple[np.ndarray, bool]:
        """(n, O), from one observation or a batch of n; and whether it was a single one.

        Raises ValueError for another shape, TypeError for other data or the tuple of `reset`.
        """
        if _is_reset_result(observation) and not isinstance(self, TupleObservations):
            raise UserTypeError(
                "observation is a tuple (observation, info), as Gymnasium's reset returns: "
                "pass only its first element"
            )
        lead = self.lead(observation)
        return self.rows(observation, lead).reshape(-1, self.size), lead == ()

    def matches(self, other: Observations) -> bool:
        """Whether a model made for these observations also works for the others."""
        return type(self) is type(other) and self == other

    def images(self, name: str = "observation") -> list[str]:
        """The names of the parts that are images."""
        return []

    def unscaled(self, name: str = "observation") -> list[str]:
        """The names of the parts that are bytes from 0 to 255 and not scaled."""
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
        if len(self.shape) != 1:
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
            raise UserError(f"{name} has shape {shape}, expected {self.shape} or a batch of it")
        return shape[:1]


@dataclass(frozen=True)
class BoxObservations(Box, _Array):
    """Numbers unchanged, or images scaled to 0..1.

    scaled  as in the model's training: models of older versions scale either all bytes or none
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
        """From the result of `to_json`. KeyError, TypeError or ValueError for other data."""
        box = Box.from_json(data)
        scaled = bool(data.get("scaled", False))
        return cls(box.shape, box.low, box.high, box.dtype, scaled=scaled)

    @property
    def plain(self) -> list[tuple[int | None, int]]:
        """See `Observations`."""
        is_plain = self.dtype in ("float32", "float64") and len(self.shape) in (1, 2)
        return [(None, self.size)] if is_plain else []

    def rows(
        self, obs: Any, lead: Lead, name: str = "observation", valid: np.ndarray | None = None
    ) -> np.ndarray:
        is_float = type(obs) is np.ndarray and obs.dtype.kind == "f"
        if is_float and valid is None and self._are_rows and obs.shape == lead + self.shape:
            return obs
        return super().rows(obs, lead, name, valid)

    @cached_property
    def _are_rows(self) -> bool:
        """Whether valid observations are rows as they are."""
        return len(self.shape) == 1 and not self.scaled

    def _encoded(self, name: str, obs: np.ndarray) -> np.ndarray:
        return obs / 255.0 if self.scaled else obs

    def matches(self, other: Observations) -> bool:
        """Whether the shapes are equal, and both or neither are bytes."""
        if not isinstance(other, BoxObservations):
            return False
        return self.shape == other.shape and _are_bytes(self) == _are_bytes(other)

    def images(self, name: str = "observation") -> list[str]:
        """Its name, if it has bytes and at least two axes."""
        return [name] if _are_bytes(self) and len(self.shape) > 1 else []

    def unscaled(self, name: str = "observation") -> list[str]:
        """Its name, if it has bytes from 0 to 255 and is not scaled."""
        return [name] if _are_bytes(self) and not self.scaled else []


def _are_bytes(box: Box) -> bool:
    return box.dtype == "uint8" and set(box.low) == {0} and set(box.high) == {255}


class _OneHot(_Array):
    """Integers, each one-hot."""

    @cached_property
    def choices(self) -> Choices:
        """Their ranges."""
        raise NotImplementedError

    @cached_property
    def size(self) -> int:
        """Numbers in a row: one for each value of each component."""
        return self.choices.total

    def _encoded(self, name: str, obs: np.ndarray) -> np.ndarray:
        return self.choices.one_hot(name, obs)


class DiscreteObservations(Discrete, _OneHot):
    """One integer, one-hot."""

    @property
    def plain(self) -> list[tuple[int | None, int]]:
        """See `Observations`."""
        return [(self.start, self.n)] if self.dtype == "int64" else []

    def rows(
        self, obs: Any, lead: Lead, name: str = "observation", valid: np.ndarray | None = None
    ) -> np.ndarray:
        obs = obs if type(obs) is np.ndarray else np.asarray(obs)
        place = self.place(obs, lead) if valid is None else None
        if place is None:
            return super().rows(obs, lead, name, valid)
        row = np.zeros((1, self.n), np.float32)
        row[0, place] = 1
        return row if lead == (1,) else row.reshape(*lead, self.n)

    def place(self, obs: np.ndarray, lead: Lead) -> int | None:
        """Where the one is, for one integer in the space; None for anything else."""
        if obs.shape != lead or obs.size != 1 or obs.dtype.kind not in "iub":
            return None
        place = obs.item() - self.start
        return place if 0 <= place < self.n else None


class MultiDiscreteObservations(MultiDiscrete, _OneHot):
    """Integers, each one-hot, concatenated."""


class MultiBinaryObservations(MultiBinary, _Array):
    """Zeros and ones, unchanged."""


@dataclass(frozen=True)
class _Parts(Observations):
    """A space composed of others, each under a key."""

    parts: tuple[tuple[Any, Observations], ...]

    @cached_property
    def size(self) -> int:
        """Numbers in a row: those of all parts."""
        return sum(part.size for _, part in self.parts)

    @property
    def plain(self) -> list[tuple[int | None, int]]:
        """See `Observations`. Parts of parts are not plain."""
        each = [part.plain for _, part in self.parts if not isinstance(part, _Parts)]
        return [part for (part,) in each] if all(each) and len(each) == len(self.parts) else []

    def rows(
        self, obs: Any, lead: Lead, name: str = "observation", valid: np.ndarray | None = None
    ) -> np.ndarray:
        if lead == (1,) and valid is None and self._discrete:
            row = self._one_hot(obs, name)
            if row is not None:
                return row
        parts = self._each(obs, name)
        return np.concatenate([part.rows(o, lead, at, valid) for part, o, at in parts], axis=-1)

    @cached_property
    def _discrete(self) -> list[tuple[Any, DiscreteObservations]]:
        """The parts if all are one integer, else none."""
        parts = [(key, part) for key, part in self.parts if isinstance(part, DiscreteObservations)]
        return parts if len(parts) == len(self.parts) else []

    def _one_hot(self, obs: Any, name: str) -> np.ndarray | None:
        """The row of one environment's integers; None for anything else in the parts."""
        self._check(obs, name)
        row, first = np.zeros((1, self.size), np.float32), 0
        for key, part in self._discrete:
            given = obs[key]
            place = part.place(given, (1,)) if type(given) is np.ndarray else None
            if place is None:
                return None
            row[0, first + place] = 1
            first += part.size
        return row

    def lead(self, obs: Any, name: str = "observation") -> Lead:
        leads = {at: part.lead(o, at) for part, o, at in self._each(obs, name)}
        (first, lead), *others = leads.items()
        for at, other in others:
            if other != lead:
                raise UserError(f"{at} is {_number(other)}, but {first} is {_number(lead)}")
        return lead

    def matches(self, other: Observations) -> bool:
        """Whether both have matching parts under the same keys, in any order."""
        if not isinstance(other, _Parts) or type(self) is not type(other):
            return False
        if len(self.parts) != len(other.parts):
            return False
        theirs = dict(other.parts)
        return all(key in theirs and part.matches(theirs[key]) for key, part in self.parts)

    def images(self, name: str = "observation") -> list[str]:
        """The names of the parts that are images."""
        return [image for key, part in self.parts for image in part.images(f"{name}[{key!r}]")]

    def unscaled(self, name: str = "observation") -> list[str]:
        """The names of the parts that are unscaled bytes."""
        return [each for key, part in self.parts for each in part.unscaled(f"{name}[{key!r}]")]

    def _each(self, obs: Any, name: str) -> list[tuple[Observations, Any, str]]:
        """(part, its observation, its name) for each part in order."""
        self._check(obs, name)
        if name not in self._names:
            self._names[name] = [(key, part, f"{name}[{key!r}]") for key, part in self.parts]
        return [(part, obs[key], at) for key, part, at in self._names[name]]

    @cached_property
    def _names(self) -> dict[str, list[tuple[Any, Observations, str]]]:
        """By the name of the whole: each part's key, and its name."""
        return {}

    def _check(self, obs: Any, name: str) -> None:
        """Raises TypeError or ValueError unless `obs` has every key."""
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
        """From a `gymnasium.spaces.Dict`. Raises ValueError for keys that cannot be saved."""
        keys = [_key(key, name) for key in space.spaces]
        each = zip(keys, space.spaces.values(), strict=True)
        return cls(tuple((key, from_space(part, f"{name}[{key!r}]")) for key, part in each))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> DictObservations:
        """From the result of `to_json`. KeyError, TypeError or ValueError for other data."""
        parts = [(_key(key, "the Dict"), from_json(part)) for key, part in data["parts"]]
        if len(dict(parts)) < len(parts):
            raise UserError("a Dict with a duplicate key")
        return cls(tuple(parts))

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the kind of space."""
        return {"kind": "dict", "parts": [[key, part.to_json()] for key, part in self.parts]}

    def to_space(self) -> Any:
        """The `gymnasium.spaces.Dict`, its keys in the same order."""
        from gymnasium import spaces

        return spaces.Dict([(key, part.to_space()) for key, part in self.parts])


class TupleObservations(_Parts):
    """Parts in order; their keys are 0, 1, ..."""

    def _check(self, obs: Any, name: str) -> None:
        if not isinstance(obs, tuple | list):
            n = len(self.parts)
            raise UserTypeError(f"{name} must be a tuple of {n} parts, got {type(obs).__name__}")
        if len(obs) != len(self.parts):
            raise UserError(f"{name} has {len(obs)} parts, expected {len(self.parts)}")

    @classmethod
    def from_space(cls, space: Any, name: str) -> TupleObservations:
        """From a `gymnasium.spaces.Tuple`."""
        return cls(tuple((i, from_space(s, f"{name}[{i}]")) for i, s in enumerate(space.spaces)))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TupleObservations:
        """From the result of `to_json`. KeyError, TypeError or ValueError for other data."""
        return cls(tuple(enumerate(map(from_json, data["parts"]))))

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the kind of space."""
        return {"kind": "tuple", "parts": [part.to_json() for _, part in self.parts]}

    def to_space(self) -> Any:
        """The `gymnasium.spaces.Tuple`."""
        from gymnasium import spaces

        return spaces.Tuple([part.to_space() for _, part in self.parts])


def _key(key: Any, name: str) -> str | int:
    """A key that JSON can represent. Raises ValueError for any other."""
    if isinstance(key, str):
        return key
    if isinstance(key, int | np.integer):
        return int(key)
    raise UserError(
        f"{name} has the key {key!r}, which cannot be saved with a model: use strings or integers "
        "as keys"
    )


def _is_reset_result(given: Any) -> bool:
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


def from_space(space: Any, name: str = "observation space") -> Observations:
    """From a Gymnasium space. Raises ValueError if it is not supported."""
    from gymnasium import spaces

    for kind, observations in _ARRAYS.items():
        if isinstance(space, getattr(spaces, kind)):
            return observations.from_space(space)
    for kind, observations in _PARTS.items():
        if isinstance(space, getattr(spaces, kind)):
            return observations.from_space(space, name)
    raise UserError(
        f"{name} {space} is not supported: use Box, Discrete, MultiDiscrete, MultiBinary, or Dict "
        "and Tuple of these; gymnasium.wrappers.TransformObservation converts other spaces to one "
        "of these"
    )


def from_json(data: dict[str, Any]) -> Observations:
    """From the result of `to_json`. KeyError, TypeError or ValueError for other data."""
    return _KINDS[data["kind"]].from_json(data)
