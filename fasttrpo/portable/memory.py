"""Shared by an agent and its theory: model, state, rollout, and loaded batch."""

from __future__ import annotations

from dataclasses import replace

from fasttrpo.errors import UserRuntimeError

from ..checks import arrays
from . import preconditioner
from .rollout import Rollout
from .work import Model, initial_state


class Memory:
    """settings: `fasttrpo.settings.agent.AgentSettings`; dtype: `real`, float32 or float64."""

    def __init__(self, settings, dtype):
        self.model = Model(settings, dtype)
        self.rollout = Rollout(self.model)
        self.batch = None
        self.adopt(initial_state(self.model))

    def restart(self, state):
        """Adopt a state set by the user, discarding the rollout in progress."""
        self.rollout.clear()
        self.adopt(replace(state, theta=self.model.clamp(state.theta)))

    def adopt(self, state):
        """Make `state` the current one, and update everything that depends on it."""
        self.state = state
        self.policy_weights = self.model.policy_weights(state.theta)
        self.value_weights = self.model.value_weights(state.value_theta)
        self.load(self.batch and self.batch.at(state))

    def load(self, batch):
        """Make `batch`, or None, the one that the theory uses."""
        self.batch, self._blocks = batch, None

    def loaded(self):
        """The batch; RuntimeError if there is none."""
        if self.batch is None:
            raise UserRuntimeError("no batch is loaded: call load_batch first")
        return self.batch

    def factors(self):
        """The K-FAC factors of the batch, built on first use."""
        if self._blocks is None:
            self._blocks = preconditioner.policy_blocks(self.loaded())
        return self._blocks

    def discard(self):
        """Discard the rollout in progress and rewind its random draws."""
        n_acts = self.state.n_acts - self.rollout.drawn
        self.state = replace(self.state, n_acts=n_acts)
        self.rollout.clear()

    # -- checked input

    def rows(self, obs, size):
        """Observations (n, size) real, all finite."""
        obs = arrays.as_array("observation", obs, (len(obs), size), self.model.real)
        arrays.finite_rows("observation", obs)
        return obs

    def actions(self, act, n, noun, step=None):
        """(n, D) real, each valid."""
        s = self.model.settings
        act = arrays.as_array("action", act, (n, self.model.n_actions), self.model.real)
        arrays.actions(act, s.distribution, s.parts, noun, step)
        return act

    def mask(self, mask, n, act=None, noun="row", step=None):
        """(n, A) bool, or None; it must allow the given actions, if any."""
        s = self.model.settings
        mask = arrays.mask_rows(mask, n, s.distribution, s.parts)
        arrays.masks(mask, act, s.parts, noun, step)
        return mask

    def column(self, name, values, n, dtype):
        """(n,) finite numbers."""
        column = arrays.as_array(name, values, (n,), dtype)
        arrays.finite_rows(name, column)
        return column

    def policy_vector(self, name, vector):
        """(P,) finite numbers."""
        return arrays.finite_vector(name, vector, self.model.n_parameters)

    def value_vector(self, name, vector):
        """(Pv,) finite numbers."""
        return arrays.finite_vector(name, vector, self.model.value.n_parameters)
