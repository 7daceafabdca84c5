"""The program of one of a pool's processes: `python -P worker.py HANDLE`.

It runs before anything of fasttrpo is imported. The process takes the path of the pool's process,
loads the package from the same place, and tells which file each module came from, so that the
pool can refuse a process that would run other code than its own.
"""

from __future__ import annotations

import importlib.util
import multiprocessing.connection
import sys
import warnings
from contextlib import suppress
from typing import Any


def main() -> None:
    """Serves the pool at the other end of the connection whose handle is the argument."""
    connection = _connection(int(sys.argv[1]))
    with suppress(EOFError, ConnectionError):  # the pool is gone
        parent = connection.recv()
        sys.path[:] = parent["path"]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the pool's process has shown them
                _load("fasttrpo", parent["package"])
                _import_all(parent["imports"])
        except Exception as error:
            connection.send(("failed", f"{type(error).__name__}: {error}"))
            return
        from fasttrpo.cli.pool import module_files, serve

        connection.send(("ready", module_files()))
        serve(connection)


def _connection(handle: int) -> Any:
    if sys.platform == "win32":
        return multiprocessing.connection.PipeConnection(handle)
    return multiprocessing.connection.Connection(handle)


def _load(name: str, file: str) -> None:
    """Imports a package from this __init__.py, wherever else `sys.path` has one of its name."""
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"there is no package {file}")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def _import_all(names: list[str]) -> None:
    """What the tasks will need; some of it is optional."""
    for name in names:
        with suppress(ImportError):
            importlib.import_module(name)


if __name__ == "__main__":
    main()
