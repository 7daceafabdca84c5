"""Searches for good settings of `TRPO` with Optuna (the extra `tune`).

    from fasttrpo.tuning import tune

    tuning = tune("Pendulum-v1", trials=30, folder="runs/tune-Pendulum-v1")
    model = TRPO(env="Pendulum-v1", **tuning.best.trial.settings)

`fasttrpo tune` is the same on the command line.
"""

from fasttrpo.tuning.search import tune
from fasttrpo.tuning.tuning import Candidate, Trial, Tuning, Watch

__all__ = ["Candidate", "Trial", "Tuning", "Watch", "tune"]
