"""Diagonal Gaussian with a state-independent standard deviation: a ~ N(mu(s), exp(log_std)^2).

mu (N, A) real is the network's output; log_std (A,) float64 is part of theta.
Sums run over action dimensions. The arithmetic is float64; results per sample have mu's dtype.
"""

from __future__ import annotations

import numpy as np

from . import rng
from .math import exp, expm1

LOG_2PI = np.log(2.0 * np.pi)
LOG_STD_CURVATURE = 2.0  # E[(z^2 - 1)^2] for z ~ N(0, 1): the Fisher matrix of log_std is 2 I


def sample(stream, items, mu, log_std):
    """a_i = mu_i + exp(log_std_i) normal_i; (N, A) float64."""
    return mu + exp(log_std) * rng.normals(stream, items, mu.shape[1])


def mode(mu, log_std):
    """The most likely action: mu."""
    return mu


def logp(act, mu, log_std):
    """log p(a) = -1/2 sum_i ((a_i - mu_i) / sigma_i)^2 - sum_i log_std_i - A/2 log(2 pi); (N,)."""
    z = (act - mu) * exp(-log_std)
    constant = np.sum(log_std) + 0.5 * len(log_std) * LOG_2PI
    return (-0.5 * np.sum(z * z, axis=1) - constant).astype(mu.dtype)


def adjoint(w, act, mu, log_std):
    """d/d(mu, log_std) of sum_n w_n log p(a_n): dmu (N, A) real, and dlog_std (A,) divided by N.

    z = (a - mu) / sigma:   dmu = w z / sigma,   dlog_std = 1/N sum_n w (z^2 - 1)
    """
    weight, precision = w[:, None], exp(-log_std)
    z = (act - mu) * precision
    dmu = weight * z * precision
    return dmu.astype(mu.dtype), np.mean(weight * (z * z - 1.0), axis=0)


def metric(tmu, mu, log_std):
    """The Fisher matrix of mu times a tangent: tmu / sigma^2; (N, A)."""
    return (tmu * constant_metric(log_std)).astype(mu.dtype)


def constant_metric(log_std):
    """That matrix's diagonal, equal for all states: 1 / sigma^2; (A,)."""
    return exp(-2.0 * log_std)


def kl(mu, log_std, mu_new, log_std_new):
    """KL(old || new) = sum_i [ dl + expm1(-2 dl)/2 + ((mu'-mu) / sigma')^2 / 2 ]; (N,).

    dl = log_std' - log_std. expm1 keeps small divergences precise.
    """
    dl = log_std_new - log_std
    z = (mu_new - mu) * exp(-log_std_new)
    constant = np.sum(dl + 0.5 * expm1(-2.0 * dl))
    return (constant + 0.5 * np.sum(z * z, axis=1)).astype(mu.dtype)


def entropy(mu, log_std):
    """sum_i log_std_i + A/2 log(2 pi e), the same in every state."""
    return float(np.sum(log_std) + 0.5 * len(log_std) * (LOG_2PI + 1.0))


def entropy_adjoint(mu, log_std):
    """d/d(mu, log_std) of each sample's entropy: 0 (N, A), and 1 (A,)."""
    return np.zeros(mu.shape), np.ones(len(log_std))
