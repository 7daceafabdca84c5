"""Stage 2: the surrogate's gradient (Schulman et al. 2015, eq. 14), and the critic's."""

from __future__ import annotations

import numpy as np

from . import network


def surrogate_gradient(batch):
    """g = 1/N sum_n ratio_n adv_n dlogp_n/dtheta + c dH_n/dtheta; (P,).

    ratio = exp(logp(theta) - logp), H_n the entropy in row n, c = ent_coef. The component of a
    log_std at a bound that it would cross is 0.
    """
    difference = (batch.current_logp - batch.logp).astype(np.float64)
    w = np.exp(difference) * batch.adv
    s, distribution = batch.model.settings, batch.model.distribution
    c = s.ent_coef
    output, extra = batch.policy.output, batch.extra
    doutput, dlog_std = distribution.adjoint(w, batch.act, output, extra)
    if c > 0:
        dH, dH_log_std = distribution.entropy_adjoint(output, extra)
        doutput, dlog_std = (doutput + c * dH).astype(output.dtype), dlog_std + c * dH_log_std
    if len(dlog_std):
        falls = (extra <= s.log_std_min) & (dlog_std < 0)
        rises = (extra >= s.log_std_max) & (dlog_std > 0)
        dlog_std = np.where(falls | rises, 0.0, dlog_std)
    return np.concatenate([network.pullback(batch.policy, doutput), dlog_std])


def value_gradient(value, ret):
    """d/dvalue_theta of 1/2 mean (V - ret)^2 = 1/N J'(V - ret); (Pv,)."""
    error = value.output - ret[:, None]
    return network.pullback(value, error.astype(value.output.dtype))
