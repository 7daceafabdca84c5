"""Action masks from environments: the choices that each of E environments allows next.

They are read from infos["action_mask"] of resets and steps (infos["_action_mask"] (E,), if present,
says which environments reported one), else from a method `action_masks()` of the environments or of
the vector environment. Without masks everything is allowed. `spaces.masks` documents their forms.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from fasttrpo.checks import arrays
from fasttrpo.errors import UserError
from fasttrpo.spaces import actions, masks
from fasttrpo.stream.infos import LazyColumns
from fasttrpo.stream.notes import Noted

KEY = "action_mask"
METHOD = "action_masks"
_SIMILAR_KEYS = {METHOD, "legal_actions", "available_actions", "avail_actions"}


class Masks:
    """Reads the masks of a vector environment whose actions are choices."""

    def __init__(self, env: Any) -> None:
        from gymnasium import spaces

        self._env = env
        self._parts: tuple[int, ...] = ()  # empty: actions are not choices
        if isinstance(env.single_action_space, spaces.Discrete | spaces.MultiDiscrete):
            self._parts = actions.from_space(env.single_action_space).parts
        self._method: Callable[[Any], Any] | None = None
        self._is_new = True
        self._has_warned = False

    @property
    def has_method(self) -> bool:
        """Whether masks come from a method."""
        return self._method is not None

    def plain(self) -> tuple[str, tuple[int, ...]]:
        """For the core, which reads plain masks: their key in an info, and the choices of each part
        of an action.
        """
        return KEY, self._parts

    def at_reset(self, infos: Any) -> np.ndarray | None:
        """(E, A) bool after a reset of all environments, or None if everything is allowed."""
        if self._is_new:
            self._is_new = False
            self._method = _method(self._env)
            self._warn_of_unread(infos)
        return self.read(infos, 0)

    def at_load(self, over: np.ndarray | None) -> np.ndarray | None:
        """As `at_reset`, after a load, which returns no infos; `over` as in `read`."""
        self._method = _method(self._env)
        return self.read({}, 0, over)

    def _warn_of_unread(self, infos: Any) -> None:
        """Warns of masks in places that are not read."""
        has_masks = KEY in infos or self._method is not None
        if not self._parts and has_masks:
            self._warn_of_kind(f"infos[{KEY!r}]" if KEY in infos else f"{METHOD}()")
        parts = getattr(self._env.single_observation_space, "spaces", ())
        if KEY in parts and not has_masks:
            _warn(
                f"observation[{KEY!r}] is an input of the policy, but masks no action: masks are "
                f"read from info[{KEY!r}] or a method {METHOD}()"
            )
        for key in sorted(_SIMILAR_KEYS & set(infos)) if self._parts and not has_masks else ():
            _warn(f"infos[{key!r}] masks no action: masks are read from info[{KEY!r}]")

    def _warn_of_kind(self, source: str) -> None:
        """Warns, once, of masks for actions that cannot be masked."""
        if self._has_warned:
            return
        self._has_warned = True
        space = self._env.single_action_space
        is_binary, sizes = hasattr(space, "n"), f"np.full({space.shape}, 2)"
        if is_binary and len(space.shape) == 1:
            sizes = f"[2] * {space.n}"
        instead = f"; MultiDiscrete({sizes}) has the same actions" if is_binary else ""
        _warn(
            f"{source} is ignored: only Discrete and MultiDiscrete actions can be masked, "
            f"and these are {space}{instead}"
        )

    def read(
        self,
        infos: Any,
        step: int | None,
        over: np.ndarray | None = None,
        reset: tuple[np.ndarray, Any] | None = None,
    ) -> np.ndarray | None:
        """(E, A) bool, or None if everything is allowed, from the last reset or step.

        step   the step that the masks are for, if steps are counted
        over   (E,) environments whose next action has no effect: their masks are not read
        reset  (E,) environments that were reset after the step, and the infos of that reset

        Raises ValueError with environment and step if a mask is malformed or leaves no choice.
        """
        if self._method is None and reset is None and KEY not in infos:
            return None
        if not self._parts:
            if KEY in infos:  # not yet in the reset's infos
                self._warn_of_kind(f"infos[{KEY!r}]")
            return None
        if type(infos) is LazyColumns and self._method is None:
            found = self._plain(infos)
            if found is not None:
                return found
        found = self._from_infos(infos, step, over if reset is None else reset[0])
        if reset is not None:
            found = self._mixed(found, reset[0], self._from_infos(reset[1], step, ~reset[0]))
        if found is None and self._method is not None:
            with Noted(METHOD):
                returned = self._method(over)
            found = self._rows(returned, step, over)
        self._check_choices(found, step)
        return found

    def _plain(self, infos: LazyColumns) -> np.ndarray | None:
        """The masks in infos that are not columns yet, if they are as usual and need no check."""
        added = infos.added(KEY)
        if not added:
            return None
        found = np.empty((self._env.num_envs, sum(self._parts)), bool)
        if len(added) < len(found):
            found.fill(True)
        for mask, env in added:
            if not masks.is_plain(mask, self._parts):
                return None
            found[env] = mask
        return found

    def _check_choices(self, found: np.ndarray | None, step: int | None) -> None:
        """Raises ValueError if a mask leaves no choice."""
        try:
            arrays.masks(found, None, self._parts, "environment", step)
        except ValueError as error:
            raise UserError(
                f"{error}: end the episode where no action is possible (terminated=True), or allow "
                "a choice that does nothing"
            ) from None

    def _mixed(self, masks: Any, where: np.ndarray, first: Any) -> np.ndarray | None:
        """`first` in the environments `where`, `masks` in the others; None allows everything."""
        if masks is None and first is None:
            return None
        masks, first = (self._open() if each is None else each for each in (masks, first))
        return np.where(where[:, None], first, masks)

    def _from_infos(
        self, infos: Any, step: int | None, unread: np.ndarray | None
    ) -> np.ndarray | None:
        """The masks in infos; None if there are none."""
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
    """A function that returns the masks of all environments, or None if they have no such method.
    Its argument `over` (E,) bool, or None, says which environments it can leave out.
    """
    from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

    base = env.unwrapped
    found = [getattr(each, METHOD, None) for each in (env, base)]
    method = next(filter(callable, found), None)
    if method is not None:
        return lambda over: method()
    if not isinstance(base, SyncVectorEnv | AsyncVectorEnv):
        return None
    # Checked first: a process dies when asked for an attribute that it lacks.
    has_it = base.call("has_wrapper_attr", METHOD)
    if isinstance(base, SyncVectorEnv):
        return (lambda over: _of_each(base.envs, has_it, over)) if any(has_it) else None
    if any(has_it) and not all(has_it):
        _warn(f"{METHOD}() is ignored, because only some of the environments have it")
    return (lambda over: _of_processes(base, over)) if all(has_it) else None


def _of_processes(base: Any, over: Any) -> np.ndarray:
    """The masks of environments in processes, except those that are `over`, which
    `AsyncVectorEnv.call` cannot leave out.
    """
    if over is None or not over.any():
        return _array_of(base.call(METHOD))
    called = np.flatnonzero(~over).tolist()
    for env in called:
        base.parent_pipes[env].send(("_call", (METHOD, (), {})))
    given, failed = [None] * len(over), 0
    for env in called:
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
    """The masks of environments in this process; None where there is none or it is not needed."""
    called = np.asarray(has_it, bool) if over is None else np.asarray(has_it, bool) & ~over
    return _array_of([_mask_of(env) if called[e] else None for e, env in enumerate(envs)])


def _mask_of(env: Any) -> Any:
    mask = env.get_wrapper_attr(METHOD)
    return mask() if callable(mask) else mask


def _array_of(each: Any) -> np.ndarray:
    """(E,) objects: the mask of each environment."""
    array = np.empty(len(each), object)
    for env, mask in enumerate(each):
        array[env] = mask
    return array
