"""The sizes of an agent's state, computed without making an agent."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import comb

from fasttrpo.checks.distributions import DISTRIBUTIONS
from fasttrpo.settings.agent import AgentSettings
from fasttrpo.settings.critics import CRITICS

N_COUNTERS = 7  # csrc/core/work.h


def state_sizes(settings: AgentSettings) -> dict[str, int]:
    """{name: length} of the vectors of an agent's `state()`."""
    n_inputs, n_outputs = _n_inputs(settings), sum(settings.parts)
    n_log_std = DISTRIBUTIONS[settings.distribution].n_log_std(settings.parts)
    critic = CRITICS[settings.critic]
    theta = _parameters([n_inputs, *settings.policy_hidden, n_outputs]) + n_log_std
    n_features = critic.n_features * n_inputs
    layers = [n_inputs, *settings.value_hidden, 1] if critic.is_network else [n_features, 1]
    value = _parameters(layers)
    sizes = {"theta": theta, "value_theta": value}
    sizes |= {"obs_count": 1, "obs_mean": settings.obs_size, "obs_m2": settings.obs_size}
    sizes |= {"rew_count": 1, "rew_mean": 1, "rew_m2": 1, "rew_running": settings.n_envs}
    sizes |= {"adam_m": value, "adam_v": value, "counters": N_COUNTERS, "damping_scale": 1}
    drawn = _n_drawn(settings)
    return sizes | ({"features": drawn} if drawn else {})


def _parameters(widths: Sequence[int]) -> int:
    """Weights and biases of layers of these widths."""
    return sum((width + 1) * following for width, following in pairwise(widths))


def _n_inputs(settings: AgentSettings) -> int:
    """F, the number of network inputs."""
    if settings.features == "none":
        return settings.obs_size
    if settings.features == "polynomial":
        return comb(settings.obs_size + settings.feature_degree, settings.feature_degree) - 1
    return settings.n_features


def _n_drawn(settings: AgentSettings) -> int:
    """Number of random parameters of the features: a projection or centres, and phases."""
    phases = {"fourier": 1, "rbf": 0}
    if settings.features not in phases:
        return 0
    return settings.n_features * (settings.obs_size + phases[settings.features])
