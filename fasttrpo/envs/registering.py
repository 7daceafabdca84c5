"""Registering with Gymnasium in either order of imports, without importing it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from typing import Any

_GYMNASIUM = "gymnasium"


def when_imported(register: Callable[[], None]) -> None:
    """Calls `register` now if Gymnasium has been imported, else as soon as it is.

    `gymnasium.make_vec("fasttrpo.envs:...")` imports `fasttrpo.envs`, which does nothing where that
    was imported before.
    """
    if _GYMNASIUM in sys.modules:
        register()
    else:
        sys.meta_path.insert(0, _Watch(register))


class _Watch(MetaPathFinder):
    """Finds nothing by itself: what the others find for Gymnasium registers when it has run."""

    def __init__(self, register: Callable[[], None]) -> None:
        self._register, self._is_asking = register, False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The spec that there would be without this."""
        if name != _GYMNASIUM or self._is_asking:
            return None
        self._is_asking = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._is_asking = False
        if spec is not None and spec.loader is not None:
            self._follow(spec.loader)
        return spec

    def _follow(self, loader: Any) -> None:
        execute = loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
                self._register()

        loader.exec_module = exec_module
