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

from fasttrpo.checks import arrays
from fasttrpo.errors import UserError
from fasttrpo.spaces import actions, masks
from fasttrpo.stream.notes import Noted

KEY = "action_mask"
METHOD = "action_masks"
_MISTAKEN = {METHOD, "legal_actions", "available_actions", "avail_actions"}


class Masks:
    """Reads the masks of a vector environment, if its actions are choices."""

    def __init__(self, env: Any) -> None:
        from gymnasium import spaces

        self._env = env
        self._parts: tuple[int, ...] = ()  # none: these are no choices
        if isinstance(env.single_action_space, spaces.Discrete | spaces.MultiDiscrete):
            self._parts = actions.of(env.single_action_space).parts
        self._method: Callable[[Any], Any] | None = None
        self._is_new = True
        self._has_warned = False

    def at_reset(self, infos: Any) -> np.ndarray | None:
        """(E, A) bool after a reset of all, or None where everything is allowed."""
        if self._is_new:
            self._is_new = False
            self._method = _method(self._env)
            self._warn_of_unread(infos)
        return self.read(infos, 0)

    def at_load(self, over: np.ndarray | None) -> np.ndarray | None:
        """The same where environments were loaded, which tell no infos; over as in `read`."""
        self._method = _method(self._env)
        return self.read({}, 0, over)

    def _warn_of_unread(self, infos: Any) -> None:
        """A UserWarning if masks are told where nobody looks for them."""
        has_masks = KEY in infos or self._method is not None
        if not self._parts and has_masks:
            self._warn_of_kind(f"infos[{KEY!r}]" if KEY in infos else f"{METHOD}()")
        parts = getattr(self._env.single_observation_space, "spaces", ())
        if KEY in parts and not has_masks:
            _warn(
                f"observation[{KEY!r}] is seen by the policy, but forbids no action: masks are "
                f"taken from info[{KEY!r}] or a method {METHOD}()"
            )
        for key in sorted(_MISTAKEN & set(infos)) if self._parts and not has_masks else ():
            _warn(f"infos[{key!r}] forbids no action: masks are taken from info[{KEY!r}]")

    def _warn_of_kind(self, source: str) -> None:
        """Once: there are masks, but actions of a kind that takes none."""
        if self._has_warned:
            return
        self._has_warned = True
        space = self._env.single_action_space
        is_binary, sizes = hasattr(space, "n"), f"np.full({space.shape}, 2)"
        if is_binary and len(space.shape) == 1:
            sizes = f"[2] * {space.n}"
        instead = f"; MultiDiscrete({sizes}) has the same actions" if is_binary else ""
        _warn(
            f"{source} is not looked at: only Discrete and MultiDiscrete actions can be masked, "
            f"and these are {space}{instead}"
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
            if KEY in infos:  # first told after the reset
                self._warn_of_kind(f"infos[{KEY!r}]")
            return None
        told = self._told(infos, step, over if reset is None else reset[0])
        if reset is not None:
            told = self._mixed(told, reset[0], self._told(reset[1], step, ~reset[0]))
        if told is None and self._method is not None:
            with Noted(METHOD):
                given = self._method(over)
            told = self._rows(given, step, over)
        self._check_choices(told, step)
        return told

    def _check_choices(self, told: np.ndarray | None, step: int | None) -> None:
        """ValueError where nothing is open."""
        try:
            arrays.masks(told, None, self._parts, "environment", step)
        except ValueError as error:
            raise UserError(
                f"{error}: end the episode where nothing can be done (terminated=True), or leave "
                "one choice open that does nothing"
            ) from None

    def _mixed(self, told: Any, where: np.ndarray, first: Any) -> np.ndarray | None:
        """`first` in the environments `where`, `told` in the others; None is: all is open."""
        if told is None and first is None:
            return None
        told, first = (self._open() if mask is None else mask for mask in (told, first))
        return np.where(where[:, None], first, told)

    def _told(self, infos: Any, step: int | None, unread: np.ndarray | None) -> np.ndarray | None:
        """What infos say; None if nothing."""
        if KEY not in infos:
            return None
        where = infos.get("_" + KEY)
        if where is not None:
            unread = ~np.asarray(where, bool) | (False if unread is None else unread)
        return self._rows(infos[KEY], step, unread)

    def _rows(self, given: Any, step: int | None, unread: np.ndarray | None) -> np.ndarray:
        n, at = self._env.num_envs, "" if step is None else f" at step {step}"
        valid = None if unread is None else ~unread
        if valid is not None and not valid.any():
            return self._open()
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
    warnings.warn(words, UserWarning, stacklevel=6)


def _method(env: Any) -> Callable[[Any], Any] | None:
    """What gives the masks of all environments, if there is a method for that: a function of `over`
    (E,) bool or None, whose environments need not be asked.
    """
    from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

    base = env.unwrapped
    ask = next((a for a in (getattr(e, METHOD, None) for e in (env, base)) if callable(a)), None)
    if ask is not None:
        return lambda over: ask()
    if not isinstance(base, SyncVectorEnv | AsyncVectorEnv):
        return None
    # Asked of each first: a process that lacks an attribute dies of the question.
    has_it = base.call("has_wrapper_attr", METHOD)
    if isinstance(base, SyncVectorEnv):
        return (lambda over: _of_each(base.envs, has_it, over)) if any(has_it) else None
    if any(has_it) and not all(has_it):
        _warn(f"{METHOD}() is not asked, as only some of the environments have it")
    return (lambda over: _of_processes(base, over)) if all(has_it) else None


def _of_processes(base: Any, over: Any) -> np.ndarray:
    """The masks of environments with processes of their own; those that are `over` are not asked,
    which `AsyncVectorEnv.call` cannot do.
    """
    if over is None or not over.any():
        return _array_of(base.call(METHOD))
    asked = np.flatnonzero(~over).tolist()
    for env in asked:
        base.parent_pipes[env].send(("_call", (METHOD, (), {})))
    given, failed = [None] * len(over), 0
    for env in asked:
        given[env], succeeded = base.parent_pipes[env].recv()
        failed += not succeeded
    _raise_last(base, failed)
    return _array_of(given)


def _raise_last(base: Any, failed: int) -> None:
    """Raises what the last of the `failed` processes raised, as `AsyncVectorEnv` does."""
    for left in reversed(range(failed)):
        env, kind, value, traceback = base.error_queue.get()
        base.parent_pipes[env].close()  # its process has ended
        if not left:
            error = kind(value)
            error.add_note(traceback)
            raise error


def _of_each(envs: Any, has_it: Any, over: Any) -> np.ndarray:
    """The masks of environments in this process; None where there is none, or no use for it."""
    asked = np.asarray(has_it, bool) if over is None else np.asarray(has_it, bool) & ~over
    return _array_of([_ask(env) if asked[e] else None for e, env in enumerate(envs)])


def _ask(env: Any) -> Any:
    mask = env.get_wrapper_attr(METHOD)
    return mask() if callable(mask) else mask


def _array_of(each: Any) -> np.ndarray:
    """(E,) of objects: one environment's mask in each."""
    array = np.empty(len(each), object)
    for env, mask in enumerate(each):
        array[env] = mask
    return array
