"""Action masks from environments: which choices each of E environments allows next.

They come from infos["action_mask"], of resets and of steps, where infos["_action_mask"] (E,), if
there is such, tells which environments said something; or else from a method `action_masks()` of
the environments or of the vector environment. Where nothing is said, everything is allowed. What
forms a mask may have stands in `spaces.masks`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from fasttrpo import checks
from fasttrpo.notes import Noted
from fasttrpo.spaces import actions, masks

KEY = "action_mask"
METHOD = "action_masks"


class Masks:
    """Reads the masks of a vector environment, if its actions are choices."""

    def __init__(self, env: Any) -> None:
        from gymnasium import spaces

        self._env = env
        self._parts: tuple[int, ...] = ()  # none: these are no choices
        if isinstance(env.single_action_space, spaces.Discrete | spaces.MultiDiscrete):
            self._parts = actions.of(env.single_action_space).parts
        self._method: Callable[[], Any] | None = None
        self._is_new = True

    def at_reset(self, infos: Any) -> np.ndarray | None:
        """(E, A) bool after a reset of all, or None where everything is allowed."""
        if self._is_new:
            self._is_new = False
            self._find_method()
            self._warn_of_unread(infos)
        return self.read(infos, 0)

    def at_load(self, over: np.ndarray | None) -> np.ndarray | None:
        """The same where environments were loaded, which tell no infos; over as in `read`."""
        self._find_method()
        return self.read({}, 0, over)

    def _find_method(self) -> None:
        self._method = _method(self._env) if self._parts else None

    def _warn_of_unread(self, infos: Any) -> None:
        """A UserWarning if masks are told where nobody looks for them."""
        if not self._parts and _has(infos):
            _warn(
                f"infos[{KEY!r}] is not looked at: only Discrete and MultiDiscrete actions "
                f"can be masked, and these are {self._env.single_action_space}"
            )
        parts = getattr(self._env.single_observation_space, "spaces", ())
        if self._parts and KEY in parts and not _has(infos) and self._method is None:
            _warn(
                f"observation[{KEY!r}] is seen by the policy, but forbids no action: masks are "
                f"taken from info[{KEY!r}] or a method {METHOD}()"
            )

    def read(
        self,
        infos: Any,
        step: int | None,
        over: np.ndarray | None = None,
        reset: tuple[np.ndarray, Any] | None = None,
    ) -> np.ndarray | None:
        """(E, A) bool, or None where everything is allowed, from a reset or the step before.

        step   the one that the masks are for, if steps are counted
        over   (E,) environments whose next action has no effect: their masks are not looked at
        reset  (E,) environments that were reset after the step, and the infos of that

        ValueError names environment and step where a mask has another form or leaves no choice.
        """
        if not self._parts:
            return None
        told = self._told(infos, step, over)
        if reset is not None:
            told = self._mixed(told, reset[0], self._told(reset[1], step, ~reset[0]))
        if told is None and self._method is not None:
            with Noted(METHOD):
                given = self._method()
            told = self._rows(given, step, over)
        checks.masks(told, None, self._parts, "environment", step)
        return told

    def _mixed(self, told: Any, where: np.ndarray, first: Any) -> np.ndarray | None:
        """`first` in the environments `where`, `told` in the others; None is: all is open."""
        if told is None and first is None:
            return None
        told, first = (self._open() if mask is None else mask for mask in (told, first))
        return np.where(where[:, None], first, told)

    def _told(self, infos: Any, step: int | None, unread: np.ndarray | None) -> np.ndarray | None:
        """What infos say; None if nothing."""
        if not _has(infos):
            return None
        where = infos.get("_" + KEY)
        if where is not None:
            unread = ~np.asarray(where, bool) | (False if unread is None else unread)
        return self._rows(infos[KEY], step, unread)

    def _rows(self, given: Any, step: int | None, unread: np.ndarray | None) -> np.ndarray:
        n, at = self._env.num_envs, "" if step is None else f" at step {step}"
        valid = None if unread is None else ~unread
        if not isinstance(given, np.ndarray) or given.dtype != object or given.shape != (n,):
            return masks.rows(f"action mask{at}", given, (n,), self._parts, "environment", valid)
        rows = self._open()
        for env in range(n) if valid is None else np.flatnonzero(valid):
            if given[env] is not None:
                name = f"action mask of environment {env}{at}"
                rows[env] = masks.rows(name, given[env], (), self._parts)
        return rows

    def _open(self) -> np.ndarray:
        return np.ones((self._env.num_envs, sum(self._parts)), bool)


def _warn(words: str) -> None:
    warnings.warn(words, UserWarning, stacklevel=5)


def _has(infos: Any) -> bool:
    return isinstance(infos, dict) and KEY in infos


def _method(env: Any) -> Callable[[], Any] | None:
    """What gives the masks of all environments, if there is a method for that."""
    from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

    for each in (env, env.unwrapped):
        if callable(getattr(each, METHOD, None)):
            return getattr(each, METHOD)
    base = env.unwrapped
    # Asked of each first: a process that lacks an attribute dies of the question.
    if isinstance(base, SyncVectorEnv | AsyncVectorEnv) and all(
        base.call("has_wrapper_attr", METHOD)
    ):
        return lambda: _array_of(base.call(METHOD))
    return None


def _array_of(each: tuple) -> np.ndarray:
    """(E,) of objects: one environment's mask in each."""
    array = np.empty(len(each), object)
    for env, mask in enumerate(each):
        array[env] = mask
    return array
