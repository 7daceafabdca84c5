"""The stages of TRPO as plain functions on NumPy arrays, in float64.

They are the compiled stages that `TRPO` runs (or their portable twins, see `backend`). Use them to
inspect a stage, check a derivation, or build another algorithm.

    policy = Policy(obs_size=4, distribution="categorical", parts=(2,))
    theta = policy.initial(seed=0)
    g = gradient(policy, theta, obs, actions, advantages)
    x = conjugate_gradient(lambda v: fisher_vector_product(policy, theta, obs, v, 0.1), g).x

Letters: T steps, E environments, N samples, O observation size, D action components, P parameters.
Source of the method: Schulman et al. 2015, "Trust Region Policy Optimization".
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fasttrpo.checks import arrays
from fasttrpo.checks.distributions import DISTRIBUTIONS
from fasttrpo.checks.values import integer, one_of, real
from fasttrpo.core import backend
from fasttrpo.errors import UserError
from fasttrpo.protocols import Agent, Theory
from fasttrpo.settings import ACCEPTANCES
from fasttrpo.settings.agent import AgentSettings
from fasttrpo.settings.policy_kwargs import ACTIVATIONS

__all__ = [
    "Policy",
    "Search",
    "Solution",
    "conjugate_gradient",
    "fisher_vector_product",
    "gae",
    "gradient",
    "kl",
    "line_search",
    "surrogate",
]

Vector = np.ndarray

_FRACTION = real("a number from 0 to 1", lambda x: 0 <= x <= 1)
_BETWEEN = real("a number between 0 and 1", lambda x: 0 < x < 1)
_NOT_NEGATIVE = real("a number >= 0", lambda x: x >= 0)
_COUNT = integer(1)


@dataclass(frozen=True)
class Policy:
    """A policy network and its action distribution.

    obs_size      O
    distribution  a name in `fasttrpo.checks.distributions.DISTRIBUTIONS`: "gaussian"
                  (state-independent log_std, part of theta), "categorical", or "bernoulli"
                  (components are 0 or 1)
    parts         network outputs per action component: (1,) * D, or the numbers of choices for
                  "categorical"
    hidden        widths of the hidden layers; () is a linear policy
    activation    "tanh", "relu" or "identity"

    theta is one vector: per layer the ((inputs + 1) x outputs) matrix, row-major, whose last row
    is the bias; then log_std. Raises ValueError for invalid arguments.
    """

    obs_size: int
    distribution: str
    parts: tuple[int, ...]
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "tanh"

    def __post_init__(self) -> None:
        _COUNT("obs_size", self.obs_size)
        one_of(*DISTRIBUTIONS)("distribution", self.distribution)
        one_of(*ACTIVATIONS)("activation", self.activation)
        for name in ("parts", "hidden"):
            sizes = tuple(_COUNT(f"each of {name}", size) for size in getattr(self, name))
            object.__setattr__(self, name, sizes)
        if not DISTRIBUTIONS[self.distribution].fits(self.parts):
            raise UserError(f"parts of a {self.distribution} policy cannot be {self.parts}")

    @property
    def n_parameters(self) -> int:
        """P"""
        sizes = [self.obs_size, *self.hidden, sum(self.parts)]
        weights = sum((k + 1) * m for k, m in pairwise(sizes))
        return weights + DISTRIBUTIONS[self.distribution].n_log_std(self.parts)

    def initial(self, seed: int = 0) -> Vector:
        """Orthogonal weights, last layer x 0.01, biases and log_std 0; (P,)."""
        return _agent(self, 1, seed=integer(0, 2**64 - 1)("seed", seed)).theta


def _agent(policy: Policy, n_rows: int, **settings: Any) -> Agent:
    resolved = AgentSettings(
        obs_size=policy.obs_size,
        distribution=policy.distribution,
        parts=policy.parts,
        policy_hidden=policy.hidden,
        value_hidden=(),
        activation=policy.activation,
        n_steps=n_rows,
        **settings,
    )
    return backend.make_agent(resolved, backend.choose(), "float64")


def _theory_at(
    policy: Policy,
    theta: Vector,
    obs: ArrayLike,
    actions: ArrayLike | None = None,
    advantages: ArrayLike | None = None,
    name: str = "theta",
) -> Theory:
    """An agent's stages at theta, with the batch loaded. `actions` can be None if the result does
    not depend on them.
    """
    n = len(np.asarray(obs)) if np.ndim(obs) == 2 else 0
    if n == 0:
        raise UserError(f"obs has shape {np.shape(obs)}, not (N, {policy.obs_size}) with N > 0")
    agent = _agent(policy, n)
    agent.theta = arrays.finite_vector(name, theta, policy.n_parameters)
    if actions is None:
        actions = np.full((n, len(policy.parts)), DISTRIBUTIONS[policy.distribution].filler)
    theory, actions = agent.theory, _columns(actions, n)
    theory.load_batch(obs, actions, np.zeros(n) if advantages is None else advantages)
    return theory


def _columns(actions: ArrayLike, n: int) -> np.ndarray:
    actions = np.asarray(actions)
    return actions.reshape(n, 1) if actions.shape == (n,) else actions


def gae(
    rewards: ArrayLike,
    values: ArrayLike,
    terminated: ArrayLike,
    truncated: ArrayLike,
    final_values: ArrayLike,
    gamma: float = 0.99,
    gae_lambda: float = 0.95,
) -> tuple[np.ndarray, np.ndarray]:
    """Generalised advantage estimation; returns (advantages, returns), both (T, E).

        delta_t = r_t + gamma V(s_{t+1}) - V(s_t),   V(s_{t+1}) = 0 where terminated
        A_t     = delta_t + gamma lambda A_{t+1},    A_{t+1} = 0 where the episode ends
        returns = A + V

    rewards, values (T, E); terminated, truncated (T, E) bool; final_values (T, E): V of the
    observation after the step, before any reset; used where truncated, and in the last row.
    Source: Schulman et al. 2016, "High-dimensional continuous control using GAE".
    """
    shape = np.shape(rewards)
    if len(shape) != 2 or 0 in shape:
        raise UserError(f"rewards has shape {shape}, not (T, E) with T, E > 0")
    rew = arrays.as_array("rewards", rewards, shape, np.float64)
    val = arrays.as_array("values", values, shape, np.float64)
    final = arrays.as_array("final_values", final_values, shape, np.float64)
    term = arrays.as_array("terminated", terminated, shape, np.bool_)
    trunc = arrays.as_array("truncated", truncated, shape, np.bool_)
    boot, nothing = np.where(term, 0.0, final), np.zeros(shape, np.bool_)
    discounts = _FRACTION("gamma", gamma), _FRACTION("gae_lambda", gae_lambda)
    return _stages().gae(rew, val, boot, term | trunc, nothing, *discounts)


def surrogate(
    policy: Policy,
    theta: Vector,
    theta_old: Vector,
    obs: ArrayLike,
    actions: ArrayLike,
    advantages: ArrayLike,
) -> float:
    """L(theta) = 1/N sum_n pi_theta(a_n|s_n) / pi_old(a_n|s_n) A_n.

    theta, theta_old (P,); obs (N, O); actions (N, D) or (N,); advantages (N,).
    """
    theory = _theory_at(policy, theta_old, obs, actions, advantages, "theta_old")
    return theory.evaluate(theta)[0] + float(np.mean(np.asarray(advantages)))


def kl(policy: Policy, theta: Vector, theta_old: Vector, obs: ArrayLike) -> float:
    """Mean over the N states of KL(pi_old || pi_theta), exact, in nats; summed over components."""
    return _theory_at(policy, theta_old, obs, name="theta_old").evaluate(theta)[1]


def gradient(
    policy: Policy, theta: Vector, obs: ArrayLike, actions: ArrayLike, advantages: ArrayLike
) -> Vector:
    """g = d/dtheta of the surrogate at theta = theta_old: 1/N sum_n A_n dlog pi(a_n|s_n); (P,)."""
    return _theory_at(policy, theta, obs, actions, advantages).gradient()


def fisher_vector_product(
    policy: Policy, theta: Vector, obs: ArrayLike, v: Vector, damping: float = 0.0
) -> Vector:
    """(F + damping I) v, where F is the Hessian of the mean KL at theta = theta_old; (P,).

    F = 1/N sum_n J_n' M_n J_n is never formed; J is the Jacobian of the network's outputs, and M
    the distribution's Fisher metric with respect to these. Source: Schraudolph 2002.
    """
    product = _theory_at(policy, theta, obs).fisher_product(v)
    return product + _NOT_NEGATIVE("damping", damping) * np.asarray(v, np.float64)


class Solution(NamedTuple):
    """The result of `conjugate_gradient`."""

    x: Vector
    """(P,)"""
    steps: int
    """products used"""
    residual: float
    """last residual relative to the first, in the preconditioner's norm"""
    curvature: float
    """x'Hx"""


def conjugate_gradient(
    product: Callable[[Vector], Vector],
    g: ArrayLike,
    max_steps: int = 10,
    tolerance: float = 1e-10,
    precondition: Callable[[Vector], Vector] | None = None,
) -> Solution:
    """Solves H x = g for symmetric positive definite H, given only v -> H v.

    tolerance     stop once the residual has fallen to this fraction of the first
    precondition  r -> M^-1 r, where M is close to H and symmetric positive definite

    Stops early at a direction of non-positive curvature. Exceptions raised by the functions
    propagate. Source: Hestenes and Stiefel 1952.
    """
    g = arrays.finite_vector("g", g, np.size(g))
    limits = _COUNT("max_steps", max_steps), _NOT_NEGATIVE("tolerance", tolerance)
    product = _linear("product", product, np.size(g))
    precondition = precondition and _linear("precondition", precondition, np.size(g))
    return Solution(*_stages().conjugate_gradient(product, g, *limits, precondition))


def _linear(name: str, function: Callable, P: int) -> Callable[[Vector], Vector]:
    """Calls `function` with a copy, and checks that the result is (P,)."""
    return lambda v: arrays.as_array(f"what {name} returned", function(v.copy()), (P,), np.float64)


class Search(NamedTuple):
    """The result of `line_search`."""

    theta: Vector
    """(P,) the accepted parameters, or the old ones, bit for bit"""
    accepted: bool
    trials: int
    """evaluations used"""
    surrogate: float
    """of the last trial"""
    kl: float
    """of the last trial"""
    rejected: str = ""
    """why the last trial was rejected: "kl", "improvement" or "not finite"; "" if accepted"""


def line_search(
    evaluate: Callable[[Vector], tuple[float, float]],
    theta: ArrayLike,
    step: ArrayLike,
    surrogate_old: float,
    target_kl: float = 0.01,
    shrinking_factor: float = 0.8,
    max_iter: int = 10,
    acceptance: str = "improvement",
) -> Search:
    """Returns the first theta + shrink^j step, j = 0, 1, ..., with KL <= target_kl and a surrogate
    above `surrogate_old`.

    evaluate    theta (P,) -> (surrogate, KL)
    acceptance  "kl" checks the KL only; "always" takes the full step. Steps that are not finite are
                never accepted

    Source: Schulman et al. 2015, appendix C.
    """
    theta = arrays.finite_vector("theta", theta, np.size(theta))
    step = arrays.finite_vector("step", step, np.size(theta))
    limits = (
        real("a number", lambda x: True)("surrogate_old", surrogate_old),
        _NOT_NEGATIVE("target_kl", target_kl),
        _BETWEEN("shrinking_factor", shrinking_factor),
        _COUNT("max_iter", max_iter),
        one_of(*ACCEPTANCES)("acceptance", acceptance),
    )

    def on_a_copy(trial: Vector) -> tuple[float, float]:
        surr, kl = evaluate(trial.copy())
        return float(surr), float(kl)

    found, rejected, trials, surr, kl = _stages().line_search(on_a_copy, theta, step, *limits)
    return Search(found, not rejected, trials, surr, kl, rejected)


def _stages() -> Any:
    """The compiled or portable module of the stages that need no agent."""
    name = "core._core64" if backend.choose() == "compiled" else "portable.stages"
    return importlib.import_module(f"fasttrpo.{name}")
