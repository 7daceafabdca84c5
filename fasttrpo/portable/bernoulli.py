"""Independent Bernoullis: component d is 0 or 1, p = 1 / (1 + exp(-z)) being the probability of 1.

logits z (N, A) real is the network's output, one per component; parts is (1, ..., 1), D = A. Sums
run over components. The arithmetic is float64; results per sample have the logits' dtype.
"""

from __future__ import annotations

import numpy as np

from . import rng


def softplus(x):
    """log(1 + exp x)."""
    return np.logaddexp(0.0, x)


def probabilities(logits):
    """p and 1 - p, without a subtraction; (N, A) float64 each."""
    z = logits.astype(np.float64)
    return np.exp(-softplus(-z)), np.exp(-softplus(z))


def sample(stream, items, logits, parts):
    """0 where u = uniform(word 0 of block d) < 1 - p, else 1; (N, D) float64."""
    u = rng.uniforms(rng.words(stream, items, 4 * len(parts))[:, ::4])
    return (u >= probabilities(logits)[1]) * 1.0


def mode(logits, parts):
    """The more likely value, 0 in a tie; (N, D)."""
    return logits > 0


def logp(act, logits, parts):
    """log p(a) = -sum_d softplus((1 - 2 a_d) z_d); (N,)."""
    z = logits.astype(np.float64)
    return -np.sum(softplus(np.where(act > 0, -z, z)), axis=1).astype(logits.dtype)


def adjoint(w, act, logits, parts):
    """d/dlogits of sum_n w_n log p(a_n) = w (a - p), (N, A); an empty dlog_std, (0,)."""
    p, q = probabilities(logits)
    return (w[:, None] * np.where(act > 0, q, -p)).astype(logits.dtype), np.zeros(0)


def metric(tlogits, logits, parts):
    """The Fisher matrix of the logits times a tangent: p (1 - p) t; (N, A)."""
    p, q = probabilities(logits)
    return (p * q * tlogits).astype(logits.dtype)


def constant_metric(parts):
    """None: the metric depends on the state."""
    return None


def kl(logits, parts, logits_new, parts_new):
    """KL(old || new) = sum_d p f(u) + q f(v),  f(d) = expm1(d) - d,  u = log p' - log p; (N,).

    q = 1 - p and v = log q' - log q. Equal to -p u - q v, since p expm1(u) + q expm1(v) = 0; but
    every term is >= 0, which keeps small divergences precise and non-negative. Steps of the logits
    above 1 use the plain form, which cannot overflow.
    """
    z, z_new = logits.astype(np.float64), logits_new.astype(np.float64)
    p, q = probabilities(logits)
    u, v = softplus(-z) - softplus(-z_new), softplus(z) - softplus(z_new)
    small = np.clip(z_new - z, -1.0, 1.0)
    near_u, near_v = -np.log1p(q * np.expm1(-small)), -np.log1p(p * np.expm1(small))
    near = p * (np.expm1(near_u) - near_u) + q * (np.expm1(near_v) - near_v)
    terms = np.where(np.abs(z_new - z) <= 1.0, near, -p * u - q * v)
    return np.sum(terms, axis=1).astype(logits.dtype)


def entropy(logits, parts):
    """The mean over samples of sum_d p softplus(-z) + q softplus(z)."""
    z, (p, q) = logits.astype(np.float64), probabilities(logits)
    return np.sum(p * softplus(-z) + q * softplus(z)) / len(z)


def entropy_adjoint(logits, parts):
    """d/dlogits of each sample's entropy, -z p q, (N, A); an empty dlog_std, (0,)."""
    p, q = probabilities(logits)
    return -logits * p * q, np.zeros(0)
