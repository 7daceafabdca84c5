"""Callbacks made of other callbacks, or of functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeGuard

from fasttrpo.errors import UserTypeError
from fasttrpo.protocols import Record
from fasttrpo.training.callback import (
    NEVER,
    BaseCallback,
    adopt,
    continues,
    notify,
    rows_until_step,
)

if TYPE_CHECKING:
    from fasttrpo.protocols import Callback, CallbackLike


class EventCallback(BaseCallback):
    """Base class of callbacks that call a child callback's `on_step` on an event."""

    def __init__(self, callback: CallbackLike = None, verbose: int = 0) -> None:
        super().__init__(verbose)
        self.callback = None if callback is None else as_callback(callback)
        adopt(self.callback, self)

    def init_callback(self, model: Any) -> None:
        """Initialises the child first, because this callback may use it."""
        if self.callback is not None:
            if getattr(self.callback, "parent", None) is None:  # in a copy
                adopt(self.callback, self)
            self.callback.init_callback(model)
        super().init_callback(model)

    def rows_until_step(self) -> int:
        """NEVER: events need not depend on rows."""
        return NEVER

    def _on_training_start(self) -> None:
        if self.callback is not None:
            self.callback.on_training_start(self.locals, self.globals)

    def _on_exception(self, error: BaseException) -> None:
        if self.callback is not None:
            notify(self.callback, error)

    def _on_event(self) -> bool:
        return self.callback is None or continues(self.callback.on_step())

    def update_child_locals(self, locals_: dict[str, Any]) -> None:
        """Passes the variables to the child."""
        if self.callback is not None:
            self.callback.update_locals(locals_)


class CallbackList(BaseCallback):
    """Calls several callbacks in order. If one returns False, learning stops after the others."""

    def __init__(self, callbacks: Iterable[CallbackLike]) -> None:
        super().__init__()
        self.callbacks: list[Any] = [as_callback(each) for each in callbacks]

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
        """The smallest number among the callbacks."""
        return min((rows_until_step(each) for each in self.callbacks), default=NEVER)

    def pass_by(self, rows: int) -> None:
        """Counts the rows in every callback."""
        super().pass_by(rows)
        for callback in self.callbacks:
            if rows:
                callback.pass_by(rows)

    def on_step(self) -> bool:
        """Called after a row; False stops learning."""
        super().pass_by(1)
        return self._on_step()

    def _on_step(self) -> bool:
        return all([continues(callback.on_step()) for callback in self.callbacks])

    def _on_rollout_end(self) -> None:
        for callback in self.callbacks:
            callback.on_rollout_end()

    def _on_record(self, record: Record) -> bool:
        ours = [each for each in self.callbacks if hasattr(each, "on_record")]  # not in SB3
        return all([continues(callback.on_record(record)) for callback in ours])

    def _on_training_end(self) -> None:
        for callback in self.callbacks:
            callback.on_training_end()

    def _on_exception(self, error: BaseException) -> None:
        for callback in self.callbacks:
            notify(callback, error)

    def update_child_locals(self, locals_: dict[str, Any]) -> None:
        """Passes the variables to each callback."""
        for callback in self.callbacks:
            callback.update_locals(locals_)


class ConvertCallback(BaseCallback):
    """Calls a function of (locals, globals) after each step of the vector environment."""

    def __init__(self, callback: Callable[..., bool | None], verbose: int = 0) -> None:
        super().__init__(verbose)
        self.callback = callback

    def _on_step(self) -> bool:
        return continues(self.callback(self.locals, self.globals))


class RecordCallback(BaseCallback):
    """Calls a function with each iteration's record."""

    def __init__(self, function: Callable[[Record], bool | None]) -> None:
        super().__init__()
        self.function = function

    def _on_record(self, record: Record) -> bool | None:
        return self.function(record)


# -- from what users pass -------------------------------------------------------------------------

_CALLED = ("init_callback", "on_training_start", "on_rollout_start", "on_step", "on_rollout_end")


def as_callback(given: CallbackLike) -> Callback:
    """A callback from a callback, a list of callbacks, or a function.

    A function with two required arguments is called with SB3's (locals, globals) after every step,
    any other with each iteration's record. Raises TypeError for anything else.
    """
    if given is None:
        return CallbackList([])
    if isinstance(given, list | tuple):
        return CallbackList(given)
    if _is_callback(given):
        return given
    if not callable(given) or isinstance(given, type):
        raise UserTypeError(
            f"callback must be a function, a BaseCallback or a list of these, got {given!r}"
        )
    return ConvertCallback(given) if _n_needed(given) == 2 else RecordCallback(given)


def _is_callback(given: object) -> TypeGuard[Callback]:
    """Whether it has the methods that `learn` calls."""
    return all(hasattr(given, name) for name in _CALLED) and not isinstance(given, type)


def _n_needed(function: Callable[..., Any]) -> int:
    """The number of positional arguments without defaults; 1 if unknown."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is p.empty for p in parameters)
