"""Action masks: which choices a row leaves open.

A forbidden choice's output is FORBIDDEN in place of what the network computed, after every forward
pass of the policy. Its probability is then exactly 0, before a step and after it, and what is
derived from the outputs need not know of masks: log-probabilities, KL and entropy are those of the
choices that are left, and adjoint and metric have no component along the output that was replaced,
as they must, since it no longer depends on theta.
"""

from __future__ import annotations

import numpy as np

# -2^100, which float32 and float64 both hold: far below an open choice's output, and so far from
# overflow that differences of outputs are finite.
FORBIDDEN = -(2.0**100)


def forbid(output, mask):
    """The outputs (n, A) with FORBIDDEN where mask (n, A) bool is False, and at least half of it
    elsewhere (NaN stays NaN: what overflows is no step); mask None: as they are.
    """
    if mask is None:
        return output
    forbidden = output.dtype.type(FORBIDDEN)
    return np.where(mask, np.maximum(output, forbidden / 2), forbidden)
