"""A model's environments with the calls of an SB3 `VecEnv`:

vec_env = model.get_env()
obs = vec_env.reset()
action, _ = model.predict(obs)
obs, rewards, dones, infos = vec_env.step(action)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fasttrpo.checks.imported import imported_class
from fasttrpo.checks.values import plain
from fasttrpo.errors import UserError
from fasttrpo.logs.pictures import tile
from fasttrpo.spaces import batches
from fasttrpo.stream.seeds import of_env
from fasttrpo.stream.step import info_of

_VEC_ENV = "stable_baselines3.common.vec_env.base_vec_env", "VecEnv"
_MONITOR = "stable_baselines3.common.monitor", "Monitor"


class VecEnvView:
    """A vector environment that resets in the same step, as a `VecEnv`.

    vector_env  the Gymnasium environment, whose other attributes the view forwards
    on_move     called with `vector_env` before the view steps or resets it, so that `learn` starts
                with a reset. Returns the returns and lengths so far (E,) of the model's unfinished
                episodes, or None

    Spaces are those of one environment. infos are E dicts, with "episode", "terminal_observation"
    and "TimeLimit.truncated" where an episode ended. If Stable-Baselines3 is imported, a view is an
    instance of `VecEnv` for `isinstance`, but its type is no subclass for `issubclass`.
    """

    def __init__(self, vector_env: Any, on_move: Callable[[Any], Any]) -> None:
        self.vector_env, self._on_move = vector_env, on_move
        self.num_envs: int = vector_env.num_envs
        self._totals, self._lengths = np.zeros(self.num_envs), np.zeros(self.num_envs, np.int64)
        self.observation_space = vector_env.single_observation_space
        self.action_space = vector_env.single_action_space
        self.reset_infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        self._seed: int | None = None
        self._options: dict[str, Any] | None = None

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """The class that `isinstance` checks, as in `unittest.mock`'s specs."""
        return imported_class(*_VEC_ENV) or VecEnvView

    def __getattr__(self, name: str) -> Any:
        if name == "vector_env":  # not set yet while this is copied
            raise AttributeError(name)
        return getattr(self.vector_env, name)

    @property
    def unwrapped(self) -> VecEnvView:
        """Returns self: a view is not a wrapper."""
        return self

    # -- episodes ---------------------------------------------------------------------------------

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Sets the seed of the next `reset`: environment e has seed + e (see `seeds.of_env`)."""
        self._seed = seed = None if seed is None else of_env(seed, self.vector_env)
        return [None if seed is None else seed + e for e in range(self.num_envs)]

    def set_options(self, options: dict[str, Any] | list[dict[str, Any]] | None = None) -> None:
        """Sets the options of the next `reset`. Raises ValueError if they differ in a list."""
        if isinstance(options, list):
            if any(each != options[0] for each in options):
                raise UserError("set_options requires the same options for all environments")
            options = options[0] if options else None
        self._options = options

    def reset(self) -> Any:
        """The first observations (E, *obs). `reset_infos` has the infos of each environment's last
        reset, here or in `step`.
        """
        self._on_move(self.vector_env)
        obs, infos = self.vector_env.reset(seed=self._seed, options=self._options)
        self._seed = self._options = None
        self._totals, self._lengths = np.zeros(self.num_envs), np.zeros(self.num_envs, np.int64)
        self.reset_infos = [info_of(infos, e) for e in range(self.num_envs)]
        return batches.copy(obs)

    def step(self, actions: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """(observations, rewards, dones, infos); the next episode starts where one ended."""
        self.step_async(actions)
        return self.step_wait()

    def step_async(self, actions: np.ndarray) -> None:
        """Sets the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Steps with the actions of `step_async`; returns what `step` does."""
        unfinished = self._on_move(self.vector_env)
        if unfinished is not None:
            self._totals, self._lengths = unfinished
        obs, rewards, terminated, truncated, infos = self.vector_env.step(self._actions)
        dones = np.asarray(terminated | truncated, bool)
        self._totals += rewards
        self._lengths += 1
        each = [info_of(infos, e, bool(dones[e])) for e in range(self.num_envs)]
        for e in np.flatnonzero(dones).tolist():
            each[e]["TimeLimit.truncated"] = bool(truncated[e] and not terminated[e])
            each[e]["terminal_observation"] = batches.row(infos["final_obs"], e)
            each[e].setdefault("episode", self._episode(e))
            self._totals[e] = self._lengths[e] = 0
            self.reset_infos[e] = _without(info_of(infos, e), "final_obs", "final_info")
        return batches.copy(obs), np.array(rewards), dones, each

    def _episode(self, e: int) -> dict[str, Any]:
        return {"r": float(self._totals[e]), "l": int(self._lengths[e])}

    # -- the environments themselves --------------------------------------------------------------

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of each environment; compiled ones share a single object."""
        if hasattr(self.vector_env, "get_attr"):
            return self._of(self.vector_env.get_attr(attr_name), indices)
        return self._of([getattr(self.vector_env, attr_name)] * self.num_envs, indices)

    def has_attr(self, attr_name: str) -> bool:
        """Whether the environments have this attribute."""
        try:
            self.get_attr(attr_name)
        except AttributeError:
            return False
        return True

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Sets an attribute of each environment. Raises AttributeError if they are compiled."""
        if hasattr(self.vector_env, "set_in"):
            self.vector_env.set_in(self._numbers(indices), attr_name, value)
            return
        for env in self._of(self._each(), indices):
            setattr(env.unwrapped, attr_name, value)

    def env_method(
        self, method_name: str, *args: Any, indices: Any = None, **keywords: Any
    ) -> list[Any]:
        """Calls a method of each environment. Raises AttributeError if they are compiled."""
        if hasattr(self.vector_env, "call_in"):
            numbers = self._numbers(indices)
            return self.vector_env.call_in(numbers, method_name, *args, **keywords)
        each = self._of(self._each(), indices)
        return [_method(env, method_name)(*args, **keywords) for env in each]

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """Whether each environment has this wrapper; True for `Monitor`, whose infos are added."""
        each = getattr(self.vector_env, "envs", [None] * self.num_envs)
        is_monitor = wrapper_class is imported_class(*_MONITOR)
        return [is_monitor or _is_wrapped(env, wrapper_class) for env in self._of(each, indices)]

    def _each(self) -> Iterable[Any]:
        envs = getattr(self.vector_env, "envs", None)
        if envs is None:
            raise AttributeError(
                f"{self.vector_env} holds compiled simulations, not one environment object each; "
                "env_backend='gymnasium' makes Gymnasium's"
            )
        return envs

    def _numbers(self, indices: Any) -> list[int]:
        return self._of(range(self.num_envs), indices)

    def _of(self, values: Iterable[Any], indices: Any) -> list[Any]:
        values = list(values)
        if indices is None:
            return values
        indices = plain(indices)
        return [values[i] for i in ([indices] if isinstance(indices, int) else indices)]

    def render(self, mode: str | None = None) -> Any:
        """Renders the environments if they have a render_mode, else returns None. In mode rgb_array
        returns one image (height, width, 3) of all.
        """
        if self.render_mode is None:
            return None
        shown = self.vector_env.render()
        return tile(np.stack(shown)) if self.render_mode == "rgb_array" else shown

    @property
    def render_mode(self) -> str | None:
        """The environments' render_mode."""
        return getattr(self.vector_env, "render_mode", None)

    def close(self) -> None:
        """Closes the environments."""
        self.vector_env.close()


def _without(info: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in info.items() if name not in names}


def _method(env: Any, name: str) -> Any:
    """A method of the outermost wrapper that has it, or of the environment."""
    return env.get_wrapper_attr(name) if hasattr(env, "get_wrapper_attr") else getattr(env, name)


def _is_wrapped(env: Any, wrapper_class: type) -> bool:
    while env is not None:
        if isinstance(env, wrapper_class):
            return True
        env = getattr(env, "env", None)
    return False
