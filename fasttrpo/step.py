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
        return self.infos.get("raw_reward", self.rewards)

    def info(self, env: int) -> dict[str, Any]:
        """What an environment said by itself; where its episode ended, of its end."""
        if "vec_env_infos" in self.infos:
            return dict(self.infos["vec_env_infos"][env])
        return info_of(self.infos, env, bool(self.done[env]))


def info_of(infos: Any, env: int, done: bool = False) -> dict[str, Any]:
    """One environment's of Gymnasium's vector form: arrays by key, and where there is one, "_key",
    which rows count; or of an array of dicts.

    done  its episode ended: where the next one began in the same step, what was said of the end
    """
    if not isinstance(infos, Mapping):
        return dict(infos[env] or {})
    if done and infos.get("final_info") is not None:
        return info_of(infos["final_info"], env)
    info = {}
    for key, values in infos.items():
        counts = infos.get(f"_{key}")
        if key.startswith("_") or (counts is not None and not counts[env]):
            continue
        if isinstance(values, dict):
            info[key] = info_of(values, env)
        elif np.ndim(values) and len(values) > env:
            info[key] = values[env]
    return info
