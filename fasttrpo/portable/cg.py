"""Stage 3c: preconditioned conjugate gradient (Hestenes and Stiefel 1952), for H x = g."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import fisher, preconditioner


class Solution(NamedTuple):
    x: np.ndarray  # (P,)
    cg_steps: int  # steps taken: changes of x
    cg_residual: float  # sqrt(r'z / r'z at the start)
    curvature: float  # x'Hx


def zero_solution(theta):
    """The solution x = 0 of an update without a solve."""
    return Solution(np.zeros_like(theta), 0, 0.0, 0.0)


def conjugate_gradient(product, g, max_steps, tolerance, precondition=None):
    """x with H x ~ g; product(p) = H p, precondition(r) = M^-1 r, or r if None.

    Stops after max_steps products, when sqrt(r'z) has fallen to `tolerance` times its initial
    value, or at a direction whose curvature p'Hp is not positive and finite.
    """
    precondition = precondition or np.copy
    x, r, steps = np.zeros_like(g), g.copy(), 0
    z = precondition(r)
    p = z.copy()
    rz = start = r @ z
    while steps < max_steps:
        q = product(p)
        pq = p @ q
        if not (pq > 0 and np.isfinite(pq)):
            break
        a = rz / pq
        x += a * p
        r -= a * q
        steps += 1
        z = precondition(r)
        before, rz = rz, r @ z
        if not rz > tolerance * tolerance * start:
            break
        p = z + (rz / before) * p
    residual = float(np.sqrt(max(rz, 0.0) / start)) if start > 0 else 0.0
    return Solution(x, steps, residual, float(x @ (g - r)))


def solve_policy(grad, batch, blocks=None):
    """(F + cg_damping I) x = g on the batch; blocks: the preconditioner's, if already built."""
    s = batch.model.settings

    def product(v):
        return fisher.product(v, batch) + batch.damping * v

    def kfac(r):
        return preconditioner.policy_solve(blocks, r, batch)

    if s.preconditioner == "kfac" and blocks is None:
        blocks = preconditioner.policy_blocks(batch)
    precondition = kfac if s.preconditioner == "kfac" else None
    return conjugate_gradient(product, grad, s.cg_max_steps, s.cg_tolerance, precondition)
