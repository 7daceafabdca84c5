"""Stable-Baselines3's vector environments as Gymnasium's, so that a user's own ones can be kept.

They are known by their methods: Stable-Baselines3 is never imported.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from fasttrpo.spaces import batches

_METHODS = ("step_async", "step_wait", "env_method", "get_attr")


def is_vec_env(env: Any) -> bool:
    """Whether this is a `VecEnv` of Stable-Baselines3's (DummyVecEnv, VecNormalize, ...)."""
    return not isinstance(env, VectorEnv) and all(hasattr(env, name) for name in _METHODS)


class WrappedVecEnv(VectorEnv):
    """A `VecEnv` with Gymnasium's calls; E environments that reset in the same step.

    vec_env  the one that was passed

    An episode counts as truncated where infos say "TimeLimit.truncated", else as terminated. Its
    last observation is infos["terminal_observation"]. Action masks come from infos["action_mask"]
    or a method `action_masks()` of the environments. Where a `VecNormalize` scales the rewards,
    infos["raw_reward"] has them as they were, of which returns are made. infos["vec_env_infos"] has
    the E dicts that `vec_env` gave.
    """

    def __init__(self, vec_env: Any) -> None:
        self.vec_env = vec_env
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.num_envs = vec_env.num_envs
        self.single_observation_space = vec_env.observation_space
        self.single_action_space = vec_env.action_space
        # Of a VecNormalize, which other wrappers hand on.
        self._raw_reward = getattr(vec_env, "get_original_reward", None)
        if _has_masks(vec_env):
            self.action_masks = lambda: np.stack(vec_env.env_method("action_masks"))

    @property
    def envs(self) -> list[Any]:
        """The environments inside, where they live in this process."""
        return [self.vec_env, *getattr(self.vec_env, "envs", ())]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """(observations, infos); environment e is seeded with seed + e."""
        if seed is not None:
            self.vec_env.seed(seed)
        obs = self.vec_env.reset()
        return obs, _masks(self._reset_infos())

    def step(self, actions: np.ndarray) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """(observations, rewards, terminated, truncated, infos), E of each."""
        obs, rewards, dones, infos = self.vec_env.step(actions)
        dones = np.asarray(dones, bool)
        cut = np.array([bool(info.get("TimeLimit.truncated", False)) for info in infos])
        told = _masks(infos)
        told["vec_env_infos"] = infos
        if dones.any():
            # Where an episode ended, infos are of its end, and what was seen is of the next one.
            first = self._reset_infos() or [{}] * self.num_envs
            told |= _masks([first[e] if dones[e] else infos[e] for e in range(self.num_envs)])
            told["final_obs"] = _final(dones, infos)
        if self._raw_reward is not None:
            told["raw_reward"] = np.asarray(self._raw_reward(), np.float64)
        # VecNormalize and others write the next observations into the same arrays.
        return batches.copy(obs), rewards, dones & ~cut, dones & cut, told

    def _reset_infos(self) -> list[dict[str, Any]]:
        """The infos of each environment's last reset, which wrappers do not hand on."""
        return getattr(getattr(self.vec_env, "unwrapped", self.vec_env), "reset_infos", [])

    def close(self, **kwargs: Any) -> None:
        """Closes the environments."""
        self.vec_env.close()


def _has_masks(vec_env: Any) -> bool:
    has = getattr(vec_env, "has_attr", None)
    try:
        return bool(has("action_masks")) if has else False
    except (AttributeError, NotImplementedError):
        return False


def _final(dones: np.ndarray, infos: Any) -> np.ndarray:
    """(E,) objects: the last observation where an episode ended, else None."""
    final = np.empty(len(dones), dtype=object)
    for env in np.flatnonzero(dones):
        final[env] = infos[env].get("terminal_observation")
    return final


def _masks(infos: Any) -> dict[str, Any]:
    """The action masks in a list of E infos, as Gymnasium's vector environments tell them."""
    told = np.array(["action_mask" in info for info in infos], bool)
    if not told.any():
        return {}
    masks = np.empty(len(infos), dtype=object)
    for env in np.flatnonzero(told):
        masks[env] = infos[env]["action_mask"]
    return {"action_mask": masks, "_action_mask": told}
