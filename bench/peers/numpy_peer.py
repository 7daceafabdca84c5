"""A straightforward NumPy implementation of the Fisher product: float32, whole-batch matmuls."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from bench.batches import RandomBatch, Shape


class Product:
    """F v of a tanh network with cached activations, written directly."""

    per_run = 1

    def __init__(self, shape: Shape, batch: RandomBatch):
        self._shape, self._n = shape, len(batch.obs)
        self._layers = self._split(batch.theta)
        self._h = self._forward(batch.obs)
        self._log_std = batch.theta[sum(layer.size for layer in self._layers) :]
        self._v = batch.v.astype(np.float32)

    def _split(self, vector: np.ndarray) -> list[np.ndarray]:
        layers, start = [], 0
        for k, m in pairwise(self._shape.sizes):
            part = vector[start : start + (k + 1) * m].reshape(k + 1, m)
            layers.append(part.astype(np.float32))
            start += (k + 1) * m
        return layers

    def _forward(self, obs: np.ndarray) -> list[np.ndarray]:
        h = [obs]
        for w in self._layers[:-1]:
            h.append(np.tanh(h[-1] @ w[:-1] + w[-1]))
        last = self._layers[-1]
        return [*h, h[-1] @ last[:-1] + last[-1]]

    def product(self, v: np.ndarray) -> np.ndarray:
        """F v, (P,)."""
        dz = self._metric(self._tangent(self._split(v)))
        return np.concatenate([*self._adjoint(dz), 2 * v[len(v) - len(self._log_std) :]])

    def _tangent(self, directions: list[np.ndarray]) -> np.ndarray:
        d = directions[0]
        tz = self._h[0] @ d[:-1] + d[-1]
        for h, w, d in zip(self._h[1:-1], self._layers[1:], directions[1:], strict=True):
            tz = h @ d[:-1] + d[-1] + ((1 - h * h) * tz) @ w[:-1]
        return tz

    def _adjoint(self, dz: np.ndarray) -> list[np.ndarray]:
        blocks = []
        for i in reversed(range(len(self._layers))):
            h = self._h[i]
            blocks.append(np.vstack([h.T @ dz, dz.sum(axis=0)]).ravel() / self._n)
            if i > 0:
                dz = (1 - h * h) * (dz @ self._layers[i][:-1].T)
        return blocks[::-1]

    def _metric(self, tz: np.ndarray) -> np.ndarray:
        if self._shape.is_gaussian:
            return tz * np.exp(-2 * self._log_std).astype(np.float32)
        p = np.exp(self._h[-1] - self._h[-1].max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        return p * (tz - (p * tz).sum(axis=1, keepdims=True))

    def run(self) -> None:
        """Computes per_run products."""
        self.product(self._v)
