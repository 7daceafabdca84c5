"""Stage 3b: the Kronecker-factored preconditioner M ~ F + damping I (Martens and Grosse 2015,
"Optimizing neural networks with Kronecker-factored approximate curvature").

The block of layer l is A (x) G,  A = mean [h 1]'[h 1] (K+1, K+1),  G = mean dz'dz (M, M), with dz
from a backward pass per row whose output adjoint is the score of an action drawn from the policy.
A head (last layer) whose metric is a constant diagonal m has an exact block: m_i A for column i.

Estimated blocks have a damping of at least LEAST_DAMPING: with less, CG's few steps leave the
region where the Fisher matrix predicts the KL, and the line search rejects every trial.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import network, rng

LEAST_DAMPING = 1e-3
PIVOT_FLOOR = 1e-14  # relative to the largest diagonal entry
MIN_ROWS, FRACTION = 256, 10  # rows sampled: a tenth, but at least 256


def inverse(matrix):
    """The inverse of a symmetric positive definite matrix (K, K), by sweeping (Goodnight 1979).

    The pivots are the squares of Cholesky's. A pivot <= 1e-14 times the largest diagonal entry is a
    direction without curvature: its row and column of the inverse are 0.
    """
    swept = matrix.copy()
    floor = PIVOT_FLOOR * np.max(np.diag(matrix))
    for k in range(len(swept)):
        pivot = swept[k, k]
        column = swept[:, k].copy()
        if pivot > floor:
            swept -= np.outer(column, column) / pivot
            column /= pivot
            swept[k, :], swept[:, k] = column, column
            swept[k, k] = -1.0 / pivot
        else:
            swept[k, :], swept[:, k] = 0.0, 0.0
    return -swept


@dataclass
class HeadBlock:
    """inverses (M, K+1, K+1): (m_i A + damping I)^-1 for column i."""

    inverses: np.ndarray

    @staticmethod
    def build(A, m, damping):
        eye = damping * np.eye(len(A))
        return HeadBlock(np.stack([inverse(m_i * A + eye) for m_i in m]))

    def solve(self, V):
        return (self.inverses @ V.T[:, :, None])[:, :, 0].T


@dataclass
class KroneckerBlock:
    """The inverses of A + pi sqrt(damping) I and of G + sqrt(damping)/pi I."""

    A_inverse: np.ndarray
    G_inverse: np.ndarray

    @staticmethod
    def build(A, G, damping):
        mean_A, mean_G = np.trace(A) / len(A), np.trace(G) / len(G)
        ratio = mean_A / mean_G if mean_G > 0 else 0.0
        pi = np.sqrt(ratio) if ratio > 0 and np.isfinite(ratio) else 1.0
        root = np.sqrt(damping)
        return KroneckerBlock(
            inverse(A + pi * root * np.eye(len(A))), inverse(G + root / pi * np.eye(len(G)))
        )

    def solve(self, V):
        return self.A_inverse @ V @ self.G_inverse


def build(at, score, constant_metric, stream, damping):
    """The blocks of all layers, from the forward pass `at`.

    score(stream, items, outputs) -> output adjoints (n, M_L) of the sampled rows; row i has item
    1 + i. constant_metric (M_L,), or None if the metric depends on the state.
    """
    if constant_metric is not None and len(at.inputs) == 1:
        return [HeadBlock.build(second_moment(at.inputs[0]), constant_metric, damping)]
    damping = max(damping, LEAST_DAMPING)
    N = len(at.output)
    n = min(N, max(MIN_ROWS, -(-N // FRACTION)))
    at = at.rows(rng.permute(stream, N, n))
    dz = network.adjoints(at, score(stream, np.arange(1, n + 1), at.output))
    blocks = [
        KroneckerBlock.build(second_moment(h1), second_moment(d), damping)
        for h1, d in zip(at.inputs, dz, strict=True)
    ]
    if constant_metric is not None:
        blocks[-1] = HeadBlock.build(second_moment(at.inputs[-1]), constant_metric, damping)
    return blocks


def second_moment(x):
    """mean x'x; (K, K) float64."""
    return network.mean_product(x, x)


def solve(blocks, net, r):
    """M^-1 r for the network's parameters, layer by layer; (P,)."""
    pairs = zip(blocks, net.matrices(r), strict=True)
    return np.concatenate([block.solve(V).ravel() for block, V in pairs])


def policy_blocks(batch):
    """Blocks of the policy network, at the batch's parameters, from the Fisher rows."""
    model, extra = batch.model, batch.extra

    def score(stream, items, output):
        act = model.distribution.sample(stream, items, output, extra)
        return model.distribution.adjoint(np.ones(len(output)), act, output, extra)[0]

    metric = model.distribution.constant_metric(extra)
    return build(batch.fisher_rows, score, metric, batch.stream(rng.KFAC), batch.damping)


def policy_solve(blocks, r, batch):
    """M^-1 r, with log_std's exact block (log_std_curvature + damping) I; (P,)."""
    model = batch.model
    n = model.policy.n_parameters
    log_std_block = model.distribution.log_std_curvature + batch.damping
    return np.concatenate([solve(blocks, model.policy, r[:n]), r[n:] / log_std_block])


def value_blocks(value, stream, damping):
    """Blocks of the value network: its outputs are Gaussian with variance 1."""

    def score(stream, items, output):
        return rng.normals(stream, items, 1).astype(output.dtype)

    return build(value, score, np.ones(1), stream, damping)
