"""Independent categoricals: component d is one of parts[d] choices.

logits (N, A) real is the network's output, A = sum(parts), part by part; parts (D,) int64. For each
part p = softmax(its logits); log-probabilities, KL and entropy are summed over parts. The
arithmetic is float64; results per sample have the logits' dtype.
"""

from __future__ import annotations

import numpy as np

from . import rng


def starts(parts):
    """Where each part starts; (D,)."""
    return np.cumsum(parts) - parts


def spread(per_part, parts):
    """Repeat one number per part for each of the part's choices; (N, D) -> (N, A)."""
    return np.repeat(per_part, parts, axis=1)


def slices(parts):
    """Each part's columns."""
    return [slice(start, start + size) for start, size in zip(starts(parts), parts, strict=True)]


def log_softmax(logits, parts):
    """log p, per part: x - max - log sum exp(x - max); (N, A) float64."""
    at = starts(parts)
    x = logits.astype(np.float64)
    x -= spread(np.maximum.reduceat(x, at, axis=1), parts)
    return x - spread(np.log(np.add.reduceat(np.exp(x), at, axis=1)), parts)


def sample(stream, items, logits, parts):
    """Invert the distribution function at u = uniform(word 0 of block d); (N, D) float64.

    The smallest k with p_0 + ... + p_k > u; if there is none, the last k with p_k > 0.
    """
    u = rng.uniforms(rng.words(stream, items, 4 * len(parts))[:, ::4])
    p = np.exp(log_softmax(logits, parts))
    chosen = [invert(p[:, part], u[:, [d]]) for d, part in enumerate(slices(parts))]
    return np.stack(chosen, axis=1) * 1.0


def invert(p, u):
    """For each row of p (N, K) the k whose interval of [0, 1) contains u (N, 1); (N,)."""
    last = p.shape[1] - 1 - np.argmax(p[:, ::-1] > 0, axis=1)
    return np.minimum(np.sum(np.cumsum(p, axis=1) <= u, axis=1), last)


def mode(logits, parts):
    """The most likely choices, the first in a tie; (N, D)."""
    return np.stack([np.argmax(logits[:, part], axis=1) for part in slices(parts)], axis=1)


def onehot(act, parts):
    """(N, D) choices -> (N, A) of False and True."""
    choice = np.arange(np.sum(parts)) - np.repeat(starts(parts), parts)
    return spread(act, parts) == choice


def logp(act, logits, parts):
    """log p(a) = sum_d log_softmax(part d)[a_d]; (N,)."""
    logs = np.where(onehot(act, parts), log_softmax(logits, parts), 0.0)
    return np.sum(logs, axis=1).astype(logits.dtype)


def adjoint(w, act, logits, parts):
    """d/dlogits of sum_n w_n log p(a_n) = w (onehot(a) - p), (N, A); an empty dlog_std, (0,)."""
    p = np.exp(log_softmax(logits, parts))
    dlogits = w[:, None] * (onehot(act, parts) - p)
    return dlogits.astype(logits.dtype), np.zeros(0)


def metric(tlogits, logits, parts):
    """The Fisher matrix of the logits times a tangent: p (t - p.t) per part; (N, A)."""
    p = np.exp(log_softmax(logits, parts))
    mean = np.add.reduceat(p * tlogits, starts(parts), axis=1)
    return (p * (tlogits - spread(mean, parts))).astype(logits.dtype)


def constant_metric(parts):
    """None: the metric depends on the state."""
    return None


def kl(logits, parts, logits_new, parts_new):
    """KL(old || new) = sum_k p_k (expm1(d_k) - d_k), d = log p' - log p; (N,).

    Equal to sum_k p_k (log p_k - log p'_k), since sum_k p_k expm1(d_k) = sum p' - sum p = 0; but
    every term is >= 0, which keeps small divergences precise and non-negative. A choice with
    probability 0 before and after contributes nothing.
    """
    old, new = log_softmax(logits, parts), log_softmax(logits_new, parts)
    p = np.exp(old)
    d = np.where((p > 0) | (np.exp(new) > 0), new - old, 0.0)
    return np.sum(p * (np.expm1(d) - d), axis=1).astype(logits.dtype)


def entropy(logits, parts):
    """The mean over samples of -sum_k p_k log p_k."""
    logs = log_softmax(logits, parts)
    return -np.sum(np.exp(logs) * logs) / len(logs)


def entropy_adjoint(logits, parts):
    """d/dlogits of each sample's entropy H, -p (log p + H) per part, (N, A); dlog_std (0,)."""
    logs = log_softmax(logits, parts)
    p = np.exp(logs)
    minus_H = np.add.reduceat(p * logs, starts(parts), axis=1)
    return -p * (logs - spread(minus_H, parts)), np.zeros(0)
