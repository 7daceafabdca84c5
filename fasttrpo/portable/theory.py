"""The stages of an update one at a time, on a batch set by the caller."""

from __future__ import annotations

import numpy as np

from fasttrpo.errors import UserError, UserRuntimeError

from ..checks import arrays
from . import cg, critic, fisher, gradient, line_search, preconditioner
from .work import Batch


class Theory:
    """The stages, on the parameters in an agent's memory; letters as in `Agent`."""

    def __init__(self, memory):
        self._memory = memory

    def load_batch(self, obs, act, adv, ret=None, logp=None, mask=None):
        """Set obs (N, F), network inputs; act (N, D); adv, ret, logp (N,); mask (N, A) as in `act`.

        logp None: those at theta. Discards the rollout in progress; act and record drop the batch.
        """
        memory, model = self._memory, self._memory.model
        N, limit = len(obs), model.settings.n_steps * model.settings.n_envs
        if not 0 < N <= limit:
            raise UserError(f"the batch has {N} rows, not 1..{limit} (n_steps * n_envs)")
        obs = memory.rows(obs, model.n_inputs)
        act = memory.actions(act, N, "row")
        mask = memory.mask(mask, N, act)
        adv = memory.column("advantage", adv, N, np.float64)
        ret = None if ret is None else memory.column("return", ret, N, np.float64)
        logp = None if logp is None else memory.column("log-probability", logp, N, model.real)
        memory.discard()
        memory.load(Batch(model, memory.state, obs, act, adv, ret, logp, mask))

    def gradient(self):
        """The surrogate's gradient at the current theta; (P,)."""
        return gradient.surrogate_gradient(self._memory.loaded())

    def fisher_product(self, v):
        """F v, undamped, on the Fisher rows; (P,)."""
        return fisher.product(self._memory.policy_vector("v", v), self._memory.loaded())

    def precondition(self, r):
        """M^-1 r with the K-FAC factors, which are built on first use; (P,).

        Raises RuntimeError if the agent has none, that is with preconditioner="none".
        """
        self._memory.loaded()
        if self._memory.model.settings.preconditioner == "none":
            raise UserRuntimeError(arrays.NO_FACTORS)
        blocks = self._memory.factors()
        r = self._memory.policy_vector("r", r)
        return preconditioner.policy_solve(blocks, r, self._memory.loaded())

    def evaluate(self, theta):
        """(surr, kl, entropy) of a trial theta (P,) compared with the current one."""
        theta = self._memory.policy_vector("theta", theta)
        return line_search.evaluate(theta, self._memory.loaded())

    def solve(self):
        """CG on the batch's gradient: x (P,), and its cg_steps, cg_residual and curvature."""
        memory = self._memory
        blocks = memory.factors() if memory.model.settings.preconditioner == "kfac" else None
        solution = cg.solve_policy(self.gradient(), self._memory.loaded(), blocks)._asdict()
        return solution.pop("x"), solution

    def outputs(self):
        """The policy's outputs on the batch: means or logits; (N, A) real."""
        return self._memory.loaded().policy.output.copy()

    def value_gradient(self):
        """d/dvalue_theta of 1/2 mean (V - ret)^2; (Pv,)."""
        batch = self._memory.loaded()
        if batch.ret is None:
            raise UserRuntimeError("the batch has no returns: give load_batch ret")
        return gradient.value_gradient(batch.value, batch.ret)

    def fit_value(self):
        """Fit the critic as an update does; returns the resulting mean (V - ret)^2."""
        batch = self._memory.loaded()
        if batch.ret is None:
            raise UserRuntimeError("the batch has no returns: give load_batch ret")
        state, loss = critic.fit(batch)
        self._memory.adopt(state)
        return loss

    def value_product(self, v):
        """1/N J'J v of the critic, undamped, on all rows; (Pv,)."""
        return fisher.value_product(self._memory.value_vector("v", v), self._memory.loaded().value)
