"""A network: forward, its derivative along a direction (tangent), and that map's transpose
(adjoint); and its initial parameters.

Layer l has K inputs, M outputs and a (K+1, M) matrix W_l whose last row is the bias:
    h_0 = x;   z_l = [h_{l-1} 1] W_l;   h_l = activation(z_l) for l < L;   output = z_L
The parameter vector is W_1, ..., W_L, each flattened row by row.
Numbers per sample are `real` (the dtype of x); parameter-space vectors are float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from . import rng

BLOCK = 1024  # rows whose products are summed in `real`; blocks are added in float64

# name: (activation of z, its slope computed from the activation's value h)
ACTIVATIONS: dict[str, tuple[Callable, Callable]] = {
    "tanh": (np.tanh, lambda h: 1 - h * h),
    "relu": (lambda z: np.maximum(z, 0), lambda h: (h > 0).astype(h.dtype)),
    "identity": (lambda z: z, np.ones_like),
}


@dataclass(frozen=True)
class Network:
    """sizes: inputs, hidden widths, outputs (so L = len(sizes) - 1 layers)."""

    sizes: tuple[int, ...]
    activation: str

    @property
    def n_parameters(self):
        return sum((K + 1) * M for K, M in pairwise(self.sizes))

    def matrices(self, vector, dtype=np.float64):
        """A parameter-space vector as a list of (K+1, M) matrices of `dtype`."""
        shapes = [(K + 1, M) for K, M in pairwise(self.sizes)]
        ends = np.cumsum([rows * M for rows, M in shapes])
        return [
            vector[end - rows * M : end].reshape(rows, M).astype(dtype, copy=False)
            for end, (rows, M) in zip(ends, shapes, strict=True)
        ]

    def initial(self, seed, first_count, gains):
        """Random parameters: orthogonal weights times the layer's gain, biases 0; (P,) float64."""
        parts = []
        for layer, (K, M) in enumerate(pairwise(self.sizes)):
            stream = rng.Stream(seed, rng.INIT, first_count + layer)
            weights = gains[layer] * orthonormal(rng.normals(stream, np.arange(K), M))
            parts += [weights.ravel(), np.zeros(M)]
        return np.concatenate(parts)

    def initial_uniform(self, seed, first_count):
        """Random weights and biases, uniform within +-1 / sqrt(K) in a layer of K inputs; (P,)."""
        parts = []
        for layer, (K, M) in enumerate(pairwise(self.sizes)):
            stream = rng.Stream(seed, rng.INIT, first_count + layer)
            u = rng.uniforms(rng.words(stream, np.arange(K + 1), 4 * M)[:, ::4])
            parts.append((1.0 / np.sqrt(K) * (2.0 * u - 1.0)).ravel())
        return np.concatenate(parts)


@dataclass
class Pass:
    """A forward pass, with everything that derivatives need.

    weights[l] (K+1, M) real, inputs[l] = [h_l 1] (N, K+1) real, output (N, M_L) real.
    """

    network: Network
    weights: list
    inputs: list
    output: np.ndarray

    @cached_property
    def slopes(self):
        """activation'(z_l) for l = 1..L-1, each (N, M)."""
        slope = ACTIVATIONS[self.network.activation][1]
        return [slope(h1[:, :-1]) for h1 in self.inputs[1:]]

    def rows(self, which):
        """The pass on some of its rows (an index array or a slice)."""
        inputs = [np.ascontiguousarray(h1[which]) for h1 in self.inputs]
        return Pass(self.network, self.weights, inputs, np.ascontiguousarray(self.output[which]))


def orthonormal(gauss):
    """(K, M) Gaussian numbers -> orthonormal columns if K >= M, else rows.

    Gram-Schmidt: QR with a positive diagonal of R (Saxe et al. 2014, orthogonal initialisation).
    """
    if gauss.shape[0] < gauss.shape[1]:
        return orthonormal(gauss.T).T
    q, r = np.linalg.qr(gauss)
    return q * np.where(np.diag(r) < 0, -1.0, 1.0)


def with_ones(h):
    """[h 1], (N, K) -> (N, K+1)."""
    h1 = np.empty((h.shape[0], h.shape[1] + 1), h.dtype)
    h1[:, :-1] = h
    h1[:, -1] = 1
    return h1


def forward(network, weights, x):
    """x (N, K_1) real -> Pass."""
    activate = ACTIVATIONS[network.activation][0]
    inputs = [with_ones(x)]
    for w in weights[:-1]:
        inputs.append(with_ones(activate(inputs[-1] @ w)))
    return Pass(network, weights, inputs, inputs[-1] @ weights[-1])


def tangent(at, v):
    """J v: the derivative of the output along the parameter direction v (P,); (N, M_L) real.

    Forward:  z_l = [h_{l-1} 1] W_l,                         h_l = activation(z_l)
    tangent:  tz_l = th_{l-1} W_l(no bias) + [h_{l-1} 1] V_l,   th_l = slope_l tz_l,   th_0 = 0
    """
    directions = at.network.matrices(v, at.output.dtype)
    tz = at.inputs[0] @ directions[0]
    for layer in range(1, len(at.weights)):
        th = at.slopes[layer - 1] * tz
        tz = th @ at.weights[layer][:-1] + at.inputs[layer] @ directions[layer]
    return tz


def adjoints(at, doutput):
    """dz_l for each layer, backwards from dz_L = doutput (N, M_L).

    Forward:  z_l = [h_{l-1} 1] W_l,           h_{l-1} = activation(z_{l-1})
    adjoint:  dh_{l-1} = dz_l W_l(no bias)',   dz_{l-1} = slope_{l-1} dh_{l-1}
    """
    dz = [doutput]
    for layer in range(len(at.weights) - 1, 0, -1):
        dz.append(at.slopes[layer - 1] * (dz[-1] @ at.weights[layer][:-1].T))
    return dz[::-1]


def pullback(at, doutput):
    """1/N sum_n J_n' doutput_n, (P,) float64: dW_l = 1/N [h_{l-1} 1]' dz_l."""
    dz = adjoints(at, doutput)
    return np.concatenate([mean_product(*pair).ravel() for pair in zip(at.inputs, dz, strict=True)])


def mean_product(a, b):
    """1/N a'b, (N, K), (N, M) -> (K, M) float64."""
    total = np.zeros((a.shape[1], b.shape[1]))
    for start in range(0, len(a), BLOCK):
        total += a[start : start + BLOCK].T @ b[start : start + BLOCK]
    return total / len(a)
