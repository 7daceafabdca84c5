"""Reference implementation of the theory in plain NumPy, slow and short: dense matrices instead of
products, sums over all later steps instead of recursions.

It does not use the rest of the library. Functions of theta are analytic, so that a derivative is an
imaginary part: df/dx = Im f(x + ih) / h, exact to rounding because nothing is subtracted
(Squire and Trapp 1998).

Letters: N rows, O observation size, D action components, A outputs, P parameters, T steps,
E environments. theta may be (P,), or (..., P) for many at once; results then have the leading axes
too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from fasttrpo.selftest.distributions import DISTRIBUTIONS, FORBIDDEN, Distribution

Array = np.ndarray
Function = Callable[[Array], Array]

# -- derivatives ----------------------------------------------------------------------------------


def derivative(f: Function, x: Array) -> Array:
    """df/dx at x (P,), by complex steps; the last axis is that of x. f accepts (P, P)."""
    h = 1e-30
    return np.moveaxis(np.imag(f(x + 1j * h * np.eye(len(x)))) / h, 0, -1)


def differences(f: Function, x: Array, h: float) -> Array:
    """df/dx at x (P,), by 4th-order central differences; the last axis is that of x."""
    columns = []
    for e in np.eye(len(x)) * h:
        near, far = f(x + e) - f(x - e), f(x + 2 * e) - f(x - 2 * e)
        columns.append((8 * near - far) / (12 * h))
    return np.stack(columns, axis=-1)


def hessian(f: Function, x: Array) -> Array:
    """d2f/dx2 (P, P) at x (P,): differences of the exact gradient."""
    return differences(lambda y: derivative(f, y), x, 1e-3)


def matrix(product: Function, size: int) -> Array:
    """The matrix (size, size) of a linear function of vectors, column by column."""
    return np.stack([product(e) for e in np.eye(size)], axis=1)


# -- networks and policies ------------------------------------------------------------------------

ACTIVATIONS: dict[str, Function] = {
    "tanh": np.tanh,
    "relu": lambda z: z * (z.real > 0),
    "identity": lambda z: z,
}


def layers(sizes: tuple[int, ...]) -> Iterator[tuple[slice, int, int]]:
    """(slice of theta, K, M) of each layer's ((K+1) x M) matrix, whose last row is the bias."""
    start = 0
    for K, M in itertools.pairwise(sizes):
        yield slice(start, start + (K + 1) * M), K, M
        start += (K + 1) * M


def forward(
    theta: Array, sizes: tuple[int, ...], activation: str, x: Array
) -> tuple[list[Array], Array]:
    """The inputs of each layer and the outputs (..., N, A) of a network for x (N, O)."""
    inputs = [x]
    for where, K, M in layers(sizes):
        W = theta[..., where].reshape(*theta.shape[:-1], K + 1, M)
        z = inputs[-1] @ W[..., :-1, :] + W[..., -1:, :]
        inputs.append(ACTIVATIONS[activation](z))
    return inputs[:-1], z


@dataclass(frozen=True, eq=False)
class Policy:
    """A network and its action distribution, in the terms of `fasttrpo.settings.agent`.

    sizes  inputs, hidden widths, A
    mask   (N, A) bool, the valid choices in a batch's rows; None: all
    """

    distribution: str
    parts: tuple[int, ...]
    sizes: tuple[int, ...]
    activation: str = "tanh"
    mask: Array | None = None

    @property
    def of(self) -> Distribution:
        """The distribution itself."""
        return DISTRIBUTIONS[self.distribution](self.parts)

    def outputs(self, theta: Array, obs: Array) -> Array:
        """(..., N, A) for obs (N, O)."""
        out = forward(theta, self.sizes, self.activation, obs)[1]
        return out if self.mask is None else np.where(self.mask, out, FORBIDDEN)

    def log_std(self, theta: Array) -> Array:
        """(..., 1, A), or (..., 1, 0) if the distribution has none."""
        n = sum(self.parts) if self.of.log_std_curvature > 0 else 0
        return theta[..., None, theta.shape[-1] - n :]

    def parameters(self, theta: Array, obs: Array) -> tuple[Array, Array]:
        """The distribution's parameters: outputs and log_std."""
        return self.outputs(theta, obs), self.log_std(theta)

    def logp(self, theta: Array, obs: Array, act: Array) -> Array:
        """log pi(act | obs), act (N, D): (..., N)."""
        return self.of.logp(*self.parameters(theta, obs), act)

    def kl(self, old: Array, new: Array, obs: Array) -> Array:
        """Mean over rows of KL(old || new): (...)."""
        return self.of.kl(*self.parameters(old, obs), *self.parameters(new, obs)).mean(axis=-1)

    def entropy(self, theta: Array, obs: Array) -> Array:
        """Mean over rows: (...)."""
        return self.of.entropy(*self.parameters(theta, obs)).mean(axis=-1)

    def surrogate(self, theta: Array, obs: Array, act: Array, adv: Array, logp: Array) -> Array:
        """1/N sum_n (ratio_n - 1) adv_n, logp (N,) the behaviour policy's: (...)."""
        return np.mean((np.exp(self.logp(theta, obs, act) - logp) - 1) * adv, axis=-1)

    def gradient(self, theta: Array, obs: Array, act: Array, adv: Array, logp: Array) -> Array:
        """d surrogate / d theta: (P,)."""
        return derivative(lambda t: self.surrogate(t, obs, act, adv, logp), theta)

    def fisher(self, theta: Array, obs: Array) -> Array:
        """1/N sum_n J_n' M_n J_n, and log_std's block: (P, P)."""
        J = derivative(lambda t: self.outputs(t, obs), theta)
        MJ = self.of.metric(*self.parameters(theta, obs)) @ J
        F = J.reshape(-1, len(theta)).T @ MJ.reshape(-1, len(theta)) / len(obs)
        n = self.log_std(theta).size
        return F + self.of.log_std_curvature * np.diag(np.arange(len(theta)) >= len(theta) - n)


# -- advantages -----------------------------------------------------------------------------------


def gae(
    rew: Array, val: Array, boot: Array, done: Array, skip: Array, gamma: float, lam: float
) -> Array:
    """Advantages as sums over all later steps of the episode, O(T^2). Arguments and result (T, E).

    skip: rows without a step.
    """
    T, E = rew.shape
    adv = np.zeros((T, E))
    for e, t in itertools.product(range(E), range(T)):
        weight = 0.0 if skip[t, e] else 1.0
        for later in range(t, T):
            last = done[later, e] or later == T - 1 or skip[later + 1, e]
            next_val = boot[later, e] if last else val[later + 1, e]
            adv[t, e] += weight * (rew[later, e] + gamma * next_val - val[later, e])
            if last:
                break
            weight *= gamma * lam
    return adv
