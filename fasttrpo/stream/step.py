"""One step of E environments, and what each of them said of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


class Step(NamedTuple):
    """One step of E environments."""

    rewards: np.ndarray
    """(E,) float64"""
    terminated: np.ndarray
    """(E,) bool"""
    truncated: np.ndarray
    """(E,) bool"""
    next_obs: Any
    """(E, *obs): the observations after the step, before any reset"""
    skip: np.ndarray
    """(E,) bool: no step happened here, the environment only reset itself"""
    done: np.ndarray
    """(E,) bool: an episode ended in this step"""
    infos: dict[str, Any] = {}  # noqa: RUF012 - never written to
    """what else the environments said, by key"""

    @property
    def raw_rewards(self) -> np.ndarray:
        """(E,) the rewards before a `VecNormalize` scaled them, if one did."""
        has_them = self._is_vec_env_s and "raw_reward" in self.infos
        return self.infos["raw_reward"] if has_them else self.rewards

    @property
    def _is_vec_env_s(self) -> bool:
        """Whether a `WrappedVecEnv` says so: with what environments say, there is a "_key"."""
        return "vec_env_infos" in self.infos and "_vec_env_infos" not in self.infos

    def info(self, env: int) -> dict[str, Any]:
        """What an environment said by itself; where its episode ended, of its end."""
        if self._is_vec_env_s:
            return dict(self.infos["vec_env_infos"][env])
        return info_of(self.infos, env, bool(self.done[env]))


def told_around(infos: Mapping, key: str, env: int) -> Any:
    """What a wrapper around a vector environment that resets in the same step told of an end: it
    stands beside infos["final_info"], among what was said of the next episode. None if nothing.
    """
    value: Any = infos.get(key) if _counts(infos.get(f"_{key}"), env) else None
    if isinstance(value, dict):
        return info_of(value, env)
    return value[env] if _has_rows(value) and len(value) > env else None


def info_of(infos: Any, env: int, done: bool = False) -> dict[str, Any]:
    """One environment's of Gymnasium's vector form: arrays by key, and where there is one, "_key",
    which rows count; or of an array of dicts.

    done  its episode ended: where the next one began in the same step, what was said of the end
    """
    if not isinstance(infos, Mapping):
        return _as_dict(infos[env])
    if done and _are_infos(infos.get("final_info"), env):
        return info_of(infos["final_info"], env)
    info = {}
    for key, values in infos.items():
        if _is_mask(key, infos) or not _counts(infos.get(f"_{key}"), env):
            continue
        if isinstance(values, dict):
            info[key] = info_of(values, env)
        elif _has_rows(values) and len(values) > env:
            info[key] = values[env]
    return info


def _is_mask(key: Any, infos: Mapping) -> bool:
    """Whether this tells whose rows of another key count."""
    return str(key).startswith("_") and (f"_{key}" not in infos or str(key)[1:] in infos)


def _as_dict(info: Any) -> dict[str, Any]:
    return dict(info) if isinstance(info, Mapping) else {}


def _are_infos(final: Any, env: int) -> bool:
    """Whether this is what a vector environment says of ends, not what an environment calls so."""
    if isinstance(final, Mapping):
        return True
    row = final[env] if _has_rows(final) and len(final) > env else 0
    return row is None or isinstance(row, Mapping)


def _counts(rows: Any, env: int) -> bool:
    """Whether an environment said it, by "_key": True unless that tells otherwise."""
    is_mask = isinstance(rows, np.ndarray) and rows.dtype.kind == "b"
    return not is_mask or bool(rows[env])


def _has_rows(values: Any) -> bool:
    return isinstance(values, list | tuple) or getattr(values, "ndim", 0) > 0
