"""fasttrpo: Trust Region Policy Optimization as a compiled library.

    from fasttrpo import TRPO, evaluate_policy

    model = TRPO("MlpPolicy", "CartPole-v1", n_envs=8, n_steps=250, seed=0)
    model.learn(60_000, progress_bar=True)
    mean, std = evaluate_policy(model, "CartPole-v1", n_eval_episodes=100)

Public names are resolved on first access, so importing the package loads no heavy modules.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fasttrpo import core as core  # warns in a source tree without extensions
from fasttrpo import moved
from fasttrpo._version import __version__

if TYPE_CHECKING:  # the same names for type checkers and editors
    from fasttrpo import callbacks, envs, theory
    from fasttrpo.errors import UserError
    from fasttrpo.evaluate import evaluate_policy
    from fasttrpo.files.atomic import SaveError
    from fasttrpo.files.checkpoint import FormatError
    from fasttrpo.logs.logger import configure
    from fasttrpo.settings import tuned
    from fasttrpo.training.rollout import Rollout
    from fasttrpo.trpo import TRPO

# Public name -> the module that defines it.
_HOME = {
    "TRPO": "fasttrpo.trpo",
    "Rollout": "fasttrpo.training.rollout",
    "evaluate_policy": "fasttrpo.evaluate",
    "FormatError": "fasttrpo.files.checkpoint",
    "SaveError": "fasttrpo.files.atomic",
    "UserError": "fasttrpo.errors",
    "configure": "fasttrpo.logs.logger",
}
_MODULES = {
    "callbacks": "fasttrpo.callbacks",
    "envs": "fasttrpo.envs",
    "theory": "fasttrpo.theory",
    "tuned": "fasttrpo.settings.tuned",
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
    "theory",
    "tuned",
]

moved.install()

if not TYPE_CHECKING:  # with it, type checkers would accept any name

    def __getattr__(name: str) -> Any:
        old = f"fasttrpo.{name}"
        if old in moved.MOVED:
            return importlib.import_module(moved.warn(old, stacklevel=2))
        if name in _MODULES:
            value = importlib.import_module(_MODULES[name])
        elif name in _HOME:
            value = getattr(importlib.import_module(_HOME[name]), name)
        else:
            raise AttributeError(f"module 'fasttrpo' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
