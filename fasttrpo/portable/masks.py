"""Action masks: which choices a row allows.

After every forward pass of the policy a forbidden choice's output is replaced by FORBIDDEN, and an
allowed one's is kept above it. The forbidden choice then has probability exactly 0, before and
after a step, so that nothing computed from the outputs needs to handle masks: log-probabilities, KL
and entropy are those of the allowed choices, and adjoint and metric have no component along the
replaced output, which no longer depends on theta.
"""

from __future__ import annotations

import numpy as np

# -2^100, which float32 and float64 both represent: far below any allowed choice's output, and far
# enough from overflow that differences of outputs are finite.
FORBIDDEN = -(2.0**100)


def forbid(output, mask):
    """The outputs (n, A), with FORBIDDEN where mask (n, A) bool is False and at least half of that
    elsewhere (NaN stays NaN, so that a step that overflows is rejected). mask None: unchanged.
    """
    if mask is None:
        return output
    forbidden = output.dtype.type(FORBIDDEN)
    return np.where(mask, np.maximum(output, forbidden / 2), forbidden)
