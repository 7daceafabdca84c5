"""The table of action distributions. A new one needs a file of functions and an entry here.

`extra` are the distribution's parameters besides the network's outputs: log_std (A,) if it has one,
else parts (D,). The functions document their formulas and shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import bernoulli, categorical, gaussian


@dataclass(frozen=True)
class Distribution:
    log_std_curvature: float  # log_std's Fisher matrix is this times I; 0: there is no log_std
    sample: Callable  # (stream, items, outputs, extra)
    mode: Callable  # (outputs, extra)
    logp: Callable  # (act, outputs, extra)
    adjoint: Callable  # (w, act, outputs, extra) -> doutputs, dlog_std / N
    metric: Callable  # (toutputs, outputs, extra)
    constant_metric: Callable  # (extra) -> diagonal of the metric, or None if it varies
    kl: Callable  # (outputs, extra, outputs_new, extra_new)
    entropy: Callable  # (outputs, extra) -> mean over samples
    entropy_adjoint: Callable  # (outputs, extra) -> doutputs of each sample's, dlog_std


def _entry(module, log_std_curvature):
    functions = list(Distribution.__dataclass_fields__)[1:]
    return Distribution(log_std_curvature, *(getattr(module, name) for name in functions))


DISTRIBUTIONS = {
    "gaussian": _entry(gaussian, gaussian.LOG_STD_CURVATURE),
    "categorical": _entry(categorical, 0.0),
    "bernoulli": _entry(bernoulli, 0.0),
}
