"""Classes of libraries that fasttrpo works with but never imports."""

from __future__ import annotations

import sys
from typing import Any


def imported_class(module: str, name: str) -> type | None:
    """A class of a module, or None if the module is not imported."""
    return getattr(sys.modules.get(module), name, None)


def is_instance(value: Any, module: str, name: str) -> bool:
    """Whether `value` is an instance of that class; False if the module is not imported."""
    return isinstance(value, imported_class(module, name) or ())
