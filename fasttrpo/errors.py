"""Errors that what the user passed causes: arguments, files, environments, the order of calls.

All of them are `UserError`, so one `except` tells them from a mistake in fasttrpo or in the user's
own environment. Each is also the standard exception of its kind. Attributes that do not exist,
methods to be overridden and what Gymnasium defines (ResetNeeded) keep their standard exceptions.
"""

from __future__ import annotations


class UserError(ValueError):
    """Something the user passed cannot be used; the message names it and the remedy."""


class UserTypeError(TypeError, UserError):
    """It has the wrong type."""


class UserImportError(ImportError, UserError):
    """It needs a package that is not installed."""


class UserFileNotFoundError(FileNotFoundError, UserError):
    """It names a file that does not exist."""


class UserMemoryError(MemoryError, UserError):
    """It needs more memory than there is."""


class UserRuntimeError(RuntimeError, UserError):
    """The call cannot be made now."""
