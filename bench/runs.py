"""Internals of a run, for benchmarks of its parts."""

from __future__ import annotations

from typing import Any

from fasttrpo import spaces
from fasttrpo.settings import make_settings
from fasttrpo.training.trainer import Trainer


def ready(env: Any, policy: str = "MlpPolicy", **settings: Any) -> Trainer:
    """A trainer attached to a vector environment, which is reset."""
    described = spaces.describe(env.single_observation_space, env.single_action_space)
    trainer = Trainer(make_settings(policy, {"n_envs": env.num_envs, **settings}), *described)
    trainer.attach(env)
    trainer.ready_environment()
    return trainer
