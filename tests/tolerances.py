"""Tolerances for two computations of the same numbers: one entry per reason to differ.

Errors are relative to the largest expected entry, so that a vector has one error.
"""

from __future__ import annotations

import numpy as np

ROUNDING = 1e-12  # float64, the same formula with sums in another order
DENSE = 1e-10  # float64, against explicitly formed matrices and sums
SOLVED = 1e-8  # float64, through a linear system of moderate condition
DIFFERENCES = 1e-7  # 4th-order central differences
SECOND_DIFFERENCES = 1e-5  # second differences
SAMPLING = 4.0  # standard errors of a mean of random draws

# Two backends over complete updates: rounding, amplified by conjugate gradient and later stages.
UPDATES = {"float64": 1e-11, "float32": 1e-3}
# A Gauss-Newton critic's parameters: least accurate where its values hardly depend on them.
FITTED = {"float64": 1e-10, "float32": 3e-2}
# Without a linear system: one pass over a batch.
PASSES = {"float64": 1e-12, "float32": 1e-4}


def assert_close(actual, expected, tolerance, name=""):
    """max |actual - expected| <= tolerance max |expected|, and the same shape; NaN equals NaN."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    scale = np.max(np.abs(expected), initial=0.0)
    assert np.isfinite(scale) or np.isnan(expected).all(), f"{name}: no finite expected value"
    assert actual.shape == expected.shape, name  # what NumPy 2's strict=True adds
    atol = tolerance * np.nan_to_num(scale)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol, err_msg=name)
