"""Stage 2: the surrogate's gradient (Schulman et al. 2015, eq. 14), and the critic's."""

from __future__ import annotations

import numpy as np

from . import network


def surrogate_gradient(batch):
    """g = 1/N sum_n ratio_n adv_n dlogp_n/dtheta,  ratio = exp(logp(theta) - logp); (P,)."""
    difference = (batch.logp_now - batch.logp).astype(np.float64)
    w = np.exp(difference) * batch.adv
    doutput, dlog_std = batch.model.distribution.adjoint(
        w, batch.act, batch.policy.output, batch.extra
    )
    return np.concatenate([network.pullback(batch.policy, doutput), dlog_std])


def value_gradient(value, ret):
    """d/dvalue_theta of 1/2 mean (V - ret)^2 = 1/N J'(V - ret); (Pv,)."""
    error = value.output - ret[:, None]
    return network.pullback(value, error.astype(value.output.dtype))
