"""Stable-Baselines3's vector environments as Gymnasium's, so that a user's own ones can be kept.

They are known by their methods: Stable-Baselines3 is never imported. Only `reset`, `step_async`
and `step_wait` have to be there; libraries that only look like Stable-Baselines3 lack the others,
or have them raise or answer None.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from fasttrpo.errors import UserError
from fasttrpo.spaces import batches
from fasttrpo.stream.answers import form
from fasttrpo.stream.ownership import Kept

_METHODS = ("step_async", "step_wait", "reset")
_SPACES = ("num_envs", "observation_space", "action_space")
_MISSING = (AttributeError, RuntimeError, TypeError)  # NotImplementedError is a RuntimeError


def is_vec_env(env: Any) -> bool:
    """Whether this is a `VecEnv` of Stable-Baselines3's (DummyVecEnv, VecNormalize, ...)."""
    has_all = all(_optional(env, name) is not None for name in (*_METHODS, *_SPACES))
    return not isinstance(env, VectorEnv) and has_all


class WrappedVecEnv(Kept, VectorEnv):
    """A `VecEnv` with Gymnasium's calls; E environments that reset in the same step.

    vec_env  the one that was passed

    An episode counts as truncated where infos say "TimeLimit.truncated", else as terminated. Its
    last observation is infos["terminal_observation"], which only a truncated one needs. Action
    masks come from infos["action_mask"] or a method `action_masks()` of the environments. Where a
    `VecNormalize` scales the rewards, infos["raw_reward"] has them as they were, of which returns
    are made. infos["vec_env_infos"] has the E dicts that `vec_env` gave.
    """

    def __init__(self, vec_env: Any) -> None:
        self.vec_env = vec_env
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.num_envs = vec_env.num_envs
        self.single_observation_space = vec_env.observation_space
        self.single_action_space = vec_env.action_space
        # Of a VecNormalize, which other wrappers hand on.
        self._raw_reward = _optional(vec_env, "get_original_reward")
        self._step = _optional(vec_env, "step") or self._in_two_calls
        masks = _mask_method(vec_env)
        if masks is not None:
            self.action_masks = lambda: np.stack(masks())

    @property
    def envs(self) -> list[Any]:
        """The environments inside, where they live in this process."""
        return [self.vec_env, *(_optional(self.vec_env, "envs") or ())]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """(observations, infos); environment e is seeded with seed + e."""
        if seed is not None:
            self._seed(seed)
        obs = self.vec_env.reset()
        return obs, _masks(self._reset_infos())

    def _seed(self, seed: int) -> None:
        try:
            self.vec_env.seed(seed)
        except _MISSING as error:
            warnings.warn(
                f"{type(self.vec_env).__name__} cannot be seeded: its seed() raised "
                f"{type(error).__name__}: {error}; its episodes differ from run to run",
                RuntimeWarning,
                stacklevel=5,
            )

    def step(self, actions: np.ndarray) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """(observations, rewards, terminated, truncated, infos), E of each."""
        obs, rewards, dones, infos = _four_parts(self._step(actions))
        dones = np.asarray(dones, bool)
        infos = [info if isinstance(info, Mapping) else {} for info in infos]
        cut = np.array([bool(info.get("TimeLimit.truncated", False)) for info in infos])
        told = _masks(infos)
        told["vec_env_infos"] = infos
        if dones.any():
            # Where an episode ended, infos are of its end, and what was seen is of the next one.
            first = self._reset_infos()
            told |= _masks([first[e] if dones[e] else infos[e] for e in range(self.num_envs)])
            told["final_obs"] = _final(dones, infos)
        if self._raw_reward is not None:
            told["raw_reward"] = np.asarray(self._raw_reward(), np.float64)
        # VecNormalize and others write the next observations into the same arrays.
        return batches.copy(obs), rewards, dones & ~cut, dones & cut, told

    def _in_two_calls(self, actions: np.ndarray) -> Any:
        self.vec_env.step_async(actions)
        return self.vec_env.step_wait()

    def _reset_infos(self) -> Sequence[Mapping[str, Any]]:
        """The infos of each environment's last reset, which wrappers do not hand on."""
        base = _optional(self.vec_env, "unwrapped") or self.vec_env
        infos = _optional(base, "reset_infos")
        is_whole = isinstance(infos, list | tuple) and len(infos) == self.num_envs
        given = infos if is_whole else [None] * self.num_envs
        return [info if isinstance(info, Mapping) else {} for info in given]

    def close(self, **kwargs: Any) -> None:
        """Closes the environments."""
        close = _optional(self.vec_env, "close")
        if close is not None:
            close()


def _four_parts(answer: Any) -> tuple[Any, Any, Any, Any]:
    try:
        obs, rewards, dones, infos = answer
    except (TypeError, ValueError) as error:
        raise UserError(
            "the VecEnv's step must return (observations, rewards, dones, infos), but returned "
            f"{form(answer)}"
        ) from error
    return obs, rewards, dones, infos


def _optional(vec_env: Any, name: str) -> Any:
    """An attribute, or None where it is missing in one way or another."""
    try:
        return getattr(vec_env, name, None)
    except _MISSING:
        return None


def _asked(vec_env: Any, method: str, *args: Any) -> Any:
    """What an optional method answers, or None."""
    try:
        return getattr(vec_env, method)(*args)
    except _MISSING:
        return None


def _mask_method(vec_env: Any) -> Callable[[], Sequence[Any]] | None:
    """What gives the masks of each environment, if they have a method for that.

    Environments in other processes are asked by `has_attr` alone: their methods cannot be sent
    here, and a process ends of the question for what is not there.
    """
    name, base = "action_masks", _optional(vec_env, "unwrapped") or vec_env
    if _optional(base, "remotes") is None:
        methods = _asked(vec_env, "get_attr", name)
        is_whole = isinstance(methods, list | tuple) and len(methods) == vec_env.num_envs
        has_it = is_whole and all(map(callable, methods))
    else:
        has_it = bool(_asked(vec_env, "has_attr", name))
    if not has_it:
        return None
    if _optional(vec_env, "env_method") is None:
        return lambda: [method() for method in vec_env.get_attr(name)]
    return lambda: vec_env.env_method(name)


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
