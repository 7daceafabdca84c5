"""Floating-point operations of each stage; a multiply-add counts as two.

Only the dense layers count, per row times rows. Activations, biases, distributions and CG's vectors
are left out, so that a share of the peak is never overstated. `sizes` are a network's (inputs,
hidden widths..., outputs); K and M are a layer's inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

Sizes = Sequence[int]


def forward(sizes: Sizes) -> int:
    """z = h W in every layer: 2 K M."""
    return sum(2 * k * m for k, m in pairwise(sizes))


def tangent(sizes: Sizes) -> int:
    """tz = h V + th W, th = 0 in the first layer: 4 K M, and 2 K M there."""
    return 2 * forward(sizes) - forward(sizes[:2])


def adjoint(sizes: Sizes) -> int:
    """dW = h' dz and, except in the first layer, dh = dz W': 4 K M, and 2 K M there."""
    return 2 * forward(sizes) - forward(sizes[:2])


def fisher_product(sizes: Sizes) -> int:
    """Tangent forward, adjoint backward: 4 O H + 8 H H + 8 H A for O-H-H-A."""
    return tangent(sizes) + adjoint(sizes)


def gradient(sizes: Sizes) -> int:
    """Adjoint backward with the activations available."""
    return adjoint(sizes)


def factor_sums(sizes: Sizes, exact_head: bool) -> int:
    """K-FAC's factors, per estimated row: [h 1]'[h 1] and dz'dz of each layer.

    exact_head: the last layer's dz'dz is known, as for a Gaussian policy or a critic.
    """
    inner = sizes[1:-1] if exact_head else sizes[1:]
    sums = sum(2 * (k + 1) ** 2 for k in sizes[:-1]) + sum(2 * m * m for m in inner)
    return sums + adjoint(sizes) - forward(sizes)  # only dz' W', no dW


def factor_inverses(sizes: Sizes, exact_head: bool) -> int:
    """Cholesky (n^3 / 3) and inverse (2 n^3 / 3) of both factors; one Cholesky per exact output."""
    layers = list(pairwise(sizes))
    if not exact_head:
        return sum((k + 1) ** 3 + m**3 for k, m in layers)
    k, outputs = layers.pop()
    return sum((k + 1) ** 3 + m**3 for k, m in layers) + outputs * (k + 1) ** 3 // 3


def precondition(sizes: Sizes, exact_head: bool) -> int:
    """A^-1 V G^-1 in every layer; two triangular solves per exact output. Independent of rows."""
    layers = list(pairwise(sizes))
    head = 0
    if exact_head:
        k, outputs = layers.pop()
        head = 2 * outputs * (k + 1) ** 2
    return head + sum(2 * (k + 1) * m * (k + 1 + m) for k, m in layers)


def kfac_rows(n: int, sizes: Sizes, exact_head: bool) -> int:
    """Rows that estimate the factors: a tenth, at least 256; all of them for an exact network."""
    return n if len(sizes) == 2 and exact_head else min(n, max(256, n // 10))


def update(settings: Any, record: Mapping[str, Any]) -> int:
    """A complete update, counted by its record; the critic's part for K-FAC only."""
    n, outputs = record["n_samples"], sum(settings.parts)
    policy = (settings.obs_size, *settings.policy_hidden, outputs)
    exact = settings.distribution == "gaussian"
    kfac = settings.preconditioner == "kfac"
    total = n * (gradient(policy) + record["line_search_steps"] * forward(policy))
    total += record["cg_steps"] * n * fisher_product(policy) // settings.sub_sampling_factor
    total += kfac * preconditioning(n, policy, exact, record["cg_steps"])
    if settings.critic == "kfac":
        critic = (settings.obs_size, *settings.value_hidden, 1)
        total += kfac_critic(n, critic, settings.n_critic_updates, settings.batch_size)
    return total


def preconditioning(n: int, sizes: Sizes, exact_head: bool, cg_steps: int) -> int:
    """Factors, their inverses, and one application more than there are products."""
    factors = kfac_rows(n, sizes, exact_head) * factor_sums(sizes, exact_head)
    return (
        factors
        + factor_inverses(sizes, exact_head)
        + (cg_steps + 1) * precondition(sizes, exact_head)
    )


def minibatch(n: int, sizes: Sizes, batch_size: int = 0) -> int:
    """Rows of a K-FAC critic's minibatch (csrc/core/settings.c)."""
    rule = min(max(n // 16, 64), 512) if len(sizes) > 2 else n
    return min(n, batch_size or rule)


def kfac_critic(n: int, sizes: Sizes, epochs: int = 1, batch_size: int = 0) -> int:
    """Factors; in each epoch a forward pass, a gradient and a slope (half a Fisher product) for
    every row, and one application per minibatch; and the forward pass that evaluates the result.
    """
    steps = epochs * -(-n // minibatch(n, sizes, batch_size))
    passes = epochs * (forward(sizes) + gradient(sizes) + fisher_product(sizes) // 2)
    return n * (passes + forward(sizes)) + preconditioning(n, sizes, True, steps - 1)
