"""Test cases of the checks: small policies of every distribution, with random batches.

Letters: N rows, O observation size, D action components, A outputs, P parameters, T steps,
E environments.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from fasttrpo.core import backend
from fasttrpo.selftest import formulas
from fasttrpo.selftest.distributions import EXAMPLES
from fasttrpo.settings.agent import AgentSettings
from fasttrpo.settings.sizes import state_sizes

O, N = 3, 40  # noqa: E741
HIDDEN = (4, 3)


@dataclass(frozen=True)
class Kind:
    """A distribution to check, in terms of `AgentSettings`; masked: some choices are invalid."""

    name: str
    distribution: str
    parts: tuple[int, ...]
    masked: bool = False

    def settings(self, **more: Any) -> AgentSettings:
        """Settings with small networks; more: other fields of `AgentSettings`."""
        defaults: dict[str, Any] = dict(policy_hidden=HIDDEN, value_hidden=HIDDEN, n_steps=N)
        return AgentSettings(O, self.distribution, self.parts, **(defaults | more))

    def mask(self, draw: np.random.Generator, n: int) -> np.ndarray | None:
        """The valid choices, (n, A) bool, at least one in each part; None if all are valid."""
        if not self.masked:
            return None
        parts = [draw.random((n, k)) for k in self.parts]
        return np.hstack([(u < 0.5) | (u == u.min(axis=1, keepdims=True)) for u in parts])

    def actions(
        self, draw: np.random.Generator, n: int, mask: np.ndarray | None = None
    ) -> np.ndarray:
        """n random valid actions, (n, D) float64."""
        policy = self.policy(mask)
        theta = np.zeros(state_sizes(self.settings())["theta"])
        return policy.of.draw(draw, *policy.parameters(theta, np.zeros((n, O))))

    def policy(self, mask: np.ndarray | None = None) -> formulas.Policy:
        """The slow formulas for rows with these masks."""
        sizes = (O, *HIDDEN, sum(self.parts))
        return formulas.Policy(self.distribution, self.parts, sizes, mask=mask)


KINDS = (
    *(Kind(name, *example) for name, example in EXAMPLES.items()),
    Kind("masked categoricals", "categorical", (2, 4), masked=True),
)


class Case:
    """A float64 agent far from its initial parameters, with a batch, and the slow formulas.

    obs (N, O), mask (N, A) or None, act (N, D), adv and ret (N,), direction (P,).
    """

    def __init__(self, kind: Kind, **settings: Any) -> None:
        self.kind, self.settings = kind, kind.settings(**settings)
        draw = np.random.default_rng(len(kind.name))
        self.agent = perturbed_agent(self.settings)
        self.obs, self.mask = draw.normal(size=(N, O)), kind.mask(draw, N)
        self.policy = kind.policy(self.mask)
        self.act, (self.adv, self.ret) = kind.actions(draw, N, self.mask), draw.normal(size=(2, N))
        self.agent.theory.load_batch(self.obs, self.act, self.adv, self.ret, mask=self.mask)
        self.theta = self.agent.theta
        self.direction = draw.normal(size=self.theta.size)

    def surrogate(self, theta: np.ndarray) -> Any:
        """The slow formula at a trial theta (P,)."""
        logp = self.policy.logp(self.theta, self.obs, self.act)
        return self.policy.surrogate(theta, self.obs, self.act, self.adv, logp)

    def kl(self, theta: np.ndarray) -> Any:
        """The slow formula at a trial theta (P,)."""
        return self.policy.kl(self.theta, theta, self.obs)

    @cached_property
    def fisher(self) -> np.ndarray:
        """The Hessian (P, P) of the slow KL."""
        return formulas.hessian(self.kl, self.theta)

    def values(self, value_theta: np.ndarray) -> Any:
        """The critic's V (N,) by the slow formula."""
        return formulas.forward(value_theta, (O, *HIDDEN, 1), "tanh", self.obs)[1][..., 0]


def perturbed_agent(
    settings: AgentSettings, which: str | None = None, dtype: str = "float64"
) -> Any:
    """An agent of backend `which` (None: the current one) with large random parameters."""
    agent, draw = backend.make_agent(settings, which, dtype), np.random.default_rng(3)
    agent.theta = agent.theta + 0.5 * draw.normal(size=agent.theta.size)
    agent.value_theta = agent.value_theta + 0.5 * draw.normal(size=agent.value_theta.size)
    return agent


class Update(NamedTuple):
    """An update's record, and the observations and masks of its rollout, T E rows each."""

    record: dict[str, Any]
    obs: np.ndarray
    mask: np.ndarray | None


def rollout_and_update(agent: Any, kind: Kind, settings: AgentSettings, seed: int = 0) -> Update:
    """T steps in a random environment, whose episodes terminate and truncate, and an update."""
    draw, E, steps = np.random.default_rng(seed), settings.n_envs, []
    for _ in range(settings.n_steps):
        obs, next_obs = draw.normal(size=(2, E, O))
        term, trunc = draw.random((2, E)) < 0.1
        mask = kind.mask(draw, E)
        act, _, _ = agent.act(obs, mask)
        agent.push(obs[:, 0] - np.square(act[:, 0] - obs[:, 1]), term, trunc, next_obs)
        steps.append((obs, mask))
    rows, masks = zip(*steps, strict=True)
    mask = np.concatenate(masks) if kind.masked else None
    return Update(agent.update(), np.concatenate(rows), mask)
