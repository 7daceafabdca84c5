"""Stage 4: the step size, and the backtracking line search (Schulman et al. 2015, app. C)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import masks, network

# The test that a trial fails.
NOT_REJECTED, TOO_FAR, NO_IMPROVEMENT, NOT_FINITE = "", "kl", "improvement", "not finite"


class Step(NamedTuple):
    """The outcome of the policy step. theta is the old one if no trial was accepted."""

    theta: np.ndarray
    rejected: str
    surr_gain: float  # of the last trial, accepted or not
    kl: float  # likewise
    entropy: float
    trials: int


def surrogate(logp, entropy, batch):
    """mean (exp(logp' - logp) - 1) adv, measured from the behaviour policy, + ent_coef entropy'."""
    difference = (logp - batch.logp).astype(np.float64)
    surr = float(np.mean(np.expm1(difference) * batch.adv))
    c = batch.model.settings.ent_coef
    return surr + c * entropy if c > 0 else surr


def evaluate(theta, batch):
    """(surrogate, mean KL(current || theta), mean entropy) of a trial theta on all N rows; with
    kl_direction="reverse" the mean of KL(theta || current).
    """
    model, distribution = batch.model, batch.model.distribution
    with np.errstate(over="ignore", invalid="ignore"):
        extra = model.extra(theta)
        out = network.forward(model.policy, model.policy_weights(theta), batch.obs).output
        out = masks.forbid(out, batch.mask)
        entropy = float(distribution.entropy(out, extra))
        surr = surrogate(distribution.logp(batch.act, out, extra), entropy, batch)
        current, trial = (batch.policy.output, batch.extra), (out, extra)
        forward = model.settings.kl_direction == "forward"
        kl = distribution.kl(*current, *trial) if forward else distribution.kl(*trial, *current)
        return surr, float(np.mean(kl, dtype=np.float64)), entropy


def step_size(curvature, target_kl):
    """beta with beta^2/2 x'Hx = target_kl."""
    return float(np.sqrt(2.0 * target_kl / curvature))


def line_search(
    evaluate,
    theta,
    step,
    surr_old,
    kl_limit,
    shrink,
    max_trials,
    acceptance="improvement",
    clamp=np.copy,
    scale=1.0,
):
    """The first of theta + scale shrink^j step, j = 0, 1, ..., that `acceptance` accepts:

    "improvement" kl <= kl_limit and surr > surr_old; "kl" kl <= kl_limit; "always" the full step;
    never a trial that is not finite.

    clamp(theta) clamps a trial before it is evaluated; evaluate(theta) = surr, kl. Returns theta
    (the old one if none was accepted), why the last trial was rejected ("" if it was not), trials,
    and surr and kl of the last one.
    """
    max_trials = 1 if acceptance == "always" else max_trials
    for trials in range(1, max_trials + 1):
        trial = clamp(theta + scale * step)
        surr, kl = evaluate(trial)
        rejected = find_rejection(trial, surr, kl, kl_limit, surr_old, acceptance)
        if not rejected:
            return trial, NOT_REJECTED, trials, surr, kl
        scale *= shrink  # as in C: powers would have other bits
    return theta.copy(), rejected, max_trials, surr, kl


def find_rejection(theta, surr, kl, kl_limit, surr_old, acceptance):
    """The first test that a trial fails; "" if it is accepted."""
    if not (np.isfinite(kl) and np.isfinite(surr) and np.isfinite(theta).all()):
        return NOT_FINITE
    if acceptance == "always":
        return NOT_REJECTED
    if not kl <= kl_limit:
        return TOO_FAR
    return NOT_REJECTED if acceptance == "kl" or surr > surr_old else NO_IMPROVEMENT


def search(batch, x, beta):
    """The line search along beta x, from the batch's parameters, as a Step."""
    s, theta = batch.model.settings, batch.state.theta
    current_surr = surrogate(batch.current_logp, current_entropy(batch), batch)
    trial, rejected, trials, surr, kl = line_search(
        lambda theta: evaluate(theta, batch)[:2],
        theta,
        x,
        current_surr,
        s.kl_slack * s.target_kl,
        s.line_search_shrinking_factor,
        s.line_search_max_iter,
        s.acceptance,
        batch.model.clamp,
        beta,
    )
    if rejected:
        return no_step(batch, rejected, surr - current_surr, kl, trials)
    return Step(trial, rejected, surr - current_surr, kl, evaluate(trial, batch)[2], trials)


def no_step(batch, rejected, surr_gain=0.0, kl=0.0, trials=0):
    """The Step that leaves theta bitwise unchanged."""
    return Step(batch.state.theta, rejected, surr_gain, kl, current_entropy(batch), trials)


def current_entropy(batch):
    """The mean entropy at the current parameters."""
    return float(batch.model.distribution.entropy(batch.policy.output, batch.extra))
