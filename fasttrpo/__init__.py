"""fasttrpo: Trust Region Policy Optimization as a compiled library.

    from fasttrpo import TRPO, evaluate_policy

    model = TRPO("MlpPolicy", "CartPole-v1", n_envs=8, n_steps=250, seed=0)
    model.learn(60_000, progress_bar=True)
    mean, std = evaluate_policy(model, "CartPole-v1", n_eval_episodes=100)

Nothing heavy is imported before it is used: each public name is fetched on first access.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from fasttrpo._version import __version__

if os.path.exists(os.path.join(os.path.dirname(__path__[0]), "setup.py")):
    from fasttrpo import source_tree

    source_tree.complete(__path__)

if TYPE_CHECKING:  # the same names for type checkers and editors
    from fasttrpo import callbacks, envs, kernels, presets
    from fasttrpo.checkpoint import FormatError
    from fasttrpo.errors import UserError
    from fasttrpo.evaluate import evaluate_policy
    from fasttrpo.files import SaveError
    from fasttrpo.logger import configure
    from fasttrpo.rollout import Rollout
    from fasttrpo.trpo import TRPO

# Public name -> the module that defines it (None: the name is a module itself).
_HOME = {
    "TRPO": "fasttrpo.trpo",
    "Rollout": "fasttrpo.rollout",
    "evaluate_policy": "fasttrpo.evaluate",
    "FormatError": "fasttrpo.checkpoint",
    "SaveError": "fasttrpo.files",
    "UserError": "fasttrpo.errors",
    "configure": "fasttrpo.logger",
    "callbacks": None,
    "envs": None,
    "kernels": None,
    "presets": None,
}

__all__ = [
    "TRPO",
    "FormatError",
    "Rollout",
    "SaveError",
    "UserError",
    "__version__",
    "callbacks",
    "configure",
    "envs",
    "evaluate_policy",
    "kernels",
    "presets",
]


if not TYPE_CHECKING:  # where a name that there is not is an error, and this would be one for all

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module 'fasttrpo' has no attribute {name!r}")
        home = _HOME[name]
        value = (
            importlib.import_module(f"fasttrpo.{name}")
            if home is None
            else getattr(importlib.import_module(home), name)
        )
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
