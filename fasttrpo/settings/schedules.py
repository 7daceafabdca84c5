"""Settings that change during a run: functions of the remaining progress, from 1 to 0.

    target_kl=0.01             constant
    target_kl="linear"         0.01 * remaining: the default, times the progress
    target_kl="linear_0.02"    0.02 * remaining
    target_kl=lambda remaining: 0.005 + 0.01 * remaining**2

`remaining` is 1 - num_timesteps / total_timesteps at the start of an iteration: 1 in the first, and
above 0 in the last, so that a linear schedule never reaches 0.
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
    """Accepts what `inner` does, "linear", "linear_START" (`inner` checks START), or a function."""

    def check(name: str, value: Any) -> Any:
        if is_function(value):
            return value
        if isinstance(value, str):
            start = _start(name, value)
            return value if start is None else f"linear_{inner(name, start)!r}"
        return inner(name, value)

    return Check(f"{inner.legal}, 'linear', 'linear_START', or a function", check)


def is_schedule(setting: Any) -> bool:
    """Whether the setting is not constant."""
    return isinstance(setting, str) or is_function(setting)


def is_function(setting: Any) -> bool:
    """Whether the setting is a function of the remaining progress, which cannot be saved."""
    return callable(setting)


def value_at(name: str, setting: Any, default: float, remaining: float, check: Check) -> float:
    """The setting's value at this remaining progress; None is the default.

    Raises ValueError with the progress and the value if `check` refuses what a function returns.
    """
    if is_function(setting):
        value = setting(remaining)
        try:
            return check(name, value)
        except ValueError as error:
            raise UserError(
                f"{error} from its function at remaining progress {remaining:g}"
            ) from None
    if isinstance(setting, str):
        start = _start(name, setting)
        return (default if start is None else start) * remaining
    return default if setting is None else setting


def values_of_functions(settings: Any, remaining: float) -> dict[str, float]:
    """{name: value} of the settings that are functions."""
    of_functions = {name: getattr(settings, name) for name in SCHEDULED}
    return {name: float(f(remaining)) for name, f in of_functions.items() if is_function(f)}


def warn_of_functions(settings: Any, names: set[str]) -> None:
    """Warns about each setting of a saved model that was a function."""
    for name in sorted(names):
        warnings.warn(
            f"{name} was a function of the remaining progress, which is not saved: it stays at "
            f"{getattr(settings, name):g}; pass {name}=... to load to set it again",
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
        raise UserError(f"{name}: {text!r} is not a schedule such as linear_0.02") from None
