"""Settings that change as a run goes on: functions of the progress that remains, 1 -> 0.

    target_kl=0.01             the same throughout
    target_kl="linear"         0.01 * remaining: from the default, in proportion
    target_kl="linear_0.02"    0.02 * remaining
    target_kl=lambda remaining: 0.005 + 0.01 * remaining**2

`remaining` is 1 - num_timesteps / total_timesteps where an iteration begins: 1 in the first one,
and above 0 in the last, so that a linear schedule never gets to 0.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from fasttrpo.checks.suggest import unknown
from fasttrpo.checks.values import Check
from fasttrpo.errors import UserError

Schedule = Callable[[float], float]
_WORDS = ("linear",)
SCHEDULED = ("target_kl", "learning_rate")


def scheduled(inner: Check) -> Check:
    """What `inner` accepts, "linear", "linear_START" where `inner` accepts START, or a function."""

    def check(name: str, value: Any) -> Any:
        if is_function(value):
            return value
        if isinstance(value, str):
            start = _start(name, value)
            return value if start is None else f"linear_{inner(name, start)!r}"
        return inner(name, value)

    return Check(f"{inner.legal}, 'linear', 'linear_START', or a function", check)


def is_schedule(setting: Any) -> bool:
    """Whether the setting is no constant."""
    return isinstance(setting, str) or is_function(setting)


def is_function(setting: Any) -> bool:
    """Whether it is a function of the remaining progress, which no file can hold."""
    return callable(setting)


def value_at(name: str, setting: Any, default: float, remaining: float, check: Check) -> float:
    """The setting's value with that much progress remaining; None is the default.

    ValueError names the progress and the value where a function gives what `check` refuses.
    """
    if is_function(setting):
        value = setting(remaining)
        try:
            return check(name, value)
        except ValueError as error:
            raise UserError(
                f"{error} by its function at remaining progress {remaining:g}"
            ) from None
    if isinstance(setting, str):
        start = _start(name, setting)
        return (default if start is None else start) * remaining
    return default if setting is None else setting


def values_of_functions(settings: Any, remaining: float) -> dict[str, float]:
    """{name: its value then} of the settings that are functions."""
    of_functions = {name: getattr(settings, name) for name in SCHEDULED}
    return {name: float(f(remaining)) for name, f in of_functions.items() if is_function(f)}


def warn_of_functions(settings: Any, names: set[str]) -> None:
    """A warning for each setting of a saved model that was a function."""
    for name in sorted(names):
        warnings.warn(
            f"{name} was a function of the remaining progress, which no file holds: it stays at "
            f"{getattr(settings, name):g}; pass {name}=... to load to have it again",
            UserWarning,
            stacklevel=3,
        )


def _start(name: str, text: str) -> float | None:
    """START of linear_START; None for "linear"."""
    word, _, start = text.partition("_")
    if word not in _WORDS:
        raise UserError(unknown(f"schedule of {name}:", word, _WORDS))
    if not start and word == text:
        return None
    try:
        return float(start)
    except ValueError:
        raise UserError(f"{name}: {text!r} is no schedule: linear_0.02, say, is one") from None
