"""Old import paths: each still works, with a DeprecationWarning that names the new one."""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# Module until version 0.1 -> where it is now.
MOVED = {
    "fasttrpo.backend": "fasttrpo.core.backend",
    "fasttrpo.callback_base": "fasttrpo.training.callback",
    "fasttrpo.checkpoint": "fasttrpo.files.checkpoint",
    "fasttrpo.collect": "fasttrpo.training.collect",
    "fasttrpo.environments": "fasttrpo.stream.make",
    "fasttrpo.kernels": "fasttrpo.theory",
    "fasttrpo.logger": "fasttrpo.logs.logger",
    "fasttrpo.presets": "fasttrpo.settings.tuned",
    "fasttrpo.progress_bar": "fasttrpo.training.progress_bar",
    "fasttrpo.rollout": "fasttrpo.training.rollout",
    "fasttrpo.writers": "fasttrpo.logs.writers",
}


def warn(old: str, stacklevel: int) -> str:
    """The new name of a module, after the warning."""
    new = MOVED[old]
    warnings.warn(f"{old} is now {new}", DeprecationWarning, stacklevel=stacklevel + 1)
    return new


class _Alias:
    """Fills a module with what another one has, as it is asked for."""

    def create_module(self, spec: ModuleSpec) -> None:
        """The usual one."""

    def exec_module(self, module: ModuleType) -> None:
        target = importlib.import_module(MOVED[module.__name__])

        def attribute(name: str) -> Any:
            return getattr(target, name)

        module.__doc__ = target.__doc__
        setattr(module, "__getattr__", attribute)  # noqa: B010 - a module's, not the class's


class _Finder:
    """Finds modules by their old names, once nothing else has."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name not in MOVED:
            return None
        warn(name, stacklevel=2)
        return ModuleSpec(name, _Alias())  # type: ignore[arg-type]


def install() -> None:
    """Lets old names be imported."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())  # type: ignore[arg-type]
