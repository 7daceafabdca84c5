"""Environments with known numbers, small models and other helpers for the tests."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from fasttrpo import TRPO
from fasttrpo.spaces import describe
from fasttrpo.stream.stream import Stream
from fasttrpo.training.collect import collect
from fasttrpo.training.episodes import EpisodeStatistics
from fasttrpo.training.trainer import Trainer

# Discrete has no dtype argument before Gymnasium 1.2.
INT8 = {"dtype": np.int8} if "dtype" in signature(spaces.Discrete).parameters else {}
SMALL = {"n_steps": 16, "policy_kwargs": {"net_arch": [8]}, "seed": 3}


def insides(model: TRPO) -> Trainer:
    """The model's trainer: the only access to private state that tests use."""
    return model._trainer  # noqa: SLF001


def replace_agent(model: TRPO, agent: Any) -> None:
    """Replaces the model's agent with a stand-in."""
    model._trainer._slot._agent = agent  # noqa: SLF001


def small_model(env: Any = "CartPole-v1", policy: str = "MlpPolicy", **keywords: Any) -> TRPO:
    """A model that trains in milliseconds."""
    n_envs = {"n_envs": 4} if isinstance(env, str) else {}
    kwargs = {} if policy == "LinearPolicy" else SMALL
    return TRPO(policy, env, **{"n_steps": 16, "seed": 3, **kwargs, **n_envs, **keywords})


class Counter(gymnasium.Env):
    """Counts its steps; actions have no effect.

    Step t = 1, 2, ... of episode k = 0, 1, ... gives observation 10 k + t and reward t; an
    episode starts at observation 10 k and ends after `length` steps.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, length: int = 3, truncates: bool = False) -> None:
        self.length, self.truncates = length, truncates
        self.episode = -1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode += 1
        self.t = 0
        return self.observe(), {}

    def step(self, action):
        self.t += 1
        done = self.t == self.length
        terminated, truncated = done and not self.truncates, done and self.truncates
        return self.observe(), float(self.t), terminated, truncated, {}

    def observe(self):
        return np.array([10 * self.episode + self.t], np.float32)


# (length, truncates) of the environments that `counters` combines.
COUNTERS = ((3, False), (2, True))


def counters(mode: Any, kind: Any = gymnasium.vector.SyncVectorEnv, **keywords: Any) -> Any:
    """Two counters of different lengths under an autoreset mode."""
    makers = [lambda how=how: Counter(*how) for how in COUNTERS]
    return kind(makers, autoreset_mode=mode, **keywords)


def counter_transitions(length: int, truncates: bool, n: int) -> list[tuple]:
    """The first n transitions (obs, rew, term, trunc, next_obs), from Counter's docstring."""
    steps = []
    for start in range(0, 10 * n, 10):
        for obs, following in pairwise(range(start, start + length + 1)):
            done = following == start + length
            steps.append(
                (obs, following - start, done and not truncates, done and truncates, following)
            )
    return steps[:n]


class Pointer(gymnasium.Env):
    """Two-dimensional observations and a 2 x 1 Box action; reward falls with the distance to it.

    `seen` holds every action received. Step number `fail_at`, counted over all episodes, fails as
    `failure` says: raises an exception, or returns NaN as "obs" or "reward".
    """

    observation_space = spaces.Box(-1, 1, (2, 1), np.float64)
    action_space = spaces.Box(np.float32(-0.5), np.float32(0.5), (2, 1), np.float32)

    def __init__(self, fail_at: int | None = None, failure: Any = None, length: int = 5) -> None:
        self.fail_at, self.failure, self.length = fail_at, failure, length
        self.seen: list[np.ndarray] = []
        self.resets = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.resets += 1
        self.t = 0
        self.place = self.np_random.uniform(-1, 1, (2, 1))
        return self.place, {}

    def step(self, action):
        self.seen.append(np.array(action))
        self.t += 1
        failing = len(self.seen) == self.fail_at
        if failing and isinstance(self.failure, BaseException):
            raise self.failure
        obs = self.place * np.nan if failing and self.failure == "obs" else self.place
        reward = -float(np.abs(action - self.place).sum())
        reward = np.nan if failing and self.failure == "reward" else reward
        return obs, reward, False, self.t == self.length, {}


class SpacesOnly(gymnasium.Env):
    """Has spaces and nothing else."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        self.observation_space, self.action_space = observation_space, action_space


class RecordingAgent:
    """Stands in for an agent and records the calls it gets."""

    def __init__(self, n_envs: int) -> None:
        self.n_envs = n_envs
        self.rows: list[tuple] = []
        self.masks: list[np.ndarray | None] = []

    def act(self, obs, mask=None):
        self._obs = np.array(obs)
        self.masks.append(None if mask is None else np.array(mask))
        zeros = np.zeros(self.n_envs)
        return zeros[:, None], zeros, zeros

    def push(self, rew, term, trunc, next_obs, skip):
        copies = [np.array(each) for each in (rew, term, trunc, next_obs, skip)]
        self.rows.append((self._obs, *copies))

    def transitions(self, env: int) -> list[tuple]:
        """(obs, rew, term, trunc, next_obs) of the rows in which a step was taken."""
        return [
            (obs[env, 0], rew[env], term[env], trunc[env], next_obs[env, 0])
            for obs, rew, term, trunc, next_obs, skip in self.rows
            if not skip[env]
        ]


def same_state(a: TRPO, b: TRPO) -> bool:
    """Whether two models have bit-identical state."""
    left, right = a.snapshot().state, b.snapshot().state
    return list(left) == list(right) and all(
        np.array_equal(left[name], right[name], equal_nan=True) for name in left
    )


INCLUDE = Path(__file__).resolve().parent.parent / "csrc/include"
CC = os.environ.get("CC", "cc")


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """Limits the size of every file written inside, as a nearly full disk does."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def build_library(source: Path, library: Path, *flags: str) -> str:
    """Compiles an environment in C into a shared library; returns its path."""
    command = [CC, "-O1", "-shared", "-fPIC", f"-I{INCLUDE}", *flags, "-o", library, source, "-lm"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return str(library)


def collected(env, n_steps, rollouts):
    """What an agent records in this number of rollouts. Closes the environment."""
    agent = RecordingAgent(env.num_envs)
    stream = Stream(env)
    stream.reset(seed=0)
    given = describe(env.single_observation_space, env.single_action_space)
    for _ in range(rollouts):
        collect(agent, stream, *given, EpisodeStatistics(env.num_envs), n_steps)
    env.close()
    return agent
