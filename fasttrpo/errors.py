"""Errors caused by the user: wrong arguments, files or environments, or a wrong order of calls.

All derive from `UserError`, so one `except` separates them from bugs in fasttrpo or in the user's
environment. Each also derives from the matching standard exception. Missing attributes, abstract
methods, and errors that Gymnasium defines (ResetNeeded) keep their standard exceptions.
"""

from __future__ import annotations


class UserError(ValueError):
    """A value that the user passed is invalid; the message names it and the remedy."""


class UserTypeError(TypeError, UserError):
    """A value has the wrong type."""


class UserImportError(ImportError, UserError):
    """A required package is not installed."""


class UserFileNotFoundError(FileNotFoundError, UserError):
    """A file does not exist."""


class UserMemoryError(MemoryError, UserError):
    """There is not enough memory."""


class UserRuntimeError(RuntimeError, UserError):
    """The call is not allowed now."""
