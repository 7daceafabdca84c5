"""Checks of dicts that are saved as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fasttrpo.checks.values import Check, plain, refuse
from fasttrpo.errors import UserError, UserTypeError

LARGEST = 2**18  # characters; run folders and model files have room for more
DEEPEST = 12  # levels of lists and dicts, which run folders limit too
_PLAIN = (bool, int, float, str, type(None))


def keywords(remedy: str) -> Check:
    """A dict of keyword arguments, as a copy with JSON's types: tuples and arrays become lists.
    The error for any other value names its place.

    remedy  what to do about a value that is not JSON
    """
    legal = "a dict of keyword arguments with JSON values"

    def check(name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise refuse(name, value, legal)
        copy = _object(name, value, remedy, DEEPEST)
        if len(json.dumps(copy)) > LARGEST:
            raise UserError(f"{name} must have at most {LARGEST:,} characters as JSON; {remedy}")
        return copy

    return Check(legal, check)


def _object(name: str, value: Mapping, remedy: str, depth: int) -> dict[str, Any]:
    for key in value:
        if not isinstance(key, str):
            raise UserTypeError(f"{name}: keys must be strings, got {key!r}")
    return {key: _value(f"{name}[{key!r}]", each, remedy, depth) for key, each in value.items()}


def _value(name: str, value: Any, remedy: str, depth: int) -> Any:
    value = value.tolist() if hasattr(value, "dtype") else plain(value)
    if isinstance(value, Mapping | list | tuple):
        if not depth:
            raise UserError(f"{name} is nested more than {DEEPEST} levels deep")
        if isinstance(value, Mapping):
            return _object(name, value, remedy, depth - 1)
        return [_value(f"{name}[{i}]", each, remedy, depth - 1) for i, each in enumerate(value)]
    if type(value) not in _PLAIN or value != value:
        what = "NaN" if value != value else f"{type(value).__name__}: {value!r}"
        raise UserTypeError(
            f"{name} must be a JSON value (a number, string, bool, None, list or dict), got "
            f"{what}; {remedy}"
        )
    return value
