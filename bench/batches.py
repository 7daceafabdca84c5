"""Batches to measure on: recorded ones where the values matter, random ones for speed only.

The recorded rollouts are of HalfCheetah:

    small    N = 2,048, from sb3-contrib's half-trained agent (tests/data/halfcheetah.npz)
    large    N = 16,384, from this library's after 61,440 training steps (bench/record.py)
    linear   N = 16,384, the same with a linear policy and a ridge critic

each with the parameters of both networks, and the batch that followed for held-out checks.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bench import ROOT
from fasttrpo.settings.agent import AgentSettings

GAMMA, GAE_LAMBDA = 0.99, 0.95


@dataclass(frozen=True)
class Shape:
    """A policy network and its distribution."""

    name: str
    obs_size: int
    hidden: tuple[int, ...]
    outputs: int
    distribution: str = "gaussian"

    @property
    def sizes(self) -> tuple[int, ...]:
        """(inputs, hidden widths..., outputs)."""
        return (self.obs_size, *self.hidden, self.outputs)

    @property
    def is_gaussian(self) -> bool:
        """Otherwise it is categorical, with one action component."""
        return self.distribution == "gaussian"

    def settings(self, n: int, n_envs: int = 1, **changes: object) -> AgentSettings:
        """Settings for this policy, a value network of equal width, and batches of n rows."""
        values: dict[str, object] = {
            "obs_size": self.obs_size,
            "distribution": self.distribution,
            "parts": (1,) * self.outputs if self.is_gaussian else (self.outputs,),
            "policy_hidden": self.hidden,
            "value_hidden": self.hidden or (64, 64),
            "n_steps": n // n_envs,
            "n_envs": n_envs,
        }
        return AgentSettings(**(values | changes))


SHAPES = {
    "halfcheetah": Shape("halfcheetah", 17, (64, 64), 6),
    "humanoid": Shape("humanoid", 348, (256, 256), 17),
    "cartpole": Shape("cartpole", 4, (64, 64), 2, "categorical"),
    "linear": Shape("linear", 17, (), 6),
}


@dataclass(frozen=True)
class RandomBatch:
    """Random rows: obs (N, O), act (N, D), adv (N,), a direction v (P,)."""

    obs: np.ndarray
    act: np.ndarray
    adv: np.ndarray
    theta: np.ndarray
    v: np.ndarray


def random_batch(shape: Shape, n: int, seed: int = 0) -> RandomBatch:
    """Standard normal observations; weights of variance 1 / inputs, as trained networks have."""
    draw = np.random.default_rng(seed)
    layers = [draw.normal(size=(k + 1, m)) / np.sqrt(k) for k, m in pairwise(shape.sizes)]
    log_std = draw.uniform(-0.7, 0, shape.outputs if shape.is_gaussian else 0)
    theta = np.concatenate([*(layer.ravel() for layer in layers), log_std])
    choices = draw.integers(0, shape.outputs, (n, 1)).astype(np.float32)
    act = draw.normal(size=(n, shape.outputs)) if shape.is_gaussian else choices
    return RandomBatch(
        draw.normal(size=(n, shape.obs_size)).astype(np.float32),
        act.astype(np.float32),
        draw.normal(size=n),
        theta,
        draw.normal(size=theta.size),
    )


@dataclass(frozen=True)
class Rollout:
    """obs (T, E, O), act (T, E, D), rew, term, trunc (T, E); next_obs (T, E, O), the observation
    after each step, before any reset.
    """

    obs: np.ndarray
    act: np.ndarray
    rew: np.ndarray
    term: np.ndarray
    trunc: np.ndarray
    next_obs: np.ndarray


@dataclass(frozen=True)
class Recorded(Rollout):
    """A rollout and the one that followed it.

    theta and value_theta are the networks that acted; held_obs (N', O) and held_ret (N',) the next
    rollout's observations and returns.
    """

    shape: Shape
    source: str
    theta: np.ndarray
    value_theta: np.ndarray
    held_obs: np.ndarray
    held_ret: np.ndarray

    @property
    def n(self) -> int:
        """The number of rows."""
        return self.rew.size

    @property
    def n_envs(self) -> int:
        """The number of environments."""
        return self.rew.shape[1]

    def flat(self, name: str) -> np.ndarray:
        """A field as rows n = t * E + e."""
        field = getattr(self, name)
        return field.reshape(self.n, *field.shape[2:])


def recorded(name: str) -> Recorded:
    """The recorded rollout of that name. ImportError says what recording needs."""
    if name == "small":
        return _small()
    from bench import record

    return record.load(name)


def _small(steps: int = 256, envs: int = 8) -> Recorded:
    """tests/data/halfcheetah.npz as a rollout with the recorded advantages.

    No episode ends in it, so the rewards follow from advantages and values, r_t = A_t - gamma
    lambda A_{t+1} + V_t - gamma V_{t+1}. The file lacks the row after the last, so the last step
    counts as terminal, with the reward that gives its recorded advantage.
    """
    with np.load(ROOT / "tests" / "data" / "halfcheetah.npz") as file:
        data = dict(file)

    def steps_of(name: str) -> np.ndarray:
        return data[name].reshape(steps, envs, *data[name].shape[1:])

    adv, val = (steps_of(name).astype(np.float64) for name in ("advantages", "values"))
    rew = adv + val
    rew[:-1] -= GAMMA * GAE_LAMBDA * adv[1:] + GAMMA * val[1:]
    obs, term = steps_of("obs"), np.zeros((steps, envs), bool)
    term[-1] = True
    return Recorded(
        obs,
        steps_of("actions"),
        rew,
        term,
        np.zeros_like(term),
        np.concatenate([obs[1:], obs[-1:]]),
        SHAPES["halfcheetah"],
        "tests/data/halfcheetah.npz (sb3-contrib's agent after 60,000 steps)",
        data["theta"].astype(np.float64),
        data["value_theta"].astype(np.float64),
        data["next_obs"],
        data["next_returns"].astype(np.float64),
    )
