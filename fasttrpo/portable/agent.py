"""A TRPO agent with the same methods as the compiled one.

It checks and converts its arguments and passes them to the stages. Errors change nothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fasttrpo.errors import UserRuntimeError

from ..checks import arrays
from . import features, masks, network, rng, serialize
from .memory import Memory
from .theory import Theory
from .update import update


class Agent:
    """settings: `fasttrpo.settings.agent.AgentSettings`; dtype: `real`, float32 or float64.

    theory  the stages of an update one at a time, on the same parameters

    E environments, O observation size, D action components, P and Pv parameters of policy and
    critic.
    """

    def __init__(self, settings, dtype=np.float32):
        memory = self._memory = Memory(settings, dtype)
        self._model, self._rollout = memory.model, memory.rollout
        self.theory = Theory(memory)

    @property
    def settings(self):
        """The AgentSettings it was made from, with later changes."""
        return self._model.settings

    @property
    def real(self):
        return self._model.real

    @property
    def instruction_set(self):
        """The name of the kernels; there is one set here."""
        return "portable"

    @property
    def n_threads(self):
        """One, whatever the settings say."""
        return 1

    @property
    def n_recorded(self):
        """Complete rows of the rollout in progress."""
        return self._rollout.t

    @property
    def target_kl(self):
        """The size of the trust region, in nats. Changes apply from the next update on."""
        return self._model.settings.target_kl

    @target_kl.setter
    def target_kl(self, value):
        self._model.change(target_kl=arrays.positive("target_kl", value))

    @property
    def learning_rate(self):
        """Adam's step size. Changes apply from the next update on."""
        return self._model.settings.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        self._model.change(learning_rate=arrays.positive("learning_rate", value))

    @property
    def cg_damping(self):
        """The number that the next update adds to the Fisher matrix's diagonal."""
        return self._model.damping(self._memory.state)

    @property
    def theta(self):
        """The policy's parameters, a copy (P,) float64.

        Setting them discards the rollout in progress and updates a loaded batch. log_std is clamped
        to its bounds, here and by load_state.
        """
        return self._memory.state.theta.copy()

    @theta.setter
    def theta(self, value):
        self._memory.restart(
            replace(self._memory.state, theta=self._memory.policy_vector("theta", value))
        )

    @property
    def value_theta(self):
        """The critic's parameters, a copy (Pv,) float64."""
        return self._memory.state.value_theta.copy()

    @value_theta.setter
    def value_theta(self, value):
        value_theta = self._memory.value_vector("value_theta", value)
        self._memory.restart(replace(self._memory.state, value_theta=value_theta))

    # -- collecting

    def act(self, obs, mask=None):
        """Draw actions for obs (E, O): act (E, D), logp (E,), val (E,). Opens row t.

        mask (E, A) of 0 and 1: the allowed choices (categorical only); None: all.
        """
        obs = self._step_obs(obs)
        mask = self._memory.mask(mask, len(obs), None, "environment", self._rollout.t)
        s, output = self._memory.state, self._outputs(obs, mask)
        stream = rng.Stream(s.seed, rng.ACTION, s.n_acts)
        action = self._sample(stream, output)
        logp, val = self._open_row(obs, action, output, mask)
        self._memory.state = replace(s, n_acts=s.n_acts + 1)
        self._rollout.drawn += 1
        return action, logp, val

    def record(self, obs, act, mask=None):
        """As `act`, with the caller's actions (E, D): logp (E,), val (E,). Draws nothing."""
        obs = self._step_obs(obs)
        action = self._memory.actions(act, len(obs), "environment", self._rollout.t)
        mask = self._memory.mask(mask, len(obs), action, "environment", self._rollout.t)
        return self._open_row(obs, action, self._outputs(obs, mask), mask)

    def push(self, rew, term, trunc, next_obs, skip=None):
        """Complete row t with the step's outcome, each (E,), and next_obs (E, O) before any reset.

        skip marks environments in which no step happened; the rest of their row is ignored.
        """
        step = self._rollout.check_push(rew, term, trunc, next_obs, skip)
        rew, term, trunc, next_obs, skip = step
        boot = self._values(np.where(skip[:, None], 0, next_obs).astype(self.real))
        self._rollout.write_push(rew, term, trunc, boot, skip)

    def discard(self):
        """Discard the rollout in progress and rewind its random draws."""
        self._memory.discard()

    def restart(self):
        """Call when all environments are reset: discard the rollout and the running returns."""
        self.discard()
        nothing = np.zeros_like(self._memory.state.rew_running)
        self._memory.state = replace(self._memory.state, rew_running=nothing)

    def update(self):
        """One TRPO iteration on the complete rows; its record (see update.py)."""
        if self._rollout.pending:
            raise UserRuntimeError("the last step is not complete: call push before update")
        state, record = update(self._rollout, self._memory.state)
        self._rollout.clear()
        self._memory.adopt(state)
        return record

    # -- using

    def predict(self, obs, deterministic, mask=None):
        """Actions (n, D) for obs (n, O), without recording them or affecting training.

        mask (n, A) as in `act`.
        """
        obs = self._rows_obs(obs)
        output = self._outputs(obs, self._memory.mask(mask, len(obs)))
        if deterministic:
            extra = self._model.extra(self._memory.state.theta)
            return self._model.distribution.mode(output, extra).astype(self.real)
        s = self._memory.state
        self._memory.state = replace(s, n_predicts=s.n_predicts + 1)
        return self._sample(rng.Stream(s.seed, rng.PREDICT, s.n_predicts), output)

    def outputs(self, obs, mask=None):
        """The action distribution's parameters (n, A) for obs (n, O): means or logits.

        mask (n, A) as in `act`; a forbidden choice has the logit -2^100.
        """
        obs = self._rows_obs(obs)
        return self._outputs(obs, self._memory.mask(mask, len(obs)))

    def value(self, obs):
        """V (n,) for obs (n, O)."""
        return self._values(self._rows_obs(obs))

    def state(self):
        """The state between rollouts: {name: float64 vector}."""
        return serialize.pack(self._memory.state)

    def load_state(self, state):
        """Load what `state` returned, completely or not at all. Discards the rollout."""
        self._memory.restart(serialize.unpack(state, self._memory.state))

    # -- helpers

    def _inputs(self, raw):
        """Network inputs (n, F) of raw observations (n, O)."""
        return features.make_inputs(raw, self._memory.state, self._model.settings)

    def _outputs(self, raw, mask):
        """The policy's outputs for raw observations; (n, A) real."""
        at = network.forward(self._model.policy, self._memory.policy_weights, self._inputs(raw))
        return masks.forbid(at.output, mask)

    def _values(self, raw):
        """V for raw observations; (n,) real."""
        inputs = self._model.value_inputs(self._inputs(raw))
        return network.forward(self._model.value, self._memory.value_weights, inputs).output[:, 0]

    def _sample(self, stream, output):
        """Actions (n, D) real; row i uses the random numbers of item i."""
        model, extra = self._model, self._model.extra(self._memory.state.theta)
        items = np.arange(len(output))
        return model.distribution.sample(stream, items, output, extra).astype(self.real)

    def _open_row(self, obs, action, output, mask):
        extra = self._model.extra(self._memory.state.theta)
        logp, val = self._model.distribution.logp(action, output, extra), self._values(obs)
        self._rollout.write_act(obs, action, logp, val, mask)
        self._memory.load(None)
        return logp, val

    def _step_obs(self, obs):
        self._rollout.check_act()
        s = self._model.settings
        obs = arrays.as_array("observation", obs, (s.n_envs, s.obs_size), self.real)
        arrays.finite_rows("observation", obs, "environment", self._rollout.t)
        return obs

    def _rows_obs(self, obs):
        return self._memory.rows(obs, self._model.settings.obs_size)
