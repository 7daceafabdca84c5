"""Infos in the format of Gymnasium's vector environments.

A dict has an array (E, ...) for each `key` and, under `_key`, a mask of the environments with a
value; the rows of the others are zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def everywhere(values: dict[str, np.ndarray], n_envs: int) -> dict[str, Any]:
    """The infos of a step in which every environment has all `values`."""
    infos = dict(values)
    mask = np.ones(n_envs, dtype=bool)
    for key in values:
        infos[f"_{key}"] = mask.copy()
    return infos


def add(infos: dict[str, Any], values: dict[str, np.ndarray], mask: np.ndarray) -> None:
    """Adds the rows of `values` (E, ...) where `mask` (E,) is True to `infos`, which keeps them."""
    if not np.count_nonzero(mask):
        return
    for key, value in values.items():
        if key in infos:
            infos[key][mask] = value[mask]
            infos[f"_{key}"] |= mask
        else:
            value[~mask] = 0
            infos[key], infos[f"_{key}"] = value, mask.copy()


def final(values: dict[str, np.ndarray], obs: np.ndarray, done: np.ndarray) -> dict[str, Any]:
    """The infos about ended episodes in an environment that resets in the same step.

    obs  (E, O) after the step, before the reset
    """
    last = np.full(len(obs), None, dtype=object)
    for env in np.flatnonzero(done):
        last[env] = obs[env].copy()
    info: dict[str, Any] = {}
    add(info, {key: value.copy() for key, value in values.items()}, done)
    return {
        "final_obs": last,
        "_final_obs": done.copy(),
        "final_info": info,
        "_final_info": done.copy(),
    }
