"""The theory once more, in plain NumPy, as slow and short as it can be.

Nothing here uses the rest of the library. Functions of theta are analytic, so that a derivative
is an imaginary part: df/dx = Im f(x + ih) / h, exact to rounding because nothing is subtracted
(Squire and Trapp 1998).

Letters: N rows, O observation size, D action components, A outputs, P parameters, T steps,
E environments.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
Function = Callable[[Array], Array]

_FORBIDDEN = -1e30  # a logit whose probability is exactly 0


@dataclass(frozen=True)
class Policy:
    """A tanh network and its action distribution, as `fasttrpo.settings.agent` describes them.

    sizes  O, the hidden widths, A

    theta may be (P,), or (..., P) for many at once; results then have the leading axes too.
    """

    distribution: str
    parts: tuple[int, ...]
    sizes: tuple[int, ...]

    def logp(self, theta: Array, obs: Array, act: Array, mask: Array | None = None) -> Array:
        """log pi(act | obs); obs (N, O), act (N, D), mask (N, A) or None: (..., N)."""
        out = network(theta, self.sizes, obs)
        if self.distribution == "gaussian":
            log_std = self._log_std(theta)
            z = (act - out) * np.exp(-log_std)
            return np.sum(-0.5 * z * z - log_std - 0.5 * np.log(2 * np.pi), axis=-1)
        if self.distribution == "bernoulli":
            return np.sum(act * out - _softplus(out), axis=-1)
        chosen = zip(self._log_probabilities(out, mask), self.parts, act.T, strict=True)
        return sum(np.sum(logs * np.eye(k)[a.astype(int)], axis=-1) for logs, k, a in chosen)

    def kl(self, theta: Array, theta_old: Array, obs: Array, mask: Array | None = None) -> Array:
        """Mean over rows of KL(pi_old || pi_theta), summed over components, in nats: (...)."""
        old, new = (network(t, self.sizes, obs) for t in (theta_old, theta))
        if self.distribution == "gaussian":
            s_old, s_new = self._log_std(theta_old), self._log_std(theta)
            spread = (np.exp(2 * s_old) + (new - old) ** 2) * np.exp(-2 * s_new)
            per_component = s_new - s_old + spread / 2 - 0.5
        elif self.distribution == "bernoulli":
            p = 1 / (1 + np.exp(-old))
            per_component = p * (old - new) + _softplus(new) - _softplus(old)
        else:
            logs = [np.concatenate(self._log_probabilities(z, mask), axis=-1) for z in (old, new)]
            per_component = np.exp(logs[0]) * (logs[0] - logs[1])
        return per_component.sum(axis=-1).mean(axis=-1)

    def surrogate(
        self,
        theta: Array,
        theta_old: Array,
        obs: Array,
        act: Array,
        adv: Array,
        mask: Array | None = None,
    ) -> Array:
        """1/N sum_n (pi_theta / pi_old - 1) A_n: (...)."""
        change = self.logp(theta, obs, act, mask) - self.logp(theta_old, obs, act, mask)
        return np.mean((np.exp(change) - 1) * adv, axis=-1)

    def _log_std(self, theta: Array) -> Array:
        return theta[..., None, -len(self.parts) :]

    def _log_probabilities(self, out: Array, mask: Array | None) -> list[Array]:
        """(..., N, choices) of each part."""
        out = out if mask is None else np.where(mask, out, _FORBIDDEN)
        split = np.split(out, np.cumsum(self.parts)[:-1], axis=-1)
        return [z - np.log(np.exp(z).sum(axis=-1, keepdims=True)) for z in split]


def network(theta: Array, sizes: tuple[int, ...], x: Array) -> Array:
    """A tanh network's outputs (..., N, A) for x (N, O); per layer theta (..., P) holds a
    ((K+1) x M) matrix, its last row the bias.
    """
    start, h = 0, x
    for K, M in itertools.pairwise(sizes):
        W = theta[..., start : start + (K + 1) * M].reshape(*theta.shape[:-1], K + 1, M)
        start += (K + 1) * M
        z = h @ W[..., :-1, :] + W[..., -1:, :]
        h = np.tanh(z)
    return z


def _softplus(z: Array) -> Array:
    return np.log(1 + np.exp(z))


def derivative(f: Function, x: Array) -> Array:
    """df/dx at x (P,), by complex steps; the last axis runs over x's entries."""
    h = 1e-30
    return np.moveaxis(np.imag(f(x + 1j * h * np.eye(len(x)))) / h, 0, -1)


def differences(f: Function, x: Array, h: float) -> Array:
    """df/dx at x (P,), by 4th-order central differences; the last axis runs over x's entries."""
    columns = []
    for e in np.eye(len(x)) * h:
        near, far = f(x + e) - f(x - e), f(x + 2 * e) - f(x - 2 * e)
        columns.append((8 * near - far) / (12 * h))
    return np.stack(columns, axis=-1)


def hessian(f: Function, x: Array) -> Array:
    """d2f/dx2 (P, P) at x (P,): differences of the exact gradient."""
    return differences(lambda y: derivative(f, y), x, 1e-3)


def gae(rew: Array, val: Array, boot: Array, done: Array, gamma: float, lam: float) -> Array:
    """Advantages (T, E), each a sum over all later steps of its episode, O(T^2)."""
    T, E = rew.shape
    adv = np.zeros((T, E))
    for e, t in itertools.product(range(E), range(T)):
        for weight, later in enumerate(range(t, T)):
            last = done[later, e] or later == T - 1
            next_val = boot[later, e] if last else val[later + 1, e]
            delta = rew[later, e] + gamma * next_val - val[later, e]
            adv[t, e] += (gamma * lam) ** weight * delta
            if last:
                break
    return adv
