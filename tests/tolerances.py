"""How far two computations of the same numbers may lie apart: one entry per reason to differ.

Errors are relative to the largest entry of what is expected, so that a vector has one error.
"""

from __future__ import annotations

import numpy as np

ROUNDING = 1e-12  # float64, the same formula with sums in another order
DENSE = 1e-10  # float64, against matrices that were formed and sums that were written out
SOLVED = 1e-8  # float64, through a linear system of moderate condition
DIFFERENCES = 1e-7  # 4th-order central differences
SECOND_DIFFERENCES = 1e-5  # second differences
SAMPLING = 4.0  # standard errors of a mean of random draws

# Two backends over whole updates: rounding, amplified by conjugate gradient and by what follows.
UPDATES = {"float64": 1e-11, "float32": 1e-3}
# And a Gauss-Newton critic's parameters: least along directions that its values hardly feel.
FITTED = {"float64": 1e-10, "float32": 3e-2}
# The same where no system is solved: one pass over a batch.
PASSES = {"float64": 1e-12, "float32": 1e-4}


def assert_close(actual, expected, tolerance, name=""):
    """max |actual - expected| <= tolerance max |expected|, and the same shape; NaN equals NaN."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    scale = np.max(np.abs(expected), initial=0.0)
    assert np.isfinite(scale) or np.isnan(expected).all(), f"{name}: nothing finite to compare to"
    assert actual.shape == expected.shape, name  # what NumPy 2's strict=True adds
    atol = tolerance * np.nan_to_num(scale)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol, err_msg=name)
