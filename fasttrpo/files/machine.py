"""The machine and the versions that a run uses, for its folder."""

from __future__ import annotations

import platform
from typing import Any

from fasttrpo.core import backend


def machine(chosen: str | None, n_threads: int | None) -> dict[str, Any]:
    """The entries "system" and "versions" of config.json; the arguments are settings."""
    import gymnasium
    import numpy

    return {
        "system": backend.describe(chosen, n_threads),
        "versions": {
            "python": platform.python_version(),
            "numpy": numpy.__version__,
            "gymnasium": gymnasium.__version__,
        },
    }
