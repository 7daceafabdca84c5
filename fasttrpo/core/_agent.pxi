# Rollouts and updates.


from dataclasses import replace


cdef class _RowArrays:
    """The arrays that `Agent.act` returns. They serve another row if the caller has dropped them,
    which takes less time than allocating new ones.
    """

    cdef tuple arrays
    cdef trpo_real *act
    cdef trpo_real *logp
    cdef trpo_real *val

    def __cinit__(self, int n_envs, int D):
        act, logp, val = np.empty((n_envs, D), REAL), np.empty(n_envs, REAL), np.empty(n_envs, REAL)
        self.arrays = act, logp, val
        self.act, self.logp, self.val = _real(act), _real(logp), _real(val)

    cdef bint is_dropped(self):
        """Whether nothing else refers to the arrays, or to the tuple of them."""
        cdef PyObject *arrays = <PyObject *>self.arrays
        cdef int i
        for i in range(3):
            if Py_REFCNT(PyTuple_GET_ITEM(arrays, i)) != 1:
                return False
        return Py_REFCNT(arrays) == 1


cdef class Agent:
    """A TRPO agent in the compiled core; `settings` is a fasttrpo.settings.agent.AgentSettings.

    theory  the stages of an update one at a time, on the same parameters
    """

    cdef Memory memory
    cdef trpo_agent *w  # the memory's
    cdef object lock    # likewise
    cdef readonly Theory theory
    cdef object __weakref__
    cdef int n_envs, obs_size, n_steps
    cdef _RowArrays row_arrays, last_row_arrays  # callers drop one row's after they get the next's

    def __cinit__(self, settings):
        self.memory = Memory(settings)
        self.w, self.lock = self.memory.w, self.memory.lock
        self.theory = Theory(self.memory)
        self.n_envs, self.obs_size = settings.n_envs, settings.obs_size
        self.n_steps = settings.n_steps
        self.row_arrays = _RowArrays(self.n_envs, self.memory.D)
        self.last_row_arrays = _RowArrays(self.n_envs, self.memory.D)

    @property
    def settings(self):
        """The agent's AgentSettings."""
        return self.memory.settings

    @property
    def n_threads(self):
        """The most threads that work on a batch: the setting, but no more than can be busy."""
        return trpo_pool_threads(self.memory.pool)

    @property
    def real(self):
        """The dtype of observations, activations and outputs."""
        return REAL

    @property
    def instruction_set(self):
        """The name of the kernels."""
        return trpo_instruction_set(self.w).decode()

    @property
    def n_recorded(self):
        """Complete rows of the rollout in progress."""
        with self.lock:
            return trpo_recorded(self.w)

    @property
    def target_kl(self):
        """The size of the trust region, in nats. Changes apply from the next update on."""
        return self.settings.target_kl

    @target_kl.setter
    def target_kl(self, value):
        value = arrays.positive("target_kl", value)
        with self.lock:
            trpo_set_target_kl(self.w, value)
            self.memory.settings = replace(self.settings, target_kl=value)

    @property
    def learning_rate(self):
        """Adam's step size. Changes apply from the next update on."""
        return self.settings.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        value = arrays.positive("learning_rate", value)
        with self.lock:
            trpo_set_learning_rate(self.w, value)
            self.memory.settings = replace(self.settings, learning_rate=value)

    @property
    def cg_damping(self):
        """The number that the next update adds to the Fisher matrix's diagonal."""
        with self.lock:
            return trpo_damping(self.w)

    @property
    def theta(self):
        """The policy's parameters, a copy (P,) float64.

        Setting them discards the rollout in progress and updates a loaded batch. log_std is clamped
        to its bounds, here and by load_state.
        """
        with self.lock:
            return self._vector(b"theta")

    @theta.setter
    def theta(self, value):
        value = arrays.finite_vector("theta", value, self.memory.P)
        self._write(b"theta", value)

    @property
    def value_theta(self):
        """The critic's parameters, a copy (Pv,) float64."""
        with self.lock:
            return self._vector(b"value_theta")

    @value_theta.setter
    def value_theta(self, value):
        value = arrays.finite_vector("value_theta", value, self.memory.Pv)
        self._write(b"value_theta", value)

    # ---- state

    def state(self):
        """The state between rollouts: {name: float64 vector}."""
        cdef const char *name = NULL
        cdef size_t count = 0
        cdef double *value
        cdef int i = 0
        fields = {}
        with self.lock:
            while True:
                value = trpo_state_field(self.w, i, &name, &count)
                if value == NULL:
                    return fields
                fields[name.decode()] = _vector(value, count)
                i += 1

    def load_state(self, state):
        """Load what `state` returned, completely or not at all. Discards the rollout."""
        fields = arrays.state_fields(state, self.state())
        cdef const char *name = NULL
        cdef size_t count = 0
        with self.lock:
            for i, value in enumerate(fields.values()):
                memcpy(trpo_state_field(self.w, i, &name, &count), _double(value), value.nbytes)
            self.memory.refresh()

    def save_bytes(self):
        """The state as the C core's bytes (trpo_save)."""
        cdef bytearray buffer = bytearray(trpo_save_bytes(self.w))
        with self.lock:
            trpo_save(self.w, <char *>buffer, len(buffer))
        return bytes(buffer)

    def load_bytes(self, bytes buffer):
        """Load what save_bytes returned. ValueError if damaged or from a different model."""
        with self.lock:
            status = trpo_load(self.w, <const char *>buffer, len(buffer))
            if status < 0:
                raise UserError(status_text(status))
            self.memory.refresh()

    cdef _vector(self, bytes name):
        cdef Py_ssize_t count
        cdef double *value = self.memory._field(name, &count)
        return _vector(value, count)

    cdef _write(self, bytes name, value):
        cdef Py_ssize_t count
        with self.lock:
            memcpy(self.memory._field(name, &count), _double(value), value.nbytes)
            self.memory.refresh()

    # ---- the rollout

    def act(self, obs, mask=None):
        """Draw actions for obs (E, O): act (E, D), logp (E,), val (E,). Opens row t.

        mask (E, A) of 0 and 1: the allowed choices (categorical only); None: all.
        """
        cdef trpo_real *o
        cdef uint8_t *open = NULL
        self._check_open()
        obs = _array_at(<void **>&o, "observation", obs, REAL, self.n_envs, self.obs_size)
        if mask is not None:
            mask = self.memory.mask(mask, self.n_envs)
            open = _bytes(mask)
        cdef int status
        cdef _RowArrays to
        cdef tuple row
        with self.lock:
            to = self._unused_arrays()
            row = to.arrays
            if self.n_envs > FEW_ROWS:
                with nogil:
                    status = trpo_act(self.w, to.act, to.logp, to.val, o, open)
            else:
                status = trpo_act(self.w, to.act, to.logp, to.val, o, open)
        if status < 0:
            given = {"observation": obs, "mask": mask}
            self.memory.refuse(status, given, "environment", trpo_recorded(self.w))
        self.memory.loaded = False
        return row

    cdef _RowArrays _unused_arrays(self):
        """Arrays for a row, which no caller still has."""
        self.row_arrays, self.last_row_arrays = self.last_row_arrays, self.row_arrays
        if not self.row_arrays.is_dropped():
            self.row_arrays = _RowArrays(self.n_envs, self.memory.D)
        return self.row_arrays

    def record(self, obs, act, mask=None):
        """As `act`, with the caller's actions (E, D): logp (E,), val (E,). Draws nothing."""
        self._check_open()
        obs = self._step_obs("observation", obs)
        act = arrays.as_array("action", act, (self.n_envs, self.memory.D), REAL)
        mask = self.memory.mask(mask, self.n_envs)
        logp, val = np.empty(len(act), REAL), np.empty(len(act), REAL)
        with self.lock:
            status = trpo_record(self.w, _real(logp), _real(val), _real(obs), _real(act),
                                 _bytes_or_null(mask))
        if status < 0:
            given = {"observation": obs, "action": act, "mask": mask}
            self.memory.refuse(status, given, "environment", trpo_recorded(self.w))
        self.memory.loaded = False
        return logp, val

    def push(self, rew, term, trunc, next_obs, skip=None):
        """Complete row t with the step's outcome, each (E,), and next_obs (E, O) before any reset.

        skip marks environments in which no step happened; the rest of their row is ignored.
        """
        cdef int status, E = self.n_envs
        cdef double *r
        cdef uint8_t *ends
        cdef uint8_t *cuts
        cdef uint8_t *skips = NULL
        cdef trpo_real *o
        if not trpo_is_open(self.w):
            raise UserRuntimeError("no step is open: call act or record before push")
        if skip is not None:
            skip = _array_at(<void **>&skips, "skip", skip, BOOL, E)
        rew = _array_at(<void **>&r, "reward", rew, DOUBLE, E)
        term = _array_at(<void **>&ends, "terminated", term, BOOL, E)
        trunc = _array_at(<void **>&cuts, "truncated", trunc, BOOL, E)
        next_obs = _array_at(<void **>&o, "next observation", next_obs, REAL, E, self.obs_size)
        with self.lock:
            status = trpo_push(self.w, r, ends, cuts, o, skips)
        if status < 0:
            given = {"reward": rew, "next observation": next_obs}
            self.memory.refuse(status, given, "environment", trpo_recorded(self.w), skip)

    def collect(self, envs, int n_rows, bint single):
        """Record n_rows rows, or as many as fit, of environments in C.

        envs is their capsule, "trpo_envs"; single: round observations and actions to float32.
        Returns the episodes that ended, (n,) of EPISODE, and None. If an environment failed, which
        discards the rollout, returns None and the keyword arguments of `Envs.refuse` as a dict.
        """
        cdef trpo_env_failure failure
        cdef int status, first
        cdef trpo_envs *w = <trpo_envs *>PyCapsule_GetPointer(envs, "trpo_envs")
        with self.lock:
            self._check_open()
            first = trpo_recorded(self.w)
            with nogil:
                status = trpo_collect(self.w, w, n_rows, single, &failure)
            self.memory.loaded = False
            if status == TRPO_ERR_ENVIRONMENT:
                return None, self._failure(failure)
            if status != TRPO_OK:
                self._refuse_collected(status)
            episodes = np.empty(trpo_episodes(self.w, NULL, first, 0), EPISODE)
            trpo_episodes(self.w, <trpo_episode *>_data(episodes), first, len(episodes))
        return episodes, None

    cdef dict _failure(self, trpo_env_failure failure):
        """The failure of an environment as keyword arguments of `Envs.refuse`."""
        cdef trpo_culprit at
        trpo_get_culprit(self.w, &at)
        cdef const trpo_real *act = trpo_recorded_action(self.w, at.step, at.env)
        cdef dict words = failure
        return {**words, "row": at.step, "act": [act[d] for d in range(self.memory.D)]}

    cdef _refuse_collected(self, int status):
        """Raises for an error of trpo_collect other than an environment's failure."""
        cdef trpo_culprit at
        if status not in (TRPO_ERR_OBS, TRPO_ERR_NEXT_OBS):
            raise UserError(status_text(status))
        trpo_get_culprit(self.w, &at)
        name = "observation" if status == TRPO_ERR_OBS else "next observation"
        raise UserError(f"{name} of environment {at.env} is not finite as {REAL.name} "
                         f"(component {at.component}) at step {at.step}")

    def plain_rows(self, env, kept, spaces, to_env, acts, parts, reports, mask_key, n_choices):
        """A PlainRows of this agent."""
        return PlainRows(self, env, kept, spaces, to_env, acts, parts, reports, mask_key, n_choices)

    cdef int open_row(self, trpo_real *act, const trpo_real *obs, const uint8_t *mask) except 1:
        """`act` without checks, log-probabilities and values; the core's status."""
        cdef int status
        with self.lock:
            status = trpo_act(self.w, act, NULL, NULL, obs, mask)
        if status == TRPO_OK:
            self.memory.loaded = False
        return status

    cdef int close_row(self, const double *rew, const uint8_t *term, const uint8_t *trunc,
                       const trpo_real *next_obs) except 1:
        """`push` without checks; the core's status."""
        with self.lock:
            return trpo_push(self.w, rew, term, trunc, next_obs, NULL)

    def discard(self):
        """Discard the rollout in progress and rewind its random draws."""
        with self.lock:
            trpo_discard(self.w)

    def restart(self):
        """Call when all environments are reset: discard the rollout and the running returns."""
        with self.lock:
            trpo_restart(self.w)

    def update(self):
        """One TRPO iteration on the complete rows; its record."""
        cdef trpo_info info
        cdef dict fields
        cdef int status
        with self.lock, nogil:
            status = trpo_update(self.w, &info)
        if status == TRPO_ERR_ORDER:
            raise UserRuntimeError("the last step is not complete: call push before update")
        if status < 0:
            raise UserError(status_text(status))
        fields = info
        rejected = trpo_rejection_text(info.rejected).decode()
        return {"outcome": status, "rejected": rejected,
                **{name: fields[name] for name in _RECORD},
                "seconds": {name: info.seconds[i] for i, name in enumerate(_STAGES)}}

    # ---- using

    def predict(self, obs, bint deterministic, mask=None):
        """Actions (n, D) for obs (n, O), without recording them or affecting training.

        mask (n, A) as in `act`.
        """
        obs = self._rows_obs(obs)
        mask = self.memory.mask(mask, len(obs))
        act = np.empty((len(obs), self.memory.D), REAL)
        cdef int status, N = len(obs)
        cdef trpo_real *a = _real(act)
        cdef trpo_real *o = _real(obs)
        cdef uint8_t *open = _bytes_or_null(mask)
        with self.lock:
            if N > FEW_ROWS:
                with nogil:
                    status = trpo_predict(self.w, a, o, open, deterministic, N)
            else:
                status = trpo_predict(self.w, a, o, open, deterministic, N)
        if status < 0:
            self.memory.refuse(status, {"observation": obs, "mask": mask})
        return act

    def outputs(self, obs, mask=None):
        """The action distribution's parameters (n, A) for obs (n, O): means or logits.

        mask (n, A) as in `act`; a forbidden choice has the logit -2^100.
        """
        obs = self._rows_obs(obs)
        mask = self.memory.mask(mask, len(obs))
        out = np.empty((len(obs), self.memory.A), REAL)
        cdef int status, N = len(obs)
        cdef trpo_real *y = _real(out)
        cdef trpo_real *o = _real(obs)
        cdef uint8_t *open = _bytes_or_null(mask)
        with self.lock, nogil:
            status = trpo_outputs(self.w, y, o, open, N)
        if status < 0:
            self.memory.refuse(status, {"observation": obs, "mask": mask})
        return out

    def value(self, obs):
        """V (n,) for obs (n, O)."""
        obs = self._rows_obs(obs)
        val = np.empty(len(obs), REAL)
        cdef int status, N = len(obs)
        cdef trpo_real *v = _real(val)
        cdef trpo_real *o = _real(obs)
        with self.lock:
            if N > FEW_ROWS:
                with nogil:
                    status = trpo_value(self.w, v, o, N)
            else:
                status = trpo_value(self.w, v, o, N)
        if status < 0:
            self.memory.refuse(status, {"observation": obs})
        return val

    cdef _check_open(self):
        if trpo_is_open(self.w):
            raise UserRuntimeError("the last step is not complete: call push before the next act")
        if trpo_recorded(self.w) >= self.n_steps:
            raise UserRuntimeError(f"the rollout is full ({self.n_steps} steps): call update")

    cdef _rows_obs(self, obs):
        return arrays.as_array("observation", obs, (len(obs), self.obs_size), REAL)

    cdef _step_obs(self, name, obs):
        return arrays.as_array(name, obs, (self.n_envs, self.obs_size), REAL)
