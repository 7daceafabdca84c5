"""Stage 4: the step size, and backtracking until the trust region holds and the surrogate improves
(Schulman et al. 2015, app. C).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import network


class Step(NamedTuple):
    """What the policy step came to. theta is the old one where no trial was accepted."""

    theta: np.ndarray
    accepted: bool
    surr_gain: float
    kl: float
    entropy: float
    trials: int


def surrogate(logp, batch):
    """mean (exp(logp' - logp) - 1) adv: the surrogate, measured from the behaviour policy."""
    difference = (logp - batch.logp).astype(np.float64)
    return float(np.mean(np.expm1(difference) * batch.adv))


def evaluate(theta, batch):
    """(surrogate, mean KL(present || theta), mean entropy) of a trial theta on all N rows."""
    model, distribution = batch.model, batch.model.distribution
    with np.errstate(over="ignore", invalid="ignore"):
        extra = model.extra(theta)
        out = network.forward(model.policy, model.policy_weights(theta), batch.obs).output
        surr = surrogate(distribution.logp(batch.act, out, extra), batch)
        kl = distribution.kl(batch.policy.output, batch.extra, out, extra)
        return surr, float(np.mean(kl, dtype=np.float64)), float(distribution.entropy(out, extra))


def step_size(curvature, target_kl):
    """beta with beta^2/2 x'Hx = target_kl."""
    return float(np.sqrt(2.0 * target_kl / curvature))


def search(batch, x, beta):
    """The first of theta + beta shrink^j x, j = 0, 1, ..., that is acceptable: Step."""
    s, theta = batch.model.settings, batch.state.theta
    surr_now = surrogate(batch.logp_now, batch)
    for j in range(s.line_search_max_iter):
        trial = theta + (beta * s.line_search_shrinking_factor**j) * x
        surr, kl, entropy = evaluate(trial, batch)
        if kl <= s.target_kl and surr - surr_now > 0:
            return Step(trial, True, surr - surr_now, kl, entropy, j + 1)
    return stay(batch, s.line_search_max_iter)


def stay(batch, trials=0):
    """No step: theta itself, not a copy that went through arithmetic."""
    entropy = batch.model.distribution.entropy(batch.policy.output, batch.extra)
    return Step(batch.state.theta, False, 0.0, 0.0, float(entropy), trials)
