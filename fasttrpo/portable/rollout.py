"""The rollout in progress: up to T rows (steps) of E environments."""

from __future__ import annotations

import numpy as np

from fasttrpo.errors import UserRuntimeError

from ..checks import arrays


class Rollout:
    """Rows 0..t-1 are complete; row t is `pending` between act (or record) and push."""

    def __init__(self, model):
        s = model.settings
        T, E = s.n_steps, s.n_envs
        self.model = model
        # written by act / record
        self.raw = np.zeros((T, E, s.obs_size), model.real)  # observations before normalisation
        self.act = np.zeros((T, E, model.n_actions), model.real)
        self.mask = np.ones((T, E, model.n_outputs), bool)  # allowed choices
        self.logp = np.zeros((T, E), model.real)
        self.val = np.zeros((T, E), model.real)
        # written by push
        self.rew = np.zeros((T, E))
        self.term = np.zeros((T, E), bool)
        self.trunc = np.zeros((T, E), bool)
        self.skip = np.zeros((T, E), bool)  # no step happened
        self.boot = np.zeros((T, E), model.real)  # V(next_obs), except after a termination
        self.clear()

    def clear(self):
        self.t, self.pending = 0, False
        self.drawn = 0  # act calls, undone if the rollout is discarded
        self.has_masks = False  # some row has a mask

    def check_act(self):
        if self.pending:
            raise UserRuntimeError("the last step is not complete: call push before the next act")
        if self.t == len(self.rew):
            raise UserRuntimeError(f"the rollout is full ({self.t} steps): call update")

    def write_act(self, raw, act, logp, val, mask):
        """Write the first half of row t. Cannot fail."""
        t, self.pending = self.t, True
        self.raw[t], self.act[t], self.logp[t], self.val[t] = raw, act, logp, val
        self.mask[t] = True if mask is None else mask
        self.has_masks |= mask is not None

    def check_push(self, rew, term, trunc, next_obs, skip):
        """The step's outcome as checked arrays; writes nothing."""
        if not self.pending:
            raise UserRuntimeError("no step is open: call act or record before push")
        E, O = self.raw.shape[1:]  # noqa: E741
        skip = np.zeros(E, bool) if skip is None else arrays.as_array("skip", skip, (E,), bool)
        rew = arrays.as_array("reward", rew, (E,), np.float64)
        term = arrays.as_array("terminated", term, (E,), bool)
        trunc = arrays.as_array("truncated", trunc, (E,), bool)
        next_obs = arrays.as_array("next observation", next_obs, (E, O), self.model.real)
        arrays.finite_rows("reward", rew, "environment", self.t, skip)
        arrays.finite_rows("next observation", next_obs, "environment", self.t, skip)
        return rew, term, trunc, next_obs, skip

    def write_push(self, rew, term, trunc, boot, skip):
        """Write the second half of row t, completing it; boot (E,) = V(next_obs).

        An episode still running before a skipped row counts as truncated there.
        """
        t = self.t
        if t > 0:
            self.trunc[t - 1] |= skip & ~self.skip[t - 1] & ~self.term[t - 1]
        self.skip[t] = skip
        self.rew[t] = np.where(skip, 0.0, rew)
        self.term[t], self.trunc[t] = term, trunc
        self.boot[t] = np.where(term | skip, 0, boot)
        self.t, self.pending = t + 1, False
