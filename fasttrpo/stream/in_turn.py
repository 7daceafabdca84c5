"""A vector environment that steps its environments one after the other, in this process.

Unlike Gymnasium's `SyncVectorEnv`, it checks what environments return, converts observations to the
space's dtype, and accepts infos that differ between environments.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy import ndarray

from fasttrpo.errors import UserError
from fasttrpo.spaces import batches
from fasttrpo.stream import answers
from fasttrpo.stream.infos import LazyColumns, columns
from fasttrpo.stream.step import Step

_MOST = 2**63  # of an int64


class InTurn(SyncVectorEnv):
    """E environments that reset in the same step.

    Apart from observations, infos and errors, it returns the same bits as a `SyncVectorEnv`. Raises
    ValueError for an invalid answer (`answers`) before using any part of it.
    """

    def __init__(self, makers: Sequence[Callable[[], Any]]) -> None:
        super().__init__(makers, autoreset_mode=AutoresetMode.SAME_STEP)
        # Older versions of Gymnasium write into the first environment's dict.
        self.metadata = {**self.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}
        names = [f"environment {e}" for e in range(self.num_envs)]
        self._names = names if self.num_envs > 1 else ["the environment"]
        self._rows: Any = None  # made with the first observation
        self._seen: Any = None  # the last observations
        self._zeros = np.zeros(self.num_envs)  # to copy, which is faster
        self._no_envs = np.zeros(self.num_envs, bool)
        self._no_envs.flags.writeable = False

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """(observations, infos). If seed is an int, the seed of environment e is seed + e."""
        if isinstance(seed, int | np.integer):
            seed = [int(seed) + e for e in range(self.num_envs)]
        seeds = [None] * self.num_envs if seed is None else list(seed)
        if len(seeds) != self.num_envs:
            raise UserError(f"seed has {len(seeds)} entries for {self.num_envs} environments")
        which = np.ones(self.num_envs, bool)
        if options is not None and "reset_mask" in options:
            options = dict(options)
            which = np.asarray(options.pop("reset_mask"), bool)
        infos = LazyColumns(self.num_envs)
        for e in np.flatnonzero(which).tolist():
            answer = self.envs[e].reset(seed=seeds[e], options=options)
            infos.add(self._start(e, answer), e)
        self._seen = self._rows.copy()
        return self._seen, infos.columns()

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """(observations, rewards, terminated, truncated, infos)."""
        obs, step = self.advance(actions)
        flags = step.terminated.copy(), step.truncated.copy()
        return obs, step.rewards, *flags, columns(step.infos, self.num_envs)

    def advance(self, actions: Any, given: tuple | None = None) -> tuple[Any, Step]:
        """(observations, step): what the agent sees next, and what happened before any reset. Flags
        in the step are not to be written to.

        given  what an only environment returned that the core has stepped: the answer of its step,
               and of its reset, if that was called
        """
        if len(actions) != self.num_envs:
            raise UserError(f"{len(actions)} actions for {self.num_envs} environments")
        rows, no_envs, rewards = self._rows, self._no_envs, self._zeros.copy()
        ends: list[tuple] = []
        infos: Any = None
        for e, env in enumerate(self.envs):
            answer, *first = (env.step(actions[e]),) if given is None else given
            answer = answers.of_step(answer, self._names[e])
            obs, rewards[e], terminated, truncated, info = answer
            if infos is None and (info or terminated or truncated):
                infos = LazyColumns(self.num_envs)
            if terminated or truncated:
                last_obs = self._next_episode(e, obs, terminated, info, infos, first)
                ends.append((e, terminated, truncated, last_obs))
            else:
                rows.put(e, obs, self._names[e])
                if info:
                    infos.add(info, e)
        self._seen = obs = rows.copy()
        if ends:
            return obs, self._ending(rewards, ends, infos)
        infos = {} if infos is None else infos
        return obs, Step(rewards, no_envs, no_envs, obs, no_envs, no_envs, infos, ())

    def only(self) -> tuple[Any, Any, Any]:
        """For the core, which steps an only environment: the environment; the memory of its last
        observation, an array for each part; and the space of several parts, or None.
        """
        (env,), space = self.envs, self.single_observation_space
        return env, self._rows.arrays(), getattr(space, "spaces", None)

    def resume(self) -> Any:
        """The observations (E, *obs), after the core stepped an only environment."""
        self._seen = self._rows.copy()
        return self._seen

    def _ending(self, rewards: np.ndarray, ends: list[tuple], infos: LazyColumns) -> Step:
        """A step that ended episodes: (e, terminated, truncated, last observation) of each."""
        next_obs, none = self._rows.copy(), self._no_envs
        terminated, truncated, done = none.copy(), none.copy(), none.copy()
        for e, terminated[e], truncated[e], obs in ends:
            done[e] = True
            self._rows.write(next_obs, e, obs)
        envs = [end[0] for end in ends]
        return Step(rewards, terminated, truncated, next_obs, none, done, infos, envs)

    def _next_episode(
        self, e: int, obs: Any, terminated: bool, info: Mapping, infos: LazyColumns, first: list
    ) -> Any:
        """Starts the next episode; returns the last one's last observation.

        first  what reset returned, [answer], if it was called already

        The observation after a termination is unused: if it is missing or not finite, the previous
        one replaces it.
        """
        rows, final, info = self._rows, None, dict(info)
        if obs is not None or not terminated:
            rows.put(e, obs, self._names[e])
            final = rows.row(e)
        is_lost = final is None or (terminated and not rows.is_finite(e))
        infos.add(self._start(e, *first or [self.envs[e].reset()]), e)
        infos.add_final(final, info, e)
        return batches.row(self._seen, e) if is_lost else final

    def _start(self, e: int, answer: Any) -> Mapping:
        """Stores what reset returned as the start of an episode; returns the info."""
        obs, info = answers.of_reset(answer, self._names[e])
        if self._rows is None:
            self._rows = slots(self.single_observation_space, self.num_envs)
        self._rows.put(e, obs, self._names[e])
        return info


def slots(space: Any, n_envs: int, part: str = "") -> Any:
    """Memory for E observations: `put` writes one, `row` copies one, `copy` copies all; `write`
    writes a row into such a copy. `arrays` are the memory of the parts.

    part  where they are in the observations of a Dict or Tuple, for messages
    """
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return _Parts(space, n_envs, part)
    return _Array(space, n_envs, part)


class _Array:
    """Observations that are arrays, in their space's dtype."""

    def __init__(self, space: Any, n_envs: int, part: str) -> None:
        self._shape, self._dtype, self._part = tuple(space.shape), np.dtype(space.dtype), part
        self._rows = np.zeros((n_envs, *self._shape), self._dtype)
        # Python's integers are numbers of a Discrete space.
        self._takes_int = self._shape == () and self._dtype == np.int64

    def arrays(self) -> list[ndarray]:
        return [self._rows]

    def put(self, e: int, obs: Any, who: str) -> None:
        """Converts and stores an observation. `_fitting` raises for an invalid one."""
        if type(obs) is ndarray:
            fits = obs.dtype is self._dtype and obs.shape == self._shape
        else:
            fits = self._takes_int and type(obs) is int and -_MOST <= obs < _MOST
        if not fits:
            obs = self._fitting(obs, f"{who} returned an observation{self._part}")
        self._rows[e] = obs

    def _fitting(self, obs: Any, words: str) -> np.ndarray:
        """In the space's dtype. Raises ValueError for a wrong shape, or values that do not fit."""
        try:
            array = np.asarray(obs)
        except ValueError:  # ragged
            array = np.asarray(obs, object)
        if array.dtype.kind not in "fiub" or array.shape != self._shape:
            raise UserError(
                f"{words} that is {answers.form(obs if array.dtype == object else array)}, but "
                f"{self._space()}: make the space match what reset and step return"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            fitting = array.astype(self._dtype)
        if self._dtype.kind in "iub" and np.count_nonzero(fitting != array):
            self._refuse(array, fitting, words)
        return fitting

    def _refuse(self, array: np.ndarray, fitting: np.ndarray, words: str) -> None:
        index = tuple(np.argwhere(fitting != array)[0])
        raise UserError(
            f"{words} with {array[index]} in it, but {self._space()}, which cannot represent it: "
            "convert it, or change the dtype of the space"
        )

    def _space(self) -> str:
        return f"observation_space has shape {self._shape} and dtype {self._dtype}"

    def row(self, e: int) -> Any:
        return self._rows[e].copy() if self._shape else self._rows[e]

    def is_finite(self, e: int) -> bool:
        return self._dtype.kind != "f" or bool(np.isfinite(self._rows[e]).all())

    def copy(self) -> Any:
        return self._rows.copy()

    def write(self, rows: Any, e: int, obs: Any) -> None:
        rows[e] = obs


class _Parts:
    """Observations that are dicts or tuples."""

    def __init__(self, space: Any, n_envs: int, part: str) -> None:
        self._is_dict, self._part = isinstance(space, spaces.Dict), part
        parts = space.spaces.items() if self._is_dict else enumerate(space.spaces)
        self._parts = {key: slots(each, n_envs, f"{part}[{key!r}]") for key, each in parts}
        self._has_warned = False

    def arrays(self) -> list[ndarray]:
        return [array for slot in self._parts.values() for array in slot.arrays()]

    def put(self, e: int, obs: Any, who: str) -> None:
        """Stores each part. Raises ValueError if one is missing."""
        if type(obs) is not (dict if self._is_dict else tuple) or len(obs) != len(self._parts):
            self._check(obs, who)
        try:
            for key, slot in self._parts.items():
                slot.put(e, obs[key], who)
        except KeyError:
            self._check(obs, who)
            raise

    def _check(self, obs: Any, who: str) -> None:
        """Raises ValueError unless `obs` has all parts; warns once of others."""
        keys, part = list(self._parts), self._part
        fits = isinstance(obs, Mapping if self._is_dict else tuple | list)
        if fits and self._is_dict:
            fits = all(key in obs for key in keys)
        elif fits:
            fits = len(obs) == len(keys)
        if not fits:
            self._refuse(obs, f"{who} returned an observation{part}")
        if len(obs) > len(keys) and not self._has_warned:
            self._warn_of_more(obs, part)

    def _warn_of_more(self, obs: Any, part: str) -> None:
        self._has_warned = True
        extra = [key for key in obs if key not in self._parts]
        warnings.warn(
            f"observation{part} has {extra}, which observation_space lacks: the policy does not "
            "see them; add them to the space, or omit them",
            UserWarning,
            stacklevel=2,
        )

    def _refuse(self, obs: Any, words: str) -> None:
        keys = list(self._parts)
        if self._is_dict and isinstance(obs, Mapping):
            missing = [key for key in keys if key not in obs]
            raise UserError(
                f"{words} without {missing}: it has the keys {list(obs)}, but observation_space "
                f"has {keys}; return all of these"
            )
        wanted = f"a dict with the keys {keys}" if self._is_dict else f"a tuple of {len(keys)}"
        raise UserError(
            f"{words} that is {answers.form(obs)}, but observation_space has {wanted}: make the "
            "space match what reset and step return"
        )

    def row(self, e: int) -> Any:
        return self._rebuilt([slot.row(e) for slot in self._parts.values()])

    def is_finite(self, e: int) -> bool:
        return all(slot.is_finite(e) for slot in self._parts.values())

    def copy(self) -> Any:
        return self._rebuilt([slot.copy() for slot in self._parts.values()])

    def write(self, rows: Any, e: int, obs: Any) -> None:
        for key, slot in self._parts.items():
            slot.write(rows[key], e, obs[key])

    def _rebuilt(self, parts: list) -> Any:
        return dict(zip(self._parts, parts, strict=True)) if self._is_dict else tuple(parts)
