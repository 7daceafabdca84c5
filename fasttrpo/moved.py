"""Old import paths, which still work, with a DeprecationWarning that names the new one."""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# The name of a module up to version 0.1 -> its new name.
MOVED = {
    "fasttrpo.backend": "fasttrpo.core.backend",
    "fasttrpo.callback_base": "fasttrpo.callbacks",
    "fasttrpo.checkpoint": "fasttrpo.files.checkpoint",
    "fasttrpo.collect": "fasttrpo.training.collect",
    "fasttrpo.environments": "fasttrpo.stream.make",
    "fasttrpo.kernels": "fasttrpo.theory",
    "fasttrpo.logger": "fasttrpo.logs.logger",
    "fasttrpo.media": "fasttrpo.logs.media",
    "fasttrpo.presets": "fasttrpo.settings.tuned",
    "fasttrpo.progress_bar": "fasttrpo.training.progress_bar",
    "fasttrpo.rollout": "fasttrpo.training.rollout",
    "fasttrpo.writers": "fasttrpo.logs.writers",
}


def warn(old: str, stacklevel: int) -> str:
    """Warns, and returns the new name of a module."""
    new = MOVED[old]
    warnings.warn(f"{old} is now {new}", DeprecationWarning, stacklevel=stacklevel + 1)
    return new


class _Alias:
    """Loads an old name as a module that looks up its attributes in the new one."""

    def create_module(self, spec: ModuleSpec) -> None:
        """Returning None requests the default module object."""

    def exec_module(self, module: ModuleType) -> None:
        target = importlib.import_module(MOVED[module.__name__])

        def attribute(name: str) -> Any:
            return getattr(target, name)

        module.__doc__ = target.__doc__
        setattr(module, "__getattr__", attribute)  # noqa: B010 - a module's, not the class's


class _Finder:
    """Finds modules by their old names, after all other finders."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name not in MOVED:
            return None
        warn(name, stacklevel=2)
        return ModuleSpec(name, _Alias())  # type: ignore[arg-type]


def install() -> None:
    """Makes old names importable."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())  # type: ignore[arg-type]
