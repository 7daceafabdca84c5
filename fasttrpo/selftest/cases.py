"""What the checks work on: small policies of every distribution, with random batches.

Letters: N rows, O observation size, D action components, P parameters, T steps, E environments.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fasttrpo import backend
from fasttrpo.agent_settings import AgentSettings
from fasttrpo.selftest import formulas

O, N = 3, 40  # noqa: E741
HIDDEN = (4, 3)


@dataclass(frozen=True)
class Kind:
    """A distribution to check, as `AgentSettings` says it."""

    name: str
    distribution: str
    parts: tuple[int, ...]

    def settings(self, **more: Any) -> AgentSettings:
        """Small networks; more: other fields of `AgentSettings`."""
        defaults: dict[str, Any] = dict(policy_hidden=HIDDEN, value_hidden=HIDDEN, n_steps=N)
        return AgentSettings(O, self.distribution, self.parts, **(defaults | more))

    def actions(self, draw: np.random.Generator, n: int) -> np.ndarray:
        """Any n actions, (n, D) float64."""
        if self.distribution == "gaussian":
            return draw.normal(size=(n, len(self.parts)))
        return np.stack([draw.integers(k, size=n) for k in self.parts], axis=1).astype(float)

    @property
    def policy(self) -> formulas.Policy:
        """The slow formulas."""
        return formulas.Policy(self.distribution, self.parts, (O, *HIDDEN, sum(self.parts)))


KINDS = (
    Kind("gaussian", "gaussian", (1, 1)),
    Kind("categorical", "categorical", (3,)),
    Kind("several categoricals", "categorical", (2, 3)),
)


class Case:
    """An agent in float64 far from its initial parameters, a batch in it, and the slow formulas.

    obs (N, O), act (N, D), adv and ret (N,), direction (P,).
    """

    def __init__(self, kind: Kind, **settings: Any) -> None:
        self.kind, self.settings = kind, kind.settings(**settings)
        draw = np.random.default_rng(len(kind.name))
        self.agent = shaken(self.settings)
        self.obs, self.act = draw.normal(size=(N, O)), kind.actions(draw, N)
        self.adv, self.ret = draw.normal(size=(2, N))
        self.agent.load_batch(self.obs, self.act, self.adv, self.ret)
        self.theta = self.agent.theta
        self.direction = draw.normal(size=self.theta.size)

    def surrogate(self, theta: np.ndarray) -> Any:
        """The slow formula at a trial theta (P,)."""
        return self.kind.policy.surrogate(theta, self.theta, self.obs, self.act, self.adv)

    def kl(self, theta: np.ndarray) -> Any:
        """The slow formula at a trial theta (P,)."""
        return self.kind.policy.kl(theta, self.theta, self.obs)

    @cached_property
    def fisher(self) -> np.ndarray:
        """The Hessian (P, P) of the slow KL."""
        return formulas.hessian(self.kl, self.theta)

    def values(self, value_theta: np.ndarray) -> Any:
        """The critic's V (N,) by the slow formula."""
        return formulas.network(value_theta, (O, *HIDDEN, 1), self.obs)[..., 0]


def shaken(settings: AgentSettings, which: str | None = None, dtype: str = "float64") -> Any:
    """An agent of backend `which` (None: the one in use) with parameters that are not small."""
    agent, draw = backend.make_agent(settings, which, dtype), np.random.default_rng(3)
    agent.theta = agent.theta + 0.5 * draw.normal(size=agent.theta.size)
    agent.value_theta = agent.value_theta + 0.5 * draw.normal(size=agent.value_theta.size)
    return agent


def matrix(product: Any, size: int) -> np.ndarray:
    """The matrix (size, size) of a linear function of vectors, column by column."""
    return np.stack([product(e) for e in np.eye(size)], axis=1)


def played(agent: Any, settings: AgentSettings, seed: int = 0) -> tuple[dict, np.ndarray]:
    """The record of an update after T steps in a made-up environment, and the observations
    (T E, O) in which the agent acted. Episodes end, and are cut.
    """
    draw, E, seen = np.random.default_rng(seed), settings.n_envs, []
    for _ in range(settings.n_steps):
        obs, next_obs = draw.normal(size=(2, E, O))
        term, trunc = draw.random((2, E)) < 0.1
        act, _, _ = agent.act(obs)
        agent.push(obs[:, 0] - np.square(act[:, 0] - obs[:, 1]), term, trunc, next_obs)
        seen.append(obs)
    return agent.update(), np.concatenate(seen)
