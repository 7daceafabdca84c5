"""The settings for type checkers, from `Settings` by tests/make_settings.py."""

# fmt: off
from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal, TypedDict

import numpy as np

from fasttrpo.settings.schedules import Schedule


class Changes(TypedDict, total=False):
    """The keywords of `TRPO.change`."""

    learning_rate: float | str | Schedule | None
    n_steps: int
    batch_size: int | None
    gamma: float
    cg_max_steps: int | None
    cg_damping: float
    adaptive_damping: bool
    line_search_shrinking_factor: float
    line_search_max_iter: int
    n_critic_updates: int | None
    gae_lambda: float
    normalize_advantage: bool
    target_kl: float | str | Schedule
    ent_coef: float
    kl_reduction: Literal['sum', 'mean']
    kl_direction: Literal['forward', 'reverse']
    kl_slack: float
    acceptance: Literal['improvement', 'kl', 'always']
    sub_sampling_factor: int
    stats_window_size: int
    max_records: int | None
    verbose: int
    tensorboard_log: str | os.PathLike[str] | None
    env_backend: Literal['native', 'gymnasium', 'async'] | None
    env_kwargs: Mapping[str, Any] | None
    clip_actions: bool
    dtype: Literal['float32', 'float64'] | type[np.floating[Any]] | np.dtype[Any]
    backend: Literal['compiled', 'portable'] | None
    preconditioner: Literal['kfac', 'none'] | None
    critic: Literal['kfac', 'gauss_newton', 'adam', 'ridge']
    normalize_observations: bool
    normalize_rewards: bool
    n_threads: int | None


class Overrides(Changes, total=False):
    """The keywords of `TRPO.load`."""

    n_envs: int


class Keywords(Overrides, total=False):
    """The keywords of `TRPO`; after the settings, those of sb3-contrib that have no effect."""

    policy_kwargs: Mapping[str, Any] | None
    preset: Literal['sb3', 'baselines', 'spinningup', 'tianshou', 'mjrl'] | None
    scale_actions: bool
    seed: int | None
    use_sde: Literal[False]
    rollout_buffer_class: None
    rollout_buffer_kwargs: Mapping[str, Any] | None
    _init_setup_model: Literal[True]
    sde_sample_freq: int
    device: Any


class Attributes:
    """The settings as attributes of `TRPO`. It exists for type checkers only."""

    learning_rate: float | str | Schedule | None
    n_steps: int
    batch_size: int | None
    gamma: float
    cg_max_steps: int | None
    cg_damping: float
    adaptive_damping: bool
    line_search_shrinking_factor: float
    line_search_max_iter: int
    n_critic_updates: int | None
    gae_lambda: float
    normalize_advantage: bool
    target_kl: float | str | Schedule
    ent_coef: float
    kl_reduction: Literal['sum', 'mean']
    kl_direction: Literal['forward', 'reverse']
    kl_slack: float
    acceptance: Literal['improvement', 'kl', 'always']
    sub_sampling_factor: int
    @property
    def policy_kwargs(self) -> dict[str, Any]:
        raise NotImplementedError
    stats_window_size: int
    max_records: int | None
    verbose: int
    @property
    def tensorboard_log(self) -> str | None:
        raise NotImplementedError
    @tensorboard_log.setter
    def tensorboard_log(
        self, value: str | os.PathLike[str] | None
    ) -> None:
        raise NotImplementedError
    @property
    def seed(self) -> int:
        raise NotImplementedError
    @property
    def preset(self) -> Literal['sb3', 'baselines', 'spinningup', 'tianshou', 'mjrl'] | None:
        raise NotImplementedError
    @property
    def n_envs(self) -> int:
        raise NotImplementedError
    env_backend: Literal['native', 'gymnasium', 'async'] | None
    @property
    def env_kwargs(self) -> dict[str, Any] | None:
        raise NotImplementedError
    @env_kwargs.setter
    def env_kwargs(
        self, value: Mapping[str, Any] | None
    ) -> None:
        raise NotImplementedError
    clip_actions: bool
    @property
    def scale_actions(self) -> bool:
        raise NotImplementedError
    @property
    def dtype(self) -> Literal['float32', 'float64']:
        raise NotImplementedError
    @dtype.setter
    def dtype(
        self, value: Literal['float32', 'float64'] | type[np.floating[Any]] | np.dtype[Any]
    ) -> None:
        raise NotImplementedError
    backend: Literal['compiled', 'portable'] | None
    @property
    def preconditioner(self) -> Literal['kfac', 'none']:
        raise NotImplementedError
    @preconditioner.setter
    def preconditioner(
        self, value: Literal['kfac', 'none'] | None
    ) -> None:
        raise NotImplementedError
    critic: Literal['kfac', 'gauss_newton', 'adam', 'ridge']
    normalize_observations: bool
    normalize_rewards: bool
    n_threads: int | None
