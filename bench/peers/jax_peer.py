"""The Gauss-Newton product in JAX, jitted: tangent forward, metric, adjoint backward.

A conjugate gradient of PER_RUN iterations is timed inside one jitted loop, so that neither dispatch
nor calls from Python count; the time of a product is a fraction of it. `linearize` runs the forward
pass once, outside the loop, and keeps the activations.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from bench.batches import RandomBatch, Shape

PER_RUN = 20


class Product:
    """F v with jax.linearize and its transpose."""

    per_run = PER_RUN

    def __init__(self, shape: Shape, batch: RandomBatch):
        import jax
        import jax.numpy as jnp

        self._shape, self._n = shape, len(batch.obs)
        n_net = sum((k + 1) * m for k, m in _layers(shape))
        self._obs = jnp.asarray(batch.obs)
        self._theta = jnp.asarray(batch.theta[:n_net], jnp.float32)
        self._log_std = jnp.asarray(batch.theta[n_net:], jnp.float32)
        self._v = jnp.asarray(batch.v, jnp.float32)
        self._product = jax.jit(self._once)
        self._loop = jax.jit(self._conjugate_gradient)

    def _network(self, theta, obs):
        import jax.numpy as jnp

        start, h = 0, obs
        layers = _layers(self._shape)
        for i, (k, m) in enumerate(layers):
            w = theta[start : start + (k + 1) * m].reshape(k + 1, m)
            start += (k + 1) * m
            z = h @ w[:-1] + w[-1]
            h = jnp.tanh(z) if i < len(layers) - 1 else z
        return h

    def _metric(self, out, tout):
        import jax
        import jax.numpy as jnp

        if self._shape.is_gaussian:
            return tout * jnp.exp(-2 * self._log_std)
        p = jax.nn.softmax(out)
        return p * (tout - (p * tout).sum(axis=1, keepdims=True))

    def _linear(self, theta, obs):
        """v -> F v at theta."""
        import jax
        import jax.numpy as jnp

        out, tangent = jax.linearize(lambda at: self._network(at, obs), theta)
        adjoint = jax.linear_transpose(tangent, theta)

        def product(v):
            net, rest = v[: theta.size], v[theta.size :]
            (down,) = adjoint(self._metric(out, tangent(net)))
            return jnp.concatenate([down / self._n, 2 * rest])

        return product

    def _once(self, theta, obs, v):
        return self._linear(theta, obs)(v)

    def _conjugate_gradient(self, theta, obs, g):
        import jax
        import jax.numpy as jnp

        product = self._linear(theta, obs)

        def iteration(_, state):
            x, r, p, rr = state
            q = product(p) + 0.1 * p
            alpha = rr / (p @ q)
            x, r = x + alpha * p, r - alpha * q
            rr_next = r @ r
            return x, r, r + (rr_next / rr) * p, rr_next

        return jax.lax.fori_loop(0, PER_RUN, iteration, (jnp.zeros_like(g), g, g, g @ g))[0]

    def product(self, v: np.ndarray) -> np.ndarray:
        """F v, (P,)."""
        return np.asarray(self._product(self._theta, self._obs, np.asarray(v, np.float32)))

    def run(self) -> None:
        """Computes per_run products."""
        self._loop(self._theta, self._obs, self._v).block_until_ready()


def _layers(shape: Shape) -> list[tuple[int, int]]:
    return list(pairwise(shape.sizes))
