"""Agents, batches and synthetic environments shared by the tests of the theory.

Everything is float64 and small, so that tests can form the matrices that agents never form.
"""

from __future__ import annotations

import importlib
import itertools
import os
from typing import NamedTuple

import numpy as np
import pytest
import reference
from tables import table

from fasttrpo.core.backend import VARIABLE, has_extension, make_agent
from fasttrpo.selftest.distributions import EXAMPLES
from fasttrpo.settings import BACKENDS
from fasttrpo.settings.agent import AgentSettings
from fasttrpo.settings.policy_kwargs import ACTIVATIONS
from fasttrpo.settings.sizes import state_sizes

needs_extension = pytest.mark.skipif(
    not has_extension() or os.environ.get(VARIABLE) == "portable",
    reason="the compiled core is missing or disabled",
)


class Implementation(NamedTuple):
    """One of the two backends."""

    name: str

    def agent(self, settings, dtype="float64"):
        return make_agent(settings, self.name, dtype)

    @property
    def stages(self):
        """The module with the stand-alone stages: gae, conjugate_gradient, line_search."""
        module = "core._core64" if self.name == "compiled" else "portable.stages"
        return importlib.import_module(f"fasttrpo.{module}")


# One case per backend; only FASTTRPO_BACKEND's if that is set.
IMPLEMENTATIONS = [
    pytest.param(
        Implementation(name), id=name, marks=[needs_extension] if name == "compiled" else []
    )
    for name in BACKENDS
    if os.environ.get(VARIABLE, name) == name
]

DISTRIBUTIONS = EXAMPLES
HIDDEN = {"linear": (), "depth 1": (4,), "depth 2": (4, 3), "depth 3": (4, 3, 5)}
CASES = [
    pytest.param(hidden, distribution, activation, id=f"{h}-{d}-{activation}")
    for (h, hidden), (d, distribution) in itertools.product(HIDDEN.items(), DISTRIBUTIONS.items())
    for activation in (ACTIVATIONS if hidden else ("tanh",))
]
every_policy = pytest.mark.parametrize(("hidden", "distribution", "activation"), CASES)
every_distribution = pytest.mark.parametrize(
    "distribution", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS
)
# More features than the kernels' short case, and no multiple of a vector's width.
FEATURES = {
    "fourier": dict(features="fourier", n_features=11),
    "rbf": dict(features="rbf", n_features=11, feature_bandwidth=1.5),
    "polynomial": dict(features="polynomial", feature_degree=3),
}
every_features = table("features", FEATURES.values(), ids=FEATURES)
O, N = 3, 12  # noqa: E741
SEED = 7 + (5 << 32)


def settings(hidden=(4,), distribution=("gaussian", (1, 1)), activation="tanh", **more):
    defaults = dict(n_steps=N, n_envs=1, value_hidden=(4, 3), seed=SEED)
    return AgentSettings(
        obs_size=O,
        distribution=distribution[0],
        parts=distribution[1],
        policy_hidden=hidden,
        activation=activation,
        **(defaults | more),
    )


def rollout_settings(**more):
    """Settings of 24 steps in 5 environments."""
    return settings(**(dict(hidden=(6,), n_steps=24, n_envs=5) | more))


def shaken(implementation, s, scale=0.7, dtype="float64"):
    """An agent with parameters far from the small initial ones."""
    agent, draw = implementation.agent(s, dtype), np.random.default_rng(3)
    agent.theta = agent.theta + scale * draw.normal(size=agent.theta.size)
    agent.value_theta = agent.value_theta + scale * draw.normal(size=agent.value_theta.size)
    return agent


class Samples(NamedTuple):
    """A batch, in the order of load_batch's arguments."""

    obs: np.ndarray
    act: np.ndarray
    adv: np.ndarray
    ret: np.ndarray
    logp: np.ndarray | None = None


def random_batch(s, n=N, seed=0):
    draw = np.random.default_rng(seed)
    obs = draw.normal(size=(n, reference.n_inputs(s)))  # network inputs
    policy = reference.dense_policy(s)
    zeros = np.zeros(state_sizes(s)["theta"])
    act = policy.of.draw(draw, *policy.parameters(zeros, obs))
    return Samples(obs, act, draw.normal(size=n), draw.normal(size=n))


def loaded(implementation, s, n=N, off_policy=False):
    """A perturbed agent with a random batch of its own actions loaded, and the batch."""
    assert n <= s.n_steps * s.n_envs
    agent, batch, dense = shaken(implementation, s), random_batch(s, n), reference.dense_policy(s)
    at = dense.parameters(agent.theta, batch.obs)
    batch = batch._replace(act=dense.of.draw(np.random.default_rng(4), *at))
    logp = dense.logp(agent.theta, batch.obs, batch.act)
    if off_policy:
        logp = logp + 0.2 * np.random.default_rng(5).normal(size=n)
    batch = batch._replace(logp=logp)
    agent.theory.load_batch(*batch)
    return agent, batch


# -- complete rollouts ----------------------------------------------------------------------------


class World:
    """A synthetic environment with terminations and truncations.

    next_step: each end is followed by a row without a step; otherwise the next row starts with the
    observation after the reset. gaps: such rows also occur within episodes.
    """

    def __init__(self, n_envs, seed=1, next_step=True, gaps=False):
        self.draw, self.next_step, self.gaps = np.random.default_rng(seed), next_step, gaps
        self.obs = self.draw.normal(size=(n_envs, O)) + 1
        self.ended = np.zeros(n_envs, bool)

    def step(self, act):
        n = len(self.obs)
        rew = 3 * self.obs[:, 0] - np.square(act[:, 0] - self.obs[:, 1])
        term, trunc = self.draw.random((2, n)) < 0.1
        skip, next_obs = self.ended, self.draw.normal(size=(n, O)) * 2 + 1
        if self.gaps:
            skip = skip | (self.draw.random(n) < 0.2)
        rew = np.where(skip, np.nan, rew)
        self.obs = next_obs
        if self.next_step:
            self.ended = (term | trunc) & ~skip
        else:
            self.obs = np.where((term | trunc)[:, None], self.draw.normal(size=(n, O)), next_obs)
        return rew, term, trunc, next_obs, skip


class Log(NamedTuple):
    """An agent's inputs and outputs, (T, E) or (T, E, size)."""

    obs: np.ndarray
    act: np.ndarray
    logp: np.ndarray
    val: np.ndarray
    rew: np.ndarray
    term: np.ndarray
    trunc: np.ndarray
    next_obs: np.ndarray
    skip: np.ndarray
    next_val: np.ndarray


def collect(agent, world, T):
    """Runs T steps."""
    rows = []
    for _ in range(T):
        obs = world.obs
        out = agent.act(obs)
        step = world.step(out[0])
        agent.push(*step)
        rows.append((obs, *out, *step, agent.value(step[3])))
    return Log(*(np.stack(column) for column in zip(*rows, strict=True)))


def samples_of(log, s):
    """The valid rows, with advantages and returns computed by the reference."""
    keep, done = ~log.skip, log.term | log.trunc
    rew, boot = np.where(log.skip, 0, log.rew), np.where(log.term, 0, log.next_val)
    adv = reference.gae(rew, log.val, boot, done, log.skip, s.gamma, s.gae_lambda)
    ret, adv = (adv + log.val)[keep], adv[keep]
    if s.normalize_advantage:
        adv = reference.standardized(adv)
    return Samples(log.obs[keep], log.act[keep], adv, ret, log.logp[keep])


def bits(agent):
    """The complete state, as bytes."""
    return {name: vector.tobytes() for name, vector in agent.state().items()}
