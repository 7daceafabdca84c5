"""Independent categoricals: component d chooses one of parts[d] numbers.

logits (N, A) real is the network's output, A = sum(parts), one part after the other; parts (D,)
int64. For each part p = softmax(its logits); log-probabilities, KL and entropy add over the parts.
Loops run over choices, and array operations over samples: fast as NumPy and as compiled code.
"""

from __future__ import annotations

import numpy as np

from . import rng
from .jit import jit


def n_words(parts):
    """Random words one sample takes: word 0 of one block per component."""
    return 4 * len(parts)


@jit
def log_softmax(logits, parts):
    """log p, per part: x - max - log sum exp(x - max); (N, A) float64."""
    out = logits.astype(np.float64)
    start = 0
    for size in parts:
        part = out[:, start : start + size]
        top = part[:, 0].copy()
        for k in range(1, size):
            top = np.maximum(top, part[:, k])
        total = np.zeros(len(out))
        for k in range(size):
            part[:, k] -= top
            total += np.exp(part[:, k])
        for k in range(size):
            part[:, k] -= np.log(total)
        start += size
    return out


def sample(word, logits, parts):
    """Invert the distribution function at u = uniform(word 0 of block d); (N, D) float64."""
    return pick(rng.uniforms(word[:, ::4].copy()), logits, parts)


@jit
def pick(u, logits, parts):
    """The smallest k with p_0 + ... + p_k > u (the last k if there is none); u (N, D)."""
    p = np.exp(log_softmax(logits, parts))
    act = np.zeros((len(p), len(parts)))
    start = 0
    for d in range(len(parts)):
        below = np.zeros(len(p))
        for k in range(parts[d] - 1):
            below += p[:, start + k]
            act[:, d] += below <= u[:, d]
        start += parts[d]
    return act


@jit
def mode(logits, parts):
    """The most likely choices, the first among equals; (N, D) float64."""
    act = np.zeros((len(logits), len(parts)))
    start = 0
    for d in range(len(parts)):
        best = logits[:, start].copy()
        for k in range(1, parts[d]):
            better = logits[:, start + k] > best
            act[:, d] = np.where(better, float(k), act[:, d])
            best = np.maximum(best, logits[:, start + k])
        start += parts[d]
    return act


@jit
def logp(act, logits, parts):
    """log p(a) = sum_d log_softmax(part d)[a_d]; (N,)."""
    logs = log_softmax(logits, parts)
    total = np.zeros(len(logs))
    start = 0
    for d in range(len(parts)):
        for k in range(parts[d]):
            total += np.where(act[:, d] == k, logs[:, start + k], 0.0)
        start += parts[d]
    return total.astype(logits.dtype)


@jit
def adjoint(w, act, logits, parts):
    """d/dlogits of sum_n w_n log p(a_n) = w (onehot(a) - p), (N, A); and no dlog_std, (0,)."""
    p = np.exp(log_softmax(logits, parts))
    dlogits = np.empty_like(logits)
    start = 0
    for d in range(len(parts)):
        for k in range(parts[d]):
            chosen = np.where(act[:, d] == k, 1.0, 0.0)
            dlogits[:, start + k] = w * (chosen - p[:, start + k])
        start += parts[d]
    return dlogits, np.zeros(0)


@jit
def metric(tlogits, logits, parts):
    """The Fisher matrix of the logits times a tangent: p (t - p.t) per part; (N, A)."""
    p = np.exp(log_softmax(logits, parts))
    out = np.empty_like(logits)
    start = 0
    for size in parts:
        mean = np.zeros(len(p))
        for k in range(start, start + size):
            mean += p[:, k] * tlogits[:, k]
        for k in range(start, start + size):
            out[:, k] = p[:, k] * (tlogits[:, k] - mean)
        start += size
    return out


def constant_metric(parts):
    """None: the metric depends on the state."""
    return None


@jit
def kl(logits, parts, logits_new, parts_new):
    """KL(old || new) = sum_k p_k (expm1(d_k) - d_k), d = log p' - log p; (N,).

    Equal to sum_k p_k (log p_k - log p'_k), as sum_k p_k expm1(d_k) = sum p' - sum p = 0; but each
    term is >= 0, so that small divergences keep their digits and none comes out negative.
    """
    old = log_softmax(logits, parts)
    d = log_softmax(logits_new, parts_new) - old
    return np.sum(np.exp(old) * (np.expm1(d) - d), axis=1).astype(logits.dtype)


@jit
def entropy(logits, parts):
    """The mean over samples of -sum_k p_k log p_k."""
    logs = log_softmax(logits, parts)
    return -np.sum(np.exp(logs) * logs) / len(logs)
