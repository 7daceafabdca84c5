"""The return that a policy should reach: the user's, or the environment's registered threshold."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import isfinite
from typing import NamedTuple

from fasttrpo.checks.suggest import unknown
from fasttrpo.errors import UserError
from fasttrpo.files.run_folder import MAX_NUMBER

_OURS = ("fasttrpo.envs:", "fasttrpo/")


class Target(NamedTuple):
    """is_given: whether the user named it; otherwise it is Gymnasium's `reward_threshold`."""

    value: float
    is_given: bool


def parse(texts: Sequence[str], env_ids: Collection[str]) -> dict[str, float]:
    """The targets by environment, of texts NUMBER (for one environment) or ENV_ID=NUMBER. Raises
    ValueError for anything else.
    """
    found = {}
    for text in texts:
        env_id, equals, word = text.rpartition("=")
        value = _number(word)
        if equals and env_id not in env_ids:
            raise UserError(f"--target: {unknown('environment', env_id, env_ids)}")
        if not equals and len(env_ids) > 1:
            raise UserError(
                f"--target {text}: the runs have several environments; write "
                f"{next(iter(env_ids))}={text}"
            )
        found[env_id or next(iter(env_ids))] = value
    return found


def _number(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = float("nan")
    if not isfinite(value) or abs(value) > MAX_NUMBER:
        raise UserError(f"--target must be a number or ENV_ID=NUMBER, got {word!r}")
    return value


def target_of(env_id: str, given: Mapping[str, float]) -> Target | None:
    """The environment's target; None if it has none. Imports nothing that the id names."""
    if env_id in given:
        return Target(given[env_id], True)
    import gymnasium

    for prefix in _OURS:
        env_id = env_id.removeprefix(prefix)
    spec = gymnasium.registry.get(env_id)
    threshold = None if spec is None else spec.reward_threshold
    return None if threshold is None else Target(float(threshold), False)
