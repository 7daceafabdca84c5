"""Environments in shared libraries that export `trpo_environment` (trpo_env.h)."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from fasttrpo.errors import UserError, UserFileNotFoundError

SYMBOL = "trpo_environment"
ERROR_SYMBOL = "trpo_environment_error"


class Library:
    """An open library and the address of its `trpo_env`.

    Raises FileNotFoundError if there is no such file; ValueError if it cannot be loaded, or exports
    no environment. It stays loaded, because the environments call it.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise UserFileNotFoundError(f"there is no file {str(path)!r}")
        try:
            self._handle = ctypes.CDLL(str(self.path.resolve()))
        except OSError as error:
            raise UserError(f"{path} cannot be loaded as a shared library: {error}") from error
        self.address = self._environment()

    def _environment(self) -> int:
        try:
            environment = getattr(self._handle, SYMBOL)
        except AttributeError:
            raise UserError(
                f"{self.path} has no symbol {SYMBOL!r}: it must export "
                f'`const trpo_env *{SYMBOL}(void)` (as C: extern "C" in C++, and visible); '
                "see trpo_env.h"
            ) from None
        environment.restype = ctypes.c_void_p
        environment.argtypes = ()
        address: int | None = environment()
        if address is None:
            reason = self.error_text(0)
            raise UserError(f"{self.path}: {SYMBOL}() returned NULL{reason and f' ({reason})'}")
        return address

    def error_text(self, state: int) -> str:
        """The library's reason for the error of the state at this address; "" if it gives none.

        At address 0: for having no environment.
        """
        function = getattr(self._handle, ERROR_SYMBOL, None)
        if function is None:
            return ""
        function.restype, function.argtypes = ctypes.c_char_p, (ctypes.c_void_p,)
        text = (function(state) or b"").decode("utf-8", "backslashreplace")
        return " ".join(text.split())  # in one line

    def __str__(self) -> str:
        return str(self.path)
