"""Batches of observations of E environments: arrays, or nested dicts and tuples of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def copy(batch: Any) -> Any:
    """A deep copy."""
    if type(batch) is np.ndarray:
        return batch.copy()
    if isinstance(batch, Mapping):
        return {key: copy(part) for key, part in batch.items()}
    if isinstance(batch, tuple):
        return tuple(copy(part) for part in batch)
    return np.array(batch)


def row(batch: Any, env: int) -> Any:
    """The observation of one environment."""
    if type(batch) is np.ndarray:  # first, because it is frequent
        return batch[env]
    if isinstance(batch, Mapping):
        return {key: row(part, env) for key, part in batch.items()}
    return tuple(row(part, env) for part in batch) if isinstance(batch, tuple) else batch[env]


def are_finite(batch: Any, where: np.ndarray) -> np.ndarray:
    """(E,) bool: whether each environment's observation is finite; True where `where` is False.

    `batch` may also be a sequence with an observation for each environment.
    """
    finite = np.ones(len(where), bool)
    for env in _envs(where):
        finite[env] = _is_finite(row(batch, env))
    return finite


def _envs(where: np.ndarray) -> list[int]:
    """The environments where it is True."""
    return [env for env, is_true in enumerate(where.tolist()) if is_true]


def _is_finite(observation: Any) -> bool:
    if type(observation) is np.ndarray and observation.dtype.kind != "f":
        return True
    if isinstance(observation, Mapping):
        return all(map(_is_finite, observation.values()))
    if isinstance(observation, tuple):
        return all(map(_is_finite, observation))
    values = np.asarray(observation)
    return values.dtype.kind != "f" or bool(np.isfinite(values).all())


def replaced(batch: Any, where: np.ndarray, other: Any) -> Any:
    """A copy with the observations of `other` where `where` (E,) is True.

    `other` is a batch, or a sequence with an observation for each environment.
    """
    result = copy(batch)
    for env in _envs(where):
        _put(result, env, _one(batch, other, env))
    return result


def _one(like: Any, other: Any, env: int) -> Any:
    """The observation of one environment in `other`, which may be a batch like `like`."""
    if isinstance(like, Mapping) and isinstance(other, Mapping):
        return {key: _one(part, other[key], env) for key, part in like.items()}
    if isinstance(like, tuple) and isinstance(other, tuple):
        return tuple(_one(*parts, env) for parts in zip(like, other, strict=True))
    return other[env]


def _put(batch: Any, env: int, observation: Any) -> None:
    if isinstance(batch, Mapping):
        for key, part in batch.items():
            _put(part, env, observation[key])
    elif isinstance(batch, tuple):
        for part, value in zip(batch, observation, strict=True):
            _put(part, env, value)
    else:
        batch[env] = observation
