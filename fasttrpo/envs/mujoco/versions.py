"""Whether MuJoCo is installed and new enough, and the command that installs it."""

from __future__ import annotations

import functools
import importlib.util
from typing import Any

from fasttrpo.errors import UserImportError

NEEDED = "3.17"
COMMAND = "pip install 'fasttrpo[mujoco]'"


@functools.cache
def has_mujoco() -> bool:
    """Whether `mujoco.batch` can be imported; imports MuJoCo only if it is installed."""
    if importlib.util.find_spec("mujoco") is None:
        return False
    try:
        require_mujoco()
    except ImportError:
        return False
    return True


def what_is_missing() -> str | None:
    """The message of `require_mujoco`'s ImportError, or None."""
    try:
        require_mujoco()
    except ImportError as error:
        return str(error)
    return None


def require_mujoco() -> Any:
    """Imports and returns `mujoco`, with `mujoco.batch`. Its ImportError has the command to run."""
    try:
        import mujoco
    except ImportError as error:
        raise UserImportError(f"MuJoCo is not installed ({error}); {COMMAND}") from error
    try:
        import mujoco.batch
    except ImportError as error:
        version = getattr(mujoco, "__version__", "of an unknown version")
        raise UserImportError(
            f"MuJoCo {NEEDED} or newer is needed, for mujoco.batch; {version} is installed; "
            f"{COMMAND} --upgrade"
        ) from error
    return mujoco
