"""The kinds of spaces as plain values, without Gymnasium; converted to JSON and back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from fasttrpo.checks.values import LARGEST_SIZE, integer
from fasttrpo.errors import UserError, UserTypeError
from fasttrpo.spaces.convert import Choices

_LENGTH = integer(0, LARGEST_SIZE)
_COUNT = integer(1, LARGEST_SIZE)
_INT64 = integer(-(2**63), 2**63 - 1)
_MOST_AXES = 32  # of an array in NumPy 1


# The names of the dtypes of real numbers; several codes have the same name.
_DTYPES = {np.dtype(code).name for code in "?bhilqBHILQefdg"}


def _list(name: str, data: Any) -> list[Any]:
    if not isinstance(data, list | tuple):
        raise UserTypeError(f"{name} is not a list: {str(data)[:40]!r}")
    return list(data)


def _shape(data: Any) -> tuple[int, ...]:
    shape = tuple(_LENGTH("length", each) for each in _list("shape", data))
    if math.prod(shape) > LARGEST_SIZE or len(shape) > _MOST_AXES:
        raise UserError(f"a shape of {math.prod(shape)} numbers in {len(shape)} axes")
    return shape


def _dtype(data: Any, kinds: str = "fiub") -> str:
    """The name of the dtype in this version of NumPy."""
    name = np.dtype(data).name if isinstance(data, str) and len(data) < 20 else None
    if name not in _DTYPES or np.dtype(name).kind not in kinds:
        raise UserError(f"{str(data)[:40]!r} is not a dtype of these numbers")
    return name


def _bounds(name: str, data: Any, dtype: np.dtype) -> tuple[float, ...]:
    """The bounds on one side, which the dtype must represent.

    Integers stay integers, because floats cannot represent the largest ones. Raises TypeError or
    ValueError for values that are not numbers, and for NaN.
    """
    values = _list(name, data)
    if any(type(each) not in (float, int, bool) or each != each for each in values):
        raise UserError(f"{name} holds values that are not numbers")
    if dtype.kind == "f":
        return tuple(map(float, values))
    if any(each != int(each) for each in values):
        raise UserError(f"{name} holds values that are not integers")
    whole = tuple(map(int, values))
    largest = np.iinfo(dtype) if dtype.kind != "b" else None
    low, high = (0, 1) if largest is None else (int(largest.min), int(largest.max))
    if whole and not low <= min(whole) <= max(whole) <= high:
        raise UserError(f"{name} is out of range for {dtype}")
    return whole


class Kind:
    """Base class of the kinds of spaces. `kind` is the name in JSON."""

    kind: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the kind of space."""
        return {"kind": self.kind, **{f.name: getattr(self, f.name) for f in fields(self)}}


@dataclass(frozen=True)
class Box(Kind):
    """An array of numbers between two bounds, flattened in C order."""

    shape: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    dtype: str

    kind = "box"
    dtypes = "fiub"

    @classmethod
    def from_space(cls, space: Any) -> Self:
        """From a `gymnasium.spaces.Box`."""
        low, high = (tuple(np.ravel(bound).tolist()) for bound in (space.low, space.high))
        return cls(tuple(space.shape), low, high, np.dtype(space.dtype).name)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """From the result of `to_json`. KeyError, TypeError or ValueError for other data."""
        shape, dtype = _shape(data["shape"]), _dtype(data["dtype"], cls.dtypes)
        low, high = (_bounds(side, data[side], np.dtype(dtype)) for side in ("low", "high"))
        if not len(low) == len(high) == math.prod(shape):
            raise UserError(f"a Box of shape {shape} with {len(low)} lower bounds")
        if any(a > b for a, b in zip(low, high, strict=True)):
            raise UserError("a Box with a lower bound above the upper one")
        return cls(shape, low, high, dtype)

    def to_space(self) -> Any:
        """The `gymnasium.spaces.Box`."""
        from gymnasium import spaces

        low, high = (np.asarray(b, self.dtype).reshape(self.shape) for b in (self.low, self.high))
        return spaces.Box(low, high, self.shape, np.dtype(self.dtype))


@dataclass(frozen=True)
class Discrete(Kind):
    """The integers start, ..., start + n - 1."""

    n: int
    start: int = 0
    dtype: str = field(default="int64", compare=False)

    kind = "discrete"
    shape = ()

    @cached_property
    def choices(self) -> Choices:
        """Its one component."""
        return Choices((self.n,), (self.start,))

    @classmethod
    def from_space(cls, space: Any) -> Self:
        """From a `gymnasium.spaces.Discrete`."""
        return cls(int(space.n), int(space.start), np.dtype(space.dtype).name)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """From the result of `to_json`. KeyError, TypeError or ValueError for other data."""
        dtype = _dtype(data.get("dtype", "int64"), "iu")
        n, start = _COUNT("n", data["n"]), _INT64("start", data["start"])
        _INT64("start + n", start + n)
        return cls(n, start, dtype)

    def to_space(self) -> Any:
        """The `gymnasium.spaces.Discrete`."""
        from gymnasium import spaces

        # Some versions of Gymnasium have no dtype here.
        typed: Any = {} if self.dtype == "int64" else {"dtype": self.dtype}
        return spaces.Discrete(self.n, start=self.start, **typed)


@dataclass(frozen=True)
class MultiDiscrete(Kind):
    """An array of integers, in C order: start[d] <= component d < start[d] + nvec[d]."""

    shape: tuple[int, ...]
    nvec: tuple[int, ...]
    start: tuple[int, ...]
    dtype: str = field(default="int64", compare=False)

    kind = "multi_discrete"

    @cached_property
    def choices(self) -> Choices:
        """Its components."""
        return Choices(self.nvec, self.start)

    @classmethod
    def from_space(cls, space: Any) -> Self:
        """From a `gymnasium.spaces.MultiDiscrete`."""
        nvec, start = (tuple(np.ravel(each).tolist()) for each in (space.nvec, space.start))
        return cls(tuple(space.shape), nvec, start, np.dtype(space.dtype).name)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """From the result of `to_json`. KeyError, TypeError or ValueError for other data."""
        shape = _shape(data["shape"])
        nvec = tuple(_COUNT("nvec", n) for n in _list("nvec", data["nvec"]))
        start = tuple(_INT64("start", first) for first in _list("start", data["start"]))
        if not len(nvec) == len(start) == math.prod(shape):
            raise UserError(f"a MultiDiscrete of shape {shape} with {len(nvec)} components")
        for n, first in zip(nvec, start, strict=True):
            _INT64("start + nvec", first + n)
        return cls(shape, nvec, start, _dtype(data["dtype"], "iu"))

    def to_space(self) -> Any:
        """The `gymnasium.spaces.MultiDiscrete`."""
        from gymnasium import spaces

        nvec, start = (np.array(each).reshape(self.shape) for each in (self.nvec, self.start))
        return spaces.MultiDiscrete(nvec, dtype=np.dtype(self.dtype).type, start=start)


@dataclass(frozen=True)
class MultiBinary(Kind):
    """An array of zeros and ones, in C order."""

    shape: tuple[int, ...]

    kind = "multi_binary"

    @cached_property
    def choices(self) -> Choices:
        """Its components."""
        return Choices((2,) * math.prod(self.shape), (0,) * math.prod(self.shape))

    @classmethod
    def from_space(cls, space: Any) -> Self:
        """From a `gymnasium.spaces.MultiBinary`."""
        return cls(tuple(map(int, space.shape)))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """From the result of `to_json`. KeyError, TypeError or ValueError for other data."""
        return cls(_shape(data["shape"]))

    def to_space(self) -> Any:
        """The `gymnasium.spaces.MultiBinary`."""
        from gymnasium import spaces

        return spaces.MultiBinary(self.shape[0] if len(self.shape) == 1 else self.shape)
