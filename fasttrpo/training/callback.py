"""What is called as a model learns: the moments, lists of callbacks, and plain functions as such.

The names and the moments are Stable-Baselines3's. `fasttrpo.callbacks` has them all, with those
that evaluate, save and stop.
"""

from __future__ import annotations

import inspect
import sys
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fasttrpo.errors import UserTypeError

EACH, EVER = 0, sys.maxsize  # rows


def continues(answer: Any) -> bool:
    """Whether a callback's answer lets learning go on: all but False, NumPy's (of a comparison of
    its numbers) included.
    """
    return not (isinstance(answer, bool | np.bool_) and not answer)


# What a callback does in a step. A class with one of its own also says in which rows it is needed.
_PER_STEP = ("on_step", "_on_step", "pass_by", "update_locals", "update_child_locals")


def _each_row(callback: Any) -> int:
    return EACH


class BaseCallback:
    """A callback: derive from it and override the moments that matter.

    _init_callback, _on_training_start, _on_rollout_start, _on_step, _on_rollout_end, _on_record,
    _on_training_end, _on_exception

    `_on_step` is called after each step of the vector environment; where it returns False (None,
    unlike there, is no word on it), learning stops and the rollout in progress is dropped.
    `_on_record` (fasttrpo's own) is called after each iteration with its record, and may return
    False too, which stops with nothing dropped. `_on_exception` (its own, too) is called with what
    ends learning, Ctrl-C included, before that goes on to the caller.

    model, training_env, logger    the model, its vector environment and its log
    n_calls        steps of the vector environment since this callback was made
    num_timesteps  steps of all environments
    locals, globals  of the loop. In `_on_step`: obs, actions (as drawn), clipped_actions (as sent),
                   values, log_probs, rewards, dones, new_obs (after a reset, if there was one) and
                   infos, a list of E dicts; where an episode ended these have "episode" (r, l, t),
                   "terminal_observation" and "TimeLimit.truncated"; n_steps counts the rollout's
                   rows from 0. Without a step of its own to see (below): n_steps alone.
    parent         the `EventCallback` that this one is called by, while that lives

    A callback may change settings at any moment: they count from the next iteration on. `set_env`
    and `set_random_seed` are a RuntimeError in `_on_step`; so are new parameters and `update`, and
    in `_on_rollout_end` too, before the update is made. `set_logger` takes effect at once.

    Compiled environments step many rows without Python in between. That stays so where no callback
    has an `_on_step` of its own, and where each says in `rows_until_step` how many rows may pass
    before it is called next. Otherwise the rows are stepped one by one, with the same bits.
    """

    _parent: Callable[[], Any] | None = None

    def __init_subclass__(cls, **keywords: Any) -> None:
        """A class that changes what happens in a step, and does not say in which rows, gets all."""
        super().__init_subclass__(**keywords)
        if "rows_until_step" in vars(cls):
            return
        rows = cls.rows_until_step
        base = next(b for b in cls.__bases__ if getattr(b, "rows_until_step", None) is rows)
        if any(getattr(base, name, None) is not getattr(cls, name) for name in _PER_STEP):
            cls.rows_until_step = _each_row  # type: ignore[assignment]

    def __init__(self, verbose: int = 0) -> None:
        self.model: Any = None
        self.n_calls = 0
        self.num_timesteps = 0
        self.verbose = verbose
        self.locals: dict[str, Any] = {}
        self.globals: dict[str, Any] = {}

    @property
    def parent(self) -> Any:
        """Held weakly: no cycle of callbacks keeps a model alive."""
        return None if self._parent is None else self._parent()

    @parent.setter
    def parent(self, callback: Any) -> None:
        self._parent = None if callback is None else weakref.ref(callback)

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy: without the parent, which `init_callback` gives again."""
        return {name: value for name, value in vars(self).items() if name != "_parent"}

    @property
    def training_env(self) -> Any:
        """The vector environment that the model learns in."""
        return self.model.get_env()

    @property
    def logger(self) -> Any:
        """The model's log: `logger.record(key, value)`."""
        return self.model.logger

    # -- what the loop calls ----------------------------------------------------------------------

    def init_callback(self, model: Any) -> None:
        """Before anything else: the model."""
        self.model = model
        self._init_callback()

    def on_training_start(self, locals_: dict[str, Any], globals_: dict[str, Any]) -> None:
        """Learning begins."""
        self.locals, self.globals = locals_, globals_
        self.num_timesteps = self.model.num_timesteps
        self._on_training_start()

    def on_rollout_start(self) -> None:
        """A rollout begins."""
        self._on_rollout_start()

    def pass_by(self, rows: int) -> None:
        """Rows that need no call happened."""
        self.n_calls += rows
        self.num_timesteps = self.model.num_timesteps

    def on_step(self) -> bool:
        """One more row; False stops."""
        self.pass_by(1)
        return self._on_step()

    def on_rollout_end(self) -> None:
        """A rollout is full; the update follows."""
        self._on_rollout_end()

    def on_record(self, record: dict[str, Any]) -> bool:
        """An iteration ended; False stops."""
        self.num_timesteps = self.model.num_timesteps
        return continues(self._on_record(record))

    def on_training_end(self) -> None:
        """Learning ends, unless by an exception."""
        self._on_training_end()

    def on_exception(self, error: BaseException) -> None:
        """Learning ends by an exception; the model is as its last iteration left it.

        One that has not been given the model yet is not told: another's turn failed before.
        """
        if self.model is not None:
            self._on_exception(error)

    def update_locals(self, locals_: dict[str, Any]) -> None:
        """New values of the loop's variables."""
        self.locals.update(locals_)
        self.update_child_locals(locals_)

    def update_child_locals(self, locals_: dict[str, Any]) -> None:
        """Hands them on, where there is someone."""

    # -- what a subclass may say ------------------------------------------------------------------

    def rows_until_step(self) -> int:
        """How many rows from now `_on_step` has to be called: it is not needed before.

        Only asked where the class that says so knows of the `_on_step` at hand: in a subclass with
        an `_on_step` of its own, and no word on this, each row counts (EACH).
        """
        return EVER

    def _init_callback(self) -> None:
        pass

    def _on_training_start(self) -> None:
        pass

    def _on_rollout_start(self) -> None:
        pass

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        pass

    def _on_record(self, record: dict[str, Any]) -> bool | None:
        return True

    def _on_training_end(self) -> None:
        pass

    def _on_exception(self, error: BaseException) -> None:
        pass


def tell(callback: Any, error: BaseException) -> None:
    """Tells one callback what ends learning. Where it fails itself, a note on `error` says so: the
    others still have their turn, and the caller sees what came first.
    """
    if not hasattr(callback, "on_exception"):  # Stable-Baselines3's own have not
        return
    try:
        callback.on_exception(error)
    except Exception as failure:
        error.add_note(f"{type(callback).__name__}.on_exception failed: {failure!r}")


def rows_until_step(callback: Any) -> int:
    """After how many rows the callback must be called; EACH: after each, with all its `locals`."""
    knows = hasattr(callback, "rows_until_step")
    if not knows or any(name in vars(callback) for name in _PER_STEP):
        return EACH
    return callback.rows_until_step()


def rows_to_multiple(n_calls: int, freq: int) -> int:
    """Rows until n_calls is the next multiple of freq."""
    return freq - n_calls % freq


def adopt(child: Any, parent: Any) -> None:
    """Makes one the other's `parent`, held weakly by callbacks of Stable-Baselines3's too."""
    if child is not None:
        child.parent = parent if isinstance(child, BaseCallback) else weakref.proxy(parent)


def loosen(callback: Any, seen: set[int] | None = None) -> None:
    """Lets what Stable-Baselines3's callbacks call hold its `parent` weakly, as it is here."""
    seen = set() if seen is None else seen
    if id(callback) in seen or not hasattr(callback, "__dict__"):
        return
    seen.add(id(callback))
    for name, value in list(vars(callback).items()):
        for child in value if isinstance(value, list | tuple) else [value]:
            if name == "parent" or not hasattr(child, "init_callback"):
                continue
            if getattr(child, "parent", None) is callback:
                adopt(child, callback)
            loosen(child, seen)


class EventCallback(BaseCallback):
    """Calls another callback's `on_step` on an event (`_on_event`); base class of such."""

    def __init__(self, callback: Any = None, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.callback = None if callback is None else as_callback(callback)
        adopt(self.callback, self)

    def init_callback(self, model: Any) -> None:
        """The child's turn comes first: it may be asked for in this one's."""
        if self.callback is not None:
            if getattr(self.callback, "parent", None) is None:  # a copy's
                adopt(self.callback, self)
            self.callback.init_callback(model)
        super().init_callback(model)

    def rows_until_step(self) -> int:
        """Never: an event has no row."""
        return EVER

    def _on_training_start(self) -> None:
        if self.callback is not None:
            self.callback.on_training_start(self.locals, self.globals)

    def _on_exception(self, error: BaseException) -> None:
        if self.callback is not None:
            tell(self.callback, error)

    def _on_event(self) -> bool:
        return self.callback is None or continues(self.callback.on_step())

    def update_child_locals(self, locals_: dict[str, Any]) -> None:
        """To the callback of the event."""
        if self.callback is not None:
            self.callback.update_locals(locals_)


class CallbackList(BaseCallback):
    """Several callbacks, each called in turn; one that returns False stops after the others."""

    def __init__(self, callbacks: Iterable[Any]) -> None:
        super().__init__()
        self.callbacks = [as_callback(each) for each in callbacks]

    def _init_callback(self) -> None:
        for callback in self.callbacks:
            if self.parent is not None:
                adopt(callback, self.parent)
            callback.init_callback(self.model)

    def _on_training_start(self) -> None:
        for callback in self.callbacks:
            callback.on_training_start(self.locals, self.globals)

    def _on_rollout_start(self) -> None:
        for callback in self.callbacks:
            callback.on_rollout_start()

    def rows_until_step(self) -> int:
        """The first one's to be called."""
        return min((rows_until_step(each) for each in self.callbacks), default=EVER)

    def pass_by(self, rows: int) -> None:
        """For each, which then is none that has to see every row."""
        super().pass_by(rows)
        for callback in self.callbacks:
            if rows:
                callback.pass_by(rows)

    def on_step(self) -> bool:
        """One more row."""
        super().pass_by(1)
        return self._on_step()

    def _on_step(self) -> bool:
        return all([continues(callback.on_step()) for callback in self.callbacks])

    def _on_rollout_end(self) -> None:
        for callback in self.callbacks:
            callback.on_rollout_end()

    def _on_record(self, record: dict[str, Any]) -> bool:
        # Stable-Baselines3's own callbacks have no such moment.
        told = [each for each in self.callbacks if hasattr(each, "on_record")]
        return all([continues(callback.on_record(record)) for callback in told])

    def _on_training_end(self) -> None:
        for callback in self.callbacks:
            callback.on_training_end()

    def _on_exception(self, error: BaseException) -> None:
        for callback in self.callbacks:
            tell(callback, error)

    def update_child_locals(self, locals_: dict[str, Any]) -> None:
        """To each."""
        for callback in self.callbacks:
            callback.update_locals(locals_)


class ConvertCallback(BaseCallback):
    """A function of (locals, globals), called after each step of the vector environment."""

    def __init__(self, callback: Callable[..., bool | None], verbose: int = 0) -> None:
        super().__init__(verbose)
        self.callback = callback

    def _on_step(self) -> bool:
        return continues(self.callback(self.locals, self.globals))


class RecordCallback(BaseCallback):
    """A function of an iteration's record, called after each iteration."""

    def __init__(self, function: Callable[[dict[str, Any]], bool | None]) -> None:
        super().__init__()
        self.function = function

    def _on_record(self, record: dict[str, Any]) -> bool | None:
        return self.function(record)


# -- what a user passes ---------------------------------------------------------------------------

_CALLED = ("init_callback", "on_training_start", "on_rollout_start", "on_step", "on_rollout_end")


def as_callback(given: Any) -> Any:
    """A callback object as it is; a list of what is one; or a function as one.

    A function that needs two arguments gets Stable-Baselines3's (locals, globals) at every step;
    any other gets the record of each iteration. TypeError for what is none of these.
    """
    if given is None:
        return CallbackList([])
    if isinstance(given, list | tuple):
        return CallbackList(given)
    if all(hasattr(given, name) for name in _CALLED) and not isinstance(given, type):
        return given
    if not callable(given) or isinstance(given, type):
        raise UserTypeError(
            f"callback must be a function, a BaseCallback or a list of such, got {given!r}"
        )
    return ConvertCallback(given) if _n_needed(given) == 2 else RecordCallback(given)


def _n_needed(function: Callable[..., Any]) -> int:
    """How many arguments by position a function cannot do without; 1 where it does not say."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in places and p.default is p.empty for p in parameters)
