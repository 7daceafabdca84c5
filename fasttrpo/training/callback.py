"""The base class of callbacks, with Stable-Baselines3's names and events.

`fasttrpo.callbacks` exports them, together with callbacks that evaluate, save and stop.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fasttrpo.protocols import Record

if TYPE_CHECKING:
    from fasttrpo.logs.logger import Logger
    from fasttrpo.trpo import TRPO

EVERY_ROW, NEVER = 0, sys.maxsize  # values of `rows_until_step`


def continues(answer: Any) -> bool:
    """Whether learning continues after a callback returned `answer`: only False, Python's or
    NumPy's, stops it.
    """
    return not (isinstance(answer, bool | np.bool_) and not answer)


# Methods that are called for steps. A class that overrides one of them is called after every row,
# unless it also overrides `rows_until_step`.
_PER_STEP = ("on_step", "_on_step", "pass_by", "update_locals", "update_child_locals")


def _each_row(callback: Any) -> int:
    return EVERY_ROW


class BaseCallback:
    """Base class of callbacks: override the methods of the events that you need.

    _init_callback, _on_training_start, _on_rollout_start, _on_step, _on_rollout_end, _on_record,
    _on_training_end, _on_exception

    `_on_step` is called after each step of the vector environment. If it returns False, learning
    stops and the unfinished rollout is dropped. Unlike in SB3, None does not stop. `_on_record`
    (not in SB3) is called with each iteration's record; False stops learning, and nothing is
    dropped. `_on_exception` (not in SB3) is called with the exception that ends learning, Ctrl-C
    included, before the caller of `learn` gets it.

    model, training_env, logger    the model, its vector environment and its log
    n_calls        steps of the vector environment since this callback was made
    num_timesteps  environment steps, summed over all environments
    locals, globals  of the loop. In `_on_step`: obs, actions (as drawn), clipped_actions (as sent),
                   values, log_probs, rewards, dones, new_obs (after a reset, if there was one),
                   infos (a list of E dicts, with "episode" (r, l, t), "terminal_observation" and
                   "TimeLimit.truncated" where an episode ended), and n_steps, the row's index in
                   the rollout. If rows are stepped many at a time (see below): n_steps only
    parent         the `EventCallback` that calls this one, or None; held weakly

    Callbacks can change settings at any time; changes take effect in the next iteration. In
    `_on_step`, `set_env` and `set_random_seed` fail with RuntimeError. In `_on_step` and
    `_on_rollout_end`, so do `update` and setting parameters. `set_logger` takes effect at once.

    Compiled environments step many rows at a time in C. If a callback overrides `_on_step` but not
    `rows_until_step`, the number of rows that can pass before the next call, rows are stepped one
    by one, with the same bits.
    """

    model: TRPO
    _parent: Callable[[], Any] | None = None

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Classes that override a method of `_PER_STEP` only are called after every row."""
        super().__init_subclass__(**keywords)
        if "rows_until_step" in vars(cls):
            return
        rows = cls.rows_until_step
        base = next(b for b in cls.__bases__ if getattr(b, "rows_until_step", None) is rows)
        if any(getattr(base, name, None) is not getattr(cls, name) for name in _PER_STEP):
            cls.rows_until_step = _each_row  # type: ignore[assignment]

    def __init__(self, verbose: int = 0) -> None:
        self.model = None  # type: ignore[assignment] # until `init_callback`
        self.n_calls = 0
        self.num_timesteps = 0
        self.verbose = verbose
        self.locals: dict[str, Any] = {}
        self.globals: dict[str, Any] = {}

    @property
    def parent(self) -> Any:
        """The calling callback, held weakly: a reference cycle would keep the model alive."""
        return None if self._parent is None else self._parent()

    @parent.setter
    def parent(self, callback: Any) -> None:
        self._parent = None if callback is None else weakref.ref(callback)

    def __getstate__(self) -> dict[str, Any]:
        """Omits the parent from pickles and copies; `init_callback` sets it again."""
        return {name: value for name, value in vars(self).items() if name != "_parent"}

    @property
    def training_env(self) -> Any:
        """The vector environment that the model learns in."""
        return self.model.get_env()

    @property
    def logger(self) -> Logger:
        """The model's log: `logger.record(key, value)`."""
        return self.model.logger

    # -- called by the loop -----------------------------------------------------------------------

    def init_callback(self, model: Any) -> None:
        """Called once with the model, before all other events."""
        self.model = model
        self._init_callback()

    def on_training_start(self, locals_: dict[str, Any], globals_: dict[str, Any]) -> None:
        """Called when learning starts."""
        self.locals, self.globals = locals_, globals_
        self.num_timesteps = self.model.num_timesteps
        self._on_training_start()

    def on_rollout_start(self) -> None:
        """Called before each rollout."""
        self._on_rollout_start()

    def pass_by(self, rows: int) -> None:
        """Counts rows that were collected without calling `on_step`."""
        self.n_calls += rows
        self.num_timesteps = self.model.num_timesteps

    def on_step(self) -> bool:
        """Called after a row; False stops learning."""
        self.pass_by(1)
        return self._on_step()

    def on_rollout_end(self) -> None:
        """Called after each rollout, before the update."""
        self._on_rollout_end()

    def on_record(self, record: Record) -> bool:
        """Called after each iteration; False stops learning."""
        self.num_timesteps = self.model.num_timesteps
        return continues(self._on_record(record))

    def on_training_end(self) -> None:
        """Called when learning ends without an exception."""
        self._on_training_end()

    def on_exception(self, error: BaseException) -> None:
        """Called when learning ends with an exception; the model is as its last iteration left it.

        Does nothing if another callback's `init_callback` failed before this one's was called.
        """
        if self.model is not None:
            self._on_exception(error)

    def update_locals(self, locals_: dict[str, Any]) -> None:
        """Updates `locals` with the loop's variables."""
        self.locals.update(locals_)
        self.update_child_locals(locals_)

    def update_child_locals(self, locals_: dict[str, Any]) -> None:
        """Passes the variables to child callbacks."""

    # -- overridden by subclasses -----------------------------------------------------------------

    def rows_until_step(self) -> int:
        """The number of rows that can pass before `_on_step` must be called.

        A subclass that overrides `_on_step` but not this is called after every row.
        """
        return NEVER

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

    def _on_record(self, record: Record) -> bool | None:
        return True

    def _on_training_end(self) -> None:
        pass

    def _on_exception(self, error: BaseException) -> None:
        pass


def notify(callback: Any, error: BaseException) -> None:
    """Calls `on_exception`. If that fails, adds a note to `error`, so that other callbacks are
    still called and the caller gets the original exception.
    """
    if not hasattr(callback, "on_exception"):  # SB3's callbacks have none
        return
    try:
        callback.on_exception(error)
    except Exception as failure:
        error.add_note(f"{type(callback).__name__}.on_exception failed: {failure!r}")


def rows_until_step(callback: Any) -> int:
    """After how many rows to call the callback; EVERY_ROW: after each, with complete `locals`."""
    is_ours = hasattr(callback, "rows_until_step")
    if not is_ours or any(name in vars(callback) for name in _PER_STEP):
        return EVERY_ROW
    return callback.rows_until_step()


def rows_to_multiple(n_calls: int, freq: int) -> int:
    """Rows until n_calls is the next multiple of freq."""
    return freq - n_calls % freq


def adopt(child: Any, parent: Any) -> None:
    """Sets the child's `parent`, held weakly by SB3 callbacks too."""
    if child is not None:
        child.parent = parent if isinstance(child, BaseCallback) else weakref.proxy(parent)


def weaken_parents(callback: Any, visited: set[int] | None = None) -> None:
    """Makes the children of SB3 callbacks hold their `parent` weakly, as ours do."""
    visited = set() if visited is None else visited
    if id(callback) in visited or not hasattr(callback, "__dict__"):
        return
    visited.add(id(callback))
    for name, value in list(vars(callback).items()):
        for child in value if isinstance(value, list | tuple) else [value]:
            if name == "parent" or not hasattr(child, "init_callback"):
                continue
            if getattr(child, "parent", None) is callback:
                adopt(child, callback)
            weaken_parents(child, visited)
