"""The door: a TRPO agent with the same methods as the compiled one.

It checks and converts what comes in, and hands it to the stages. After an error nothing has
changed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fasttrpo.errors import UserError, UserRuntimeError

from ..checks import arrays
from . import (
    cg,
    critic,
    features,
    fisher,
    gradient,
    line_search,
    masks,
    network,
    preconditioner,
    rng,
    serialize,
)
from .rollout import Rollout
from .update import update
from .work import Batch, Model, initial_state


class Agent:
    """settings: `fasttrpo.settings.agent.AgentSettings`; dtype: `real`, float32 or float64.

    E environments, O observation size, D action components, P and Pv parameters of policy and
    critic.
    """

    def __init__(self, settings, dtype=np.float32):
        self._model = Model(settings, dtype)
        self._rollout = Rollout(self._model)
        self._batch = None
        self._adopt(initial_state(self._model))

    @property
    def real(self):
        return self._model.real

    @property
    def instruction_set(self):
        """What the compiled core calls its kernels; there is one set here."""
        return "portable"

    @property
    def n_threads(self):
        """One, whatever the settings ask for."""
        return 1

    @property
    def n_recorded(self):
        """Complete rows of the rollout in progress."""
        return self._rollout.t

    @property
    def target_kl(self):
        """The trust region's size, in nats. What is set holds from the next update on."""
        return self._model.settings.target_kl

    @target_kl.setter
    def target_kl(self, value):
        self._model.change(target_kl=arrays.positive("target_kl", value))

    @property
    def learning_rate(self):
        """Adam's step size, likewise."""
        return self._model.settings.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        self._model.change(learning_rate=arrays.positive("learning_rate", value))

    @property
    def cg_damping(self):
        """What the next update adds to the Fisher matrix's diagonal."""
        return self._model.damping(self._state)

    @property
    def theta(self):
        """The policy's parameters, a copy (P,) float64.

        Setting them drops the rollout in progress; a loaded batch follows. A log_std beyond
        its bounds is moved to them, here and by load_state.
        """
        return self._state.theta.copy()

    @theta.setter
    def theta(self, value):
        self._restart(replace(self._state, theta=self._policy_vector("theta", value)))

    @property
    def value_theta(self):
        """The critic's parameters, a copy (Pv,) float64."""
        return self._state.value_theta.copy()

    @value_theta.setter
    def value_theta(self, value):
        value_theta = self._value_vector("value_theta", value)
        self._restart(replace(self._state, value_theta=value_theta))

    # -- collecting

    def act(self, obs, mask=None):
        """Draw actions for obs (E, O): act (E, D), logp (E,), val (E,). Opens row t.

        mask (E, A) of 0 and 1: the choices that are open (categorical only); None: all are.
        """
        obs = self._step_obs(obs)
        mask = self._mask(mask, len(obs), None, "environment", self._rollout.t)
        s, output = self._state, self._outputs(obs, mask)
        stream = rng.Stream(s.seed, rng.ACTION, s.n_acts)
        action = self._sample(stream, output)
        logp, val = self._open_row(obs, action, output, mask)
        self._state = replace(s, n_acts=s.n_acts + 1)
        self._rollout.drawn += 1
        return action, logp, val

    def record(self, obs, act, mask=None):
        """As `act`, with given actions (E, D): logp (E,), val (E,). Draws no random numbers."""
        obs = self._step_obs(obs)
        action = self._actions(act, len(obs), "environment", self._rollout.t)
        mask = self._mask(mask, len(obs), action, "environment", self._rollout.t)
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
        """Drop the rollout in progress, its random draws included."""
        n_acts = self._state.n_acts - self._rollout.drawn
        self._state = replace(self._state, n_acts=n_acts)
        self._rollout.clear()

    def restart(self):
        """The environments begin anew: drop the rollout, and the running returns of rewards."""
        self.discard()
        nothing = np.zeros_like(self._state.rew_running)
        self._state = replace(self._state, rew_running=nothing)

    def update(self):
        """One TRPO iteration on the complete rows; its record (see update.py)."""
        if self._rollout.pending:
            raise UserRuntimeError("the last step is not complete: call push before update")
        state, record = update(self._rollout, self._state)
        self._rollout.clear()
        self._adopt(state)
        return record

    # -- using

    def predict(self, obs, deterministic, mask=None):
        """Actions (n, D) for obs (n, O); records nothing, leaves the training's numbers alone.

        mask (n, A) as in `act`.
        """
        obs = self._rows_obs(obs)
        output = self._outputs(obs, self._mask(mask, len(obs)))
        if deterministic:
            extra = self._model.extra(self._state.theta)
            return self._model.distribution.mode(output, extra).astype(self.real)
        s = self._state
        self._state = replace(s, n_predicts=s.n_predicts + 1)
        return self._sample(rng.Stream(s.seed, rng.PREDICT, s.n_predicts), output)

    def value(self, obs):
        """V (n,) for obs (n, O)."""
        return self._values(self._rows_obs(obs))

    def state(self):
        """All that is remembered between rollouts: {name: float64 vector}."""
        return serialize.pack(self._state)

    def load_state(self, state):
        """The reverse; all or nothing. Empties the rollout."""
        self._restart(serialize.unpack(state, self._state))

    # -- the theory's pieces, on a batch set directly

    def load_batch(self, obs, act, adv, ret=None, logp=None, mask=None):
        """obs (N, F) as the networks see them (F features, or O); act (N, D); adv, ret, logp (N,).

        logp None: the present one. mask (N, A) as in `act`. Drops the rollout in progress; act and
        record drop the batch.
        """
        N, limit = len(obs), self._model.settings.n_steps * self._model.settings.n_envs
        if not 0 < N <= limit:
            raise UserError(f"the batch has {N} rows, not 1..{limit} (n_steps * n_envs)")
        obs = self._rows(obs, self._model.n_inputs)
        act = self._actions(act, N, "row")
        mask = self._mask(mask, N, act)
        adv = self._column("advantage", adv, N, np.float64)
        ret = None if ret is None else self._column("return", ret, N, np.float64)
        logp = None if logp is None else self._column("log-probability", logp, N, self.real)
        self.discard()
        self._batch = Batch(self._model, self._state, obs, act, adv, ret, logp, mask)
        self._blocks = None

    def gradient(self):
        """The surrogate's gradient at the present theta; (P,)."""
        return gradient.surrogate_gradient(self._loaded())

    def fisher_product(self, v):
        """F v, undamped, on the Fisher rows; (P,)."""
        return fisher.product(self._policy_vector("v", v), self._loaded())

    def precondition(self, r):
        """M^-1 r with the K-FAC factors, which are built on first use; (P,).

        RuntimeError for an agent that has none: settings with preconditioner="none".
        """
        self._loaded()
        if self._model.settings.preconditioner == "none":
            raise UserRuntimeError(arrays.NO_FACTORS)
        blocks = self._factors()
        return preconditioner.policy_solve(blocks, self._policy_vector("r", r), self._loaded())

    def evaluate(self, theta):
        """(surr, kl, entropy) of a trial theta (P,) against the present one."""
        return line_search.evaluate(self._policy_vector("theta", theta), self._loaded())

    def solve(self):
        """CG on the batch's gradient: x (P,), and its cg_steps, cg_residual and curvature."""
        blocks = self._factors() if self._model.settings.preconditioner == "kfac" else None
        solution = cg.solve_policy(self.gradient(), self._loaded(), blocks)._asdict()
        return solution.pop("x"), solution

    def outputs(self):
        """The policy's outputs on the batch: means or logits; (N, A) real."""
        return self._loaded().policy.output.copy()

    def value_gradient(self):
        """d/dvalue_theta of 1/2 mean (V - ret)^2; (Pv,)."""
        batch = self._loaded()
        if batch.ret is None:
            raise UserRuntimeError("the batch has no returns: give load_batch ret")
        return gradient.value_gradient(batch.value, batch.ret)

    def fit_value(self):
        """Fits the critic to the batch's returns, as an update does; mean (V - ret)^2 then."""
        batch = self._loaded()
        if batch.ret is None:
            raise UserRuntimeError("the batch has no returns: give load_batch ret")
        self._state, loss = critic.fit(batch)
        self._batch = batch.at(self._state)
        return loss

    def value_product(self, v):
        """1/N J'J v of the critic, undamped, on all rows; (Pv,)."""
        return fisher.value_product(self._value_vector("v", v), self._loaded().value)

    # -- helpers

    def _restart(self, state):
        """Adopt a state from outside, to which the rollout in progress does not belong."""
        self._rollout.clear()
        self._adopt(replace(state, theta=self._model.legal(state.theta)))

    def _adopt(self, state):
        """Make `state` the present one, and everything that was computed from it follow."""
        self._state = state
        self._policy_weights = self._model.policy_weights(state.theta)
        self._value_weights = self._model.value_weights(state.value_theta)
        self._batch = self._batch and self._batch.at(state)
        self._blocks = None

    def _loaded(self):
        if self._batch is None:
            raise UserRuntimeError("no batch is loaded: call load_batch first")
        return self._batch

    def _factors(self):
        if self._blocks is None:
            self._blocks = preconditioner.policy_blocks(self._loaded())
        return self._blocks

    def _seen(self, raw):
        """Observations as the user gave them (n, O), as the networks see them (n, F)."""
        return features.see(raw, self._state, self._model.settings)

    def _outputs(self, raw, mask):
        """The policy's outputs for observations as the user gave them; (n, A) real."""
        at = network.forward(self._model.policy, self._policy_weights, self._seen(raw))
        return masks.forbid(at.output, mask)

    def _values(self, raw):
        """V for observations as the user gave them; (n,) real."""
        inputs = self._model.value_inputs(self._seen(raw))
        return network.forward(self._model.value, self._value_weights, inputs).output[:, 0]

    def _sample(self, stream, output):
        """Actions (n, D) real; row i takes the numbers of item i."""
        model, extra = self._model, self._model.extra(self._state.theta)
        items = np.arange(len(output))
        return model.distribution.sample(stream, items, output, extra).astype(self.real)

    def _open_row(self, obs, action, output, mask):
        extra = self._model.extra(self._state.theta)
        logp, val = self._model.distribution.logp(action, output, extra), self._values(obs)
        self._rollout.write_act(obs, action, logp, val, mask)
        self._batch = None
        return logp, val

    def _step_obs(self, obs):
        self._rollout.check_act()
        s = self._model.settings
        obs = arrays.as_array("observation", obs, (s.n_envs, s.obs_size), self.real)
        arrays.finite_rows("observation", obs, "environment", self._rollout.t)
        return obs

    def _rows_obs(self, obs):
        return self._rows(obs, self._model.settings.obs_size)

    def _rows(self, obs, size):
        obs = arrays.as_array("observation", obs, (len(obs), size), self.real)
        arrays.finite_rows("observation", obs)
        return obs

    def _actions(self, act, n, noun, step=None):
        s = self._model.settings
        act = arrays.as_array("action", act, (n, self._model.n_actions), self.real)
        arrays.actions(act, s.distribution, s.parts, noun, step)
        return act

    def _mask(self, mask, n, act=None, noun="row", step=None):
        """(n, A) bool, or None; the actions given with it, if there are, must be open."""
        s = self._model.settings
        mask = arrays.mask_rows(mask, n, s.distribution, s.parts)
        arrays.masks(mask, act, s.parts, noun, step)
        return mask

    def _column(self, name, values, n, dtype):
        column = arrays.as_array(name, values, (n,), dtype)
        arrays.finite_rows(name, column)
        return column

    def _policy_vector(self, name, vector):
        return arrays.finite_vector(name, vector, self._model.n_parameters)

    def _value_vector(self, name, vector):
        return arrays.finite_vector(name, vector, self._model.value.n_parameters)
