"""Stage 3a: curvature times a vector, without the matrix.

The Hessian of the mean KL at the current parameters is F = 1/N sum_n J_n' M_n J_n, with J the
Jacobian of the outputs and M the distribution's Fisher metric in them; log_std has a separate
block, log_std_curvature I. (Schraudolph 2002, "Fast curvature matrix-vector products"; Schulman et
al. 2015, app. C)
"""

from __future__ import annotations

import numpy as np

from . import network


def product(v, batch):
    """F v on the Fisher rows: tangent forward, metric, adjoint backward; (P,)."""
    distribution, at = batch.model.distribution, batch.fisher_rows
    n = at.network.n_parameters
    toutput = network.tangent(at, v[:n])
    doutput = distribution.metric(toutput, at.output, batch.extra)
    return np.concatenate([network.pullback(at, doutput), distribution.log_std_curvature * v[n:]])


def value_product(v, value):
    """1/N J'J v, the critic's Gauss-Newton matrix: its metric is 1; (Pv,)."""
    return network.pullback(value, network.tangent(value, v))
