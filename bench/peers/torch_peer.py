"""The Fisher product in torch as sb3-contrib's TRPO computes it: double backpropagation.

The gradient of the mean KL is built once with its graph; a product is the gradient of
(gradient . v) with the graph retained. The KL is summed over action components, as in ours.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from bench.batches import RandomBatch, Shape


def layers_of(theta: np.ndarray, sizes: tuple[int, ...]) -> list[np.ndarray]:
    """Our ((K+1) x M) matrices, with the bias in the last row; later entries are left out."""
    layers, start = [], 0
    for k, m in pairwise(sizes):
        layers.append(theta[start : start + (k + 1) * m].reshape(k + 1, m))
        start += (k + 1) * m
    return layers


def to_torch(theta: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """A vector in the order of torch's parameters: log_std, then weights (out, in) and biases."""
    layers = layers_of(theta, sizes)
    parts = [part for w in layers for part in (w[:-1].T.ravel(), w[-1])]
    return np.concatenate([theta[sum(w.size for w in layers) :], *parts])


def from_torch(vector: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """The inverse of `to_torch`."""
    n_net = sum((k + 1) * m for k, m in pairwise(sizes))
    start = vector.size - n_net
    blocks, log_std = [], vector[:start]
    for k, m in pairwise(sizes):
        weight = vector[start : start + k * m].reshape(m, k)
        blocks += [weight.T.ravel(), vector[start + k * m : start + (k + 1) * m]]
        start += (k + 1) * m
    return np.concatenate([*blocks, log_std])


class Product:
    """F v by differentiating the KL twice."""

    per_run = 1

    def __init__(self, shape: Shape, batch: RandomBatch):
        import torch

        self._torch, self._sizes = torch, shape.sizes
        self._parameters = self._copied(batch.theta)
        distribution, old = (self._distribution(shape, batch.obs) for _ in range(2))
        kl = torch.distributions.kl_divergence(distribution, self._detached(old))
        kl = kl.sum(-1).mean() if shape.is_gaussian else kl.mean()
        self._grad_kl = self._flat_grad(kl, create_graph=True)
        self._v = torch.tensor(to_torch(batch.v, shape.sizes), dtype=torch.float32)

    def _copied(self, theta: np.ndarray) -> list:
        vector = self._torch.tensor(to_torch(theta, self._sizes), dtype=self._torch.float32)
        pairs = list(pairwise(self._sizes))
        shapes = [each for k, m in pairs for each in ((m, k), (m,))]
        n_net = sum((k + 1) * m for k, m in pairs)
        self._n_std = vector.numel() - n_net
        parts, start = [vector[: self._n_std].clone()], self._n_std
        for shape in shapes:
            size = int(np.prod(shape))
            parts.append(vector[start : start + size].reshape(shape).clone())
            start += size
        parts = parts if self._n_std else parts[1:]
        return [part.requires_grad_() for part in parts]

    def _distribution(self, shape: Shape, obs: np.ndarray):
        torch, rest = self._torch, self._parameters[bool(self._n_std) :]
        h = torch.tensor(obs)
        for i in range(0, len(rest), 2):
            h = torch.nn.functional.linear(h, rest[i], rest[i + 1])
            h = torch.tanh(h) if i + 2 < len(rest) else h
        if not shape.is_gaussian:
            return torch.distributions.Categorical(logits=h)
        return torch.distributions.Normal(h, torch.ones_like(h) * self._parameters[0].exp())

    def _detached(self, old):
        if isinstance(old, self._torch.distributions.Categorical):
            return self._torch.distributions.Categorical(logits=old.logits.detach())
        return self._torch.distributions.Normal(old.loc.detach(), old.scale.detach())

    def _flat_grad(self, y, **keywords):
        grads = self._torch.autograd.grad(y, self._parameters, **keywords)
        return self._torch.cat([grad.reshape(-1) for grad in grads])

    def _times(self, v):
        return self._flat_grad((self._grad_kl * v).sum(), retain_graph=True)

    def product(self, v: np.ndarray) -> np.ndarray:
        """F v, (P,)."""
        vector = self._torch.tensor(to_torch(v, self._sizes), dtype=self._torch.float32)
        return from_torch(self._times(vector).numpy(), self._sizes)

    def run(self) -> None:
        """Computes per_run products."""
        self._times(self._v)
