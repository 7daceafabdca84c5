"""Spaces of `.bin` files without a section of Python: rows of numbers, and bounds of actions."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

import numpy as np

from fasttrpo.checks.distributions import DISTRIBUTIONS
from fasttrpo.files.sections import Damaged
from fasttrpo.settings.table import ROWS
from fasttrpo.spaces import Actions, Observations, from_json, plain_actions
from fasttrpo.spaces.kinds import Box

BOUNDS = ("act_low", "act_high", "act_to_env")
CLIP, SCALE = 1, 2


def check_bounds(policy: Mapping[str, Any]) -> None:
    """Raises Damaged for bounds of actions that C programs refuse."""
    given = [policy[name] for name in BOUNDS if name in policy]
    if given and not (len(given) == len(BOUNDS) and _are_bounds(policy, *given)):
        raise Damaged("is damaged: its bounds of actions (act_low, act_high, act_to_env) are wrong")


def _are_bounds(policy: Mapping[str, Any], low: Any, high: Any, to_env: Any) -> bool:
    sizes = (np.shape(policy.get("parts", ())),) * 2 + ((1,),)
    for value, size in zip((low, high, to_env), sizes, strict=True):
        is_array = isinstance(value, np.ndarray) and value.dtype == np.float64
        if not is_array or value.shape != size:
            return False
    distribution = DISTRIBUTIONS.get(str(policy.get("distribution", ROWS["distribution"].default)))
    if distribution is None or not distribution.is_real:
        return False
    if to_env[0] not in (0, CLIP, SCALE, CLIP + SCALE):
        return False
    finite = np.isfinite([low, high])
    return bool((low <= high).all() and (finite.all() if int(to_env[0]) & SCALE else finite.any()))


def plain_spaces(
    core: Mapping[str, Any], policy: Mapping[str, Any]
) -> tuple[Observations, Actions]:
    """Spaces of rows of numbers."""
    parts = core["parts"]
    low, high = (
        (end,) * len(parts) if policy.get(name) is None else tuple(np.ravel(policy[name]).tolist())
        for name, end in zip(BOUNDS, (-inf, inf), strict=False)
    )
    n = core["obs_size"]
    observations = Box((n,), (-inf,) * n, (inf,) * n, "float32").to_json()
    return from_json(observations, plain_actions(core["distribution"], parts, low, high))
