"""One step of E environments, and the info of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fasttrpo.stream.infos import LazyColumns


@dataclass(slots=True)
class Step:
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
    """(E,) bool: no step happened; the environment only reset itself"""
    done: np.ndarray
    """(E,) bool: an episode ended in this step"""
    infos: Mapping[str, Any] = field(default_factory=dict)
    """the environments' infos, as columns by key"""
    ended: Sequence[int] | None = None
    """the environments whose episodes ended, from those that are stepped in turn: all of them
    stepped, and nothing scaled the rewards; None from others"""

    @property
    def raw_rewards(self) -> np.ndarray:
        """(E,) the rewards before a `VecNormalize` scaled them."""
        has_them = self._is_from_vec_env and "raw_reward" in self.infos
        return self.infos["raw_reward"] if has_them else self.rewards

    @property
    def _is_from_vec_env(self) -> bool:
        """Whether a `WrappedVecEnv` wrote the infos: its keys have no "_key", unlike others'."""
        infos = self.infos
        is_dict = type(infos) is dict
        return is_dict and "vec_env_infos" in infos and "_vec_env_infos" not in infos

    def last_info(self, env: int) -> Mapping[str, Any]:
        """`info` after the end of an episode; not to be written to."""
        return self.infos.finals[env] if type(self.infos) is LazyColumns else self.info(env)

    def info(self, env: int) -> dict[str, Any]:
        """One environment's info; if its episode ended, that of the last step."""
        if self._is_from_vec_env:
            return dict(self.infos["vec_env_infos"][env])
        return info_of(self.infos, env, bool(self.done[env]))


def info_around(infos: Mapping, key: str, env: int) -> Any:
    """What a wrapper around a vector environment reported at an episode's end, or None. If the
    environment resets in the same step, that is outside infos["final_info"], among the next
    episode's infos.
    """
    value: Any = infos.get(key) if _is_valid(infos.get(f"_{key}"), env) else None
    if isinstance(value, dict):
        return info_of(value, env)
    return value[env] if _has_rows(value) and len(value) > env else None


def info_of(infos: Any, env: int, done: bool = False) -> dict[str, Any]:
    """One environment's info from Gymnasium's columns (arrays by key; "_key" says which rows are
    valid) or from an array of dicts.

    done  its episode ended: the info of the end, even if the next one started in the same step
    """
    if not isinstance(infos, Mapping):
        return _as_dict(infos[env])
    if done and _are_infos(infos.get("final_info"), env):
        return info_of(infos["final_info"], env)
    info = {}
    for key, values in infos.items():
        if _is_mask(key, infos) or not _is_valid(infos.get(f"_{key}"), env):
            continue
        if isinstance(values, dict):
            info[key] = info_of(values, env)
        elif _has_rows(values) and len(values) > env:
            info[key] = values[env]
    return info


def _is_mask(key: Any, infos: Mapping) -> bool:
    """Whether this key says which rows of another one are valid."""
    return str(key).startswith("_") and (f"_{key}" not in infos or str(key)[1:] in infos)


def _as_dict(info: Any) -> dict[str, Any]:
    return dict(info) if isinstance(info, Mapping) else {}


def _are_infos(final: Any, env: int) -> bool:
    """Whether a vector environment wrote this, not an environment that uses the same key."""
    if isinstance(final, Mapping):
        return True
    row = final[env] if _has_rows(final) and len(final) > env else 0
    return row is None or isinstance(row, Mapping)


def _is_valid(rows: Any, env: int) -> bool:
    """Whether an environment's row is valid by "_key"; True without one."""
    is_mask = isinstance(rows, np.ndarray) and rows.dtype.kind == "b"
    return not is_mask or bool(rows[env])


def _has_rows(values: Any) -> bool:
    return isinstance(values, list | tuple) or getattr(values, "ndim", 0) > 0
