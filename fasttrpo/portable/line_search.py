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


def line_search(evaluate, theta, step, surr_old, target_kl, shrink, max_trials):
    """The first of theta + shrink^j step, j = 0, 1, ..., with kl <= target_kl and surr > surr_old.

    evaluate(theta) = surr, kl. Returns theta (the old one if none was accepted), accepted, trials,
    and surr and kl of the last trial. NaN is never accepted.
    """
    surr = kl = np.nan
    for j in range(max_trials):
        trial = theta + shrink**j * step
        surr, kl = evaluate(trial)
        if kl <= target_kl and surr > surr_old:
            return trial, True, j + 1, surr, kl
    return theta.copy(), False, max_trials, surr, kl


def search(batch, x, beta):
    """The line search along beta x, from the batch's parameters: Step."""
    s, theta, surr_now = batch.model.settings, batch.state.theta, surrogate(batch.logp_now, batch)
    trial, accepted, trials, surr, kl = line_search(
        lambda theta: evaluate(theta, batch)[:2],
        theta,
        beta * x,
        surr_now,
        s.target_kl,
        s.line_search_shrinking_factor,
        s.line_search_max_iter,
    )
    if not accepted:
        return stay(batch, trials)
    return Step(trial, True, surr - surr_now, kl, evaluate(trial, batch)[2], trials)


def stay(batch, trials=0):
    """No step: theta itself, not a copy that went through arithmetic."""
    entropy = batch.model.distribution.entropy(batch.policy.output, batch.extra)
    return Step(batch.state.theta, False, 0.0, 0.0, float(entropy), trials)
