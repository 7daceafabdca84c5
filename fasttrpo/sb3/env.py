"""SB3 vector environments as Gymnasium vector environments.

They are recognised by their methods, without importing Stable-Baselines3. Only `reset`,
`step_async` and `step_wait` are required: in libraries that imitate SB3, other methods may be
missing, raise, or return None.
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
    """Whether this is an SB3 `VecEnv` (DummyVecEnv, VecNormalize, ...)."""
    has_all = all(_optional(env, name) is not None for name in (*_METHODS, *_SPACES))
    return not isinstance(env, VectorEnv) and has_all


class WrappedVecEnv(Kept, VectorEnv):
    """A `VecEnv` with Gymnasium's calls; E environments that reset in the same step.

    vec_env  the wrapped environment

    An episode counts as truncated if its info has a true "TimeLimit.truncated", else as terminated.
    Its last observation is infos["terminal_observation"], which only a truncated episode needs.
    Action masks are read from infos["action_mask"] or a method `action_masks()` of the
    environments. If a `VecNormalize` scales the rewards, infos["raw_reward"] has the original ones,
    which returns are sums of. infos["vec_env_infos"] has the E dicts that `vec_env` returned.
    """

    def __init__(self, vec_env: Any) -> None:
        self.vec_env = vec_env
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.num_envs = vec_env.num_envs
        self.single_observation_space = vec_env.observation_space
        self.single_action_space = vec_env.action_space
        # A method of VecNormalize, which wrappers around it forward.
        self._raw_reward = _optional(vec_env, "get_original_reward")
        self._step = _optional(vec_env, "step") or self._in_two_calls
        masks = _mask_method(vec_env)
        if masks is not None:
            self.action_masks = lambda: np.stack(masks())

    @property
    def envs(self) -> list[Any]:
        """The wrapped environments, if they run in this process."""
        return [self.vec_env, *(_optional(self.vec_env, "envs") or ())]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """(observations, infos); the seed of environment e is seed + e."""
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
                f"{type(error).__name__}: {error}; its episodes will differ from run to run",
                RuntimeWarning,
                stacklevel=5,
            )

    def step(self, actions: np.ndarray) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """(observations, rewards, terminated, truncated, infos), E of each."""
        obs, rewards, dones, infos = _four_parts(self._step(actions))
        dones = np.asarray(dones, bool)
        infos = [info if isinstance(info, Mapping) else {} for info in infos]
        cut = np.array([bool(info.get("TimeLimit.truncated", False)) for info in infos])
        columns = _masks(infos)
        columns["vec_env_infos"] = infos
        if dones.any():
            # Where an episode ended, infos describe its end, observations the next one's start.
            first = self._reset_infos()
            columns |= _masks([first[e] if dones[e] else infos[e] for e in range(self.num_envs)])
            columns["final_obs"] = _final(dones, infos)
        if self._raw_reward is not None:
            columns["raw_reward"] = np.asarray(self._raw_reward(), np.float64)
        # VecNormalize and others reuse the arrays for the next observations.
        return batches.copy(obs), rewards, dones & ~cut, dones & cut, columns

    def _in_two_calls(self, actions: np.ndarray) -> Any:
        self.vec_env.step_async(actions)
        return self.vec_env.step_wait()

    def _reset_infos(self) -> Sequence[Mapping[str, Any]]:
        """The infos of each environment's last reset, which wrappers do not forward."""
        base = _optional(self.vec_env, "unwrapped") or self.vec_env
        infos = _optional(base, "reset_infos")
        has_all = isinstance(infos, list | tuple) and len(infos) == self.num_envs
        each = infos if has_all else [None] * self.num_envs
        return [info if isinstance(info, Mapping) else {} for info in each]

    def close(self, **kwargs: Any) -> None:
        """Closes the environments."""
        close = _optional(self.vec_env, "close")
        if close is not None:
            close()


def _four_parts(answer: Any) -> tuple[Any, Any, Any, Any]:
    try:
        obs, rewards, dones, infos = answer
    except (TypeError, ValueError) as error:
        expected = "(observations, rewards, dones, infos)"
        raise UserError(f"the VecEnv's step must return {expected}, not {form(answer)}") from error
    return obs, rewards, dones, infos


def _optional(vec_env: Any, name: str) -> Any:
    """An attribute, or None if it is missing or reading it fails."""
    try:
        return getattr(vec_env, name, None)
    except _MISSING:
        return None


def _call_optional(vec_env: Any, method: str, *args: Any) -> Any:
    """The result of an optional method, or None."""
    try:
        return getattr(vec_env, method)(*args)
    except _MISSING:
        return None


def _mask_method(vec_env: Any) -> Callable[[], Sequence[Any]] | None:
    """A function that returns the masks of each environment, or None if they have no such method.

    For environments in other processes only `has_attr` is called: methods cannot be sent between
    processes, and a process that lacks an attribute dies when `get_attr` asks for it.
    """
    name, base = "action_masks", _optional(vec_env, "unwrapped") or vec_env
    if _optional(base, "remotes") is None:
        methods = _call_optional(vec_env, "get_attr", name)
        has_all = isinstance(methods, list | tuple) and len(methods) == vec_env.num_envs
        has_it = has_all and all(map(callable, methods))
    else:
        has_it = bool(_call_optional(vec_env, "has_attr", name))
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
    """The action masks in a list of E infos, in the form of Gymnasium's vector environments."""
    has_mask = np.array(["action_mask" in info for info in infos], bool)
    if not has_mask.any():
        return {}
    masks = np.empty(len(infos), dtype=object)
    for env in np.flatnonzero(has_mask):
        masks[env] = infos[env]["action_mask"]
    return {"action_mask": masks, "_action_mask": has_mask}
