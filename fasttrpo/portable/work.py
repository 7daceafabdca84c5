"""The stages' data: the model's settings and networks, the persistent state, and a batch.

`State` is immutable: a stage returns a new one for its caller to adopt, so an iteration that fails
changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from . import features, masks, network, rng
from .critic import CRITICS
from .distributions import DISTRIBUTIONS
from .normalizer import Moments

CRITIC_COUNT = 1000  # the critic's first layer has this count in stream INIT


class Model:
    """An agent's settings and what they determine: the two networks and the distribution."""

    def __init__(self, settings, dtype):
        s = self.settings = settings
        self.real = np.dtype(dtype)
        self.distribution = DISTRIBUTIONS[s.distribution]
        self.parts = np.array(s.parts, np.int64)
        self.n_outputs = sum(s.parts)
        self.n_actions = len(s.parts)
        self.critic = CRITICS[s.critic]
        F = self.n_inputs = features.n_inputs(s)
        hidden = () if self.critic.features else s.value_hidden
        value_sizes = (self.critic.n_features * F, *hidden, 1)
        self.policy = network.Network((F, *s.policy_hidden, self.n_outputs), s.activation)
        self.value = network.Network(value_sizes, s.activation)
        self.n_log_std = self.n_outputs if self.distribution.log_std_curvature > 0 else 0

    def change(self, **settings):
        """Replace settings that determine nothing else."""
        self.settings = replace(self.settings, **settings)

    @property
    def n_parameters(self):
        return self.policy.n_parameters + self.n_log_std

    def extra(self, theta):
        """The distribution's parameters besides the outputs: log_std, or the parts."""
        return theta[self.policy.n_parameters :].copy() if self.n_log_std else self.parts

    def clamp(self, theta):
        """A copy of theta (P,) with log_std clamped to its bounds."""
        s, n = self.settings, self.policy.n_parameters
        return np.concatenate([theta[:n], np.clip(theta[n:], s.log_std_min, s.log_std_max)])

    def damping(self, state):
        """The number added to the Fisher matrix's diagonal."""
        s = self.settings
        return s.cg_damping * state.damping_scale if s.adaptive_damping else s.cg_damping

    def policy_weights(self, theta):
        return self.policy.matrices(theta[: self.policy.n_parameters], self.real)

    def value_weights(self, value_theta):
        return self.value.matrices(value_theta, self.real)

    def value_inputs(self, obs):
        """The value network's inputs: the policy's, or the critic's features of them."""
        return self.critic.features(obs) if self.critic.features else obs


@dataclass(frozen=True)
class State:
    """An agent's state between rollouts."""

    theta: np.ndarray  # (P,)
    value_theta: np.ndarray  # (Pv,)
    observations: Moments  # of (O,)
    rewards: Moments  # of (1,): of the discounted return
    rew_running: np.ndarray  # (E,) discounted return after the last step
    adam_m: np.ndarray  # (Pv,)
    adam_v: np.ndarray  # (Pv,)
    features: np.ndarray  # the features' random numbers (features.py); often empty
    seed: int
    n_acts: int = 0
    n_predicts: int = 0
    n_updates: int = 0
    n_critic_steps: int = 0
    adam_t: int = 0
    damping_scale: float = 1.0  # adaptive_damping's factor on cg_damping


def initial_weights(model):
    """Both networks' initial weights: orthogonal or uniform; 0 for a ridge critic."""
    s, hidden = model.settings, np.sqrt(2.0)
    value_gains = [0.0] if model.critic.features else [hidden] * len(s.value_hidden) + [1.0]
    if s.ortho_init:
        weights = model.policy.initial(s.seed, 0, [hidden] * len(s.policy_hidden) + [0.01])
    else:
        weights = model.policy.initial_uniform(s.seed, 0)
    if s.ortho_init or model.critic.features:
        return weights, model.value.initial(s.seed, CRITIC_COUNT, value_gains)
    return weights, model.value.initial_uniform(s.seed, CRITIC_COUNT)


def initial_state(model):
    """The state of a new agent: random weights, empty statistics, counters at 0."""
    s = model.settings
    weights, value_theta = initial_weights(model)
    return State(
        theta=np.concatenate([weights, np.full(model.n_log_std, float(s.log_std_init))]),
        value_theta=value_theta,
        observations=Moments.empty(s.obs_size),
        rewards=Moments.empty(1),
        rew_running=np.zeros(s.n_envs),
        adam_m=np.zeros_like(value_theta),
        adam_v=np.zeros_like(value_theta),
        features=features.draw(s),
        seed=s.seed,
    )


@dataclass
class Batch:
    """One batch, with both networks' forward passes at the current parameters."""

    model: Model
    state: State
    obs: np.ndarray  # (N, F) real, network inputs
    act: np.ndarray  # (N, D) real
    adv: np.ndarray  # (N,) float64
    ret: np.ndarray | None  # (N,) float64
    logp: np.ndarray | None  # (N,) real, of the behaviour policy; None: of the current one
    mask: np.ndarray | None = None  # (N, A) bool, the allowed choices; None: all

    def __post_init__(self):
        if self.logp is None:
            self.logp = self.current_logp

    def at(self, state):
        """The same samples at another state's parameters."""
        return replace(self, state=state)

    @cached_property
    def extra(self):
        return self.model.extra(self.state.theta)

    @cached_property
    def policy(self):
        """The policy's forward pass on all N rows, with their masks."""
        weights = self.model.policy_weights(self.state.theta)
        at = network.forward(self.model.policy, weights, self.obs)
        return replace(at, output=masks.forbid(at.output, self.mask))

    @cached_property
    def fisher_rows(self):
        """The same on rows 0, k, 2k, ..., which the Fisher product averages over."""
        k = self.model.settings.sub_sampling_factor
        return self.policy if k == 1 else self.policy.rows(slice(None, None, k))

    @cached_property
    def current_logp(self):
        return self.model.distribution.logp(self.act, self.policy.output, self.extra)

    @cached_property
    def value(self):
        """The value network's forward pass on all N rows."""
        weights = self.model.value_weights(self.state.value_theta)
        return network.forward(self.model.value, weights, self.model.value_inputs(self.obs))

    @property
    def damping(self):
        return self.model.damping(self.state)

    def stream(self, purpose):
        """The random stream of this iteration (policy) or this critic step."""
        count = self.state.n_updates if purpose == rng.KFAC else self.state.n_critic_steps
        return rng.Stream(self.state.seed, purpose, count)
