# Rollouts and updates.


cdef class Agent(Theory):
    """A TRPO agent in the compiled core; `settings` is a fasttrpo.settings.agent.AgentSettings."""

    # ---- the rollout

    def act(self, obs, mask=None):
        """Draw actions for obs (E, O): act (E, D), logp (E,), val (E,). Opens row t.

        mask (E, A) of 0 and 1: the choices that are open (categorical only); None: all are.
        """
        self._check_open()
        obs = self._step_obs("observation", obs)
        mask = self._mask(mask, self.w.set.n_envs)
        act = np.empty((self.w.set.n_envs, self.w.policy.D), REAL)
        logp, val = np.empty(len(act), REAL), np.empty(len(act), REAL)
        cdef int status
        cdef trpo_real *a = _real(act)
        cdef trpo_real *l = _real(logp)
        cdef trpo_real *v = _real(val)
        cdef trpo_real *o = _real(obs)
        cdef uint8_t *open = _bytes_or_null(mask)
        with self.lock:
            if self.w.set.n_envs > TRPO_TILE:
                with nogil:
                    status = trpo_act(self.w, a, l, v, o, open)
            else:
                status = trpo_act(self.w, a, l, v, o, open)
        if status < 0:
            given = {"observation": obs, "mask": mask}
            self._refuse(status, given, "environment", trpo_recorded(self.w))
        self.loaded = False
        return act, logp, val

    def record(self, obs, act, mask=None):
        """As `act`, with given actions (E, D): logp (E,), val (E,). Draws no random numbers."""
        self._check_open()
        obs = self._step_obs("observation", obs)
        act = arrays.as_array("action", act, (self.w.set.n_envs, self.w.policy.D), REAL)
        mask = self._mask(mask, self.w.set.n_envs)
        logp, val = np.empty(len(act), REAL), np.empty(len(act), REAL)
        with self.lock:
            status = trpo_record(self.w, _real(logp), _real(val), _real(obs), _real(act),
                                 _bytes_or_null(mask))
        if status < 0:
            given = {"observation": obs, "action": act, "mask": mask}
            self._refuse(status, given, "environment", trpo_recorded(self.w))
        self.loaded = False
        return logp, val

    def push(self, rew, term, trunc, next_obs, skip=None):
        """Complete row t with the step's outcome, each (E,), and next_obs (E, O) before any reset.

        skip marks environments in which no step happened; the rest of their row is ignored.
        """
        shape = (self.w.set.n_envs,)
        if not self.w.open:
            raise UserRuntimeError("no step is open: call act or record before push")
        skip = arrays.as_array("skip", np.zeros(shape) if skip is None else skip, shape, np.bool_)
        rew = arrays.as_array("reward", rew, shape, np.float64)
        term = arrays.as_array("terminated", term, shape, np.bool_)
        trunc = arrays.as_array("truncated", trunc, shape, np.bool_)
        next_obs = self._step_obs("next observation", next_obs)
        with self.lock:
            status = trpo_push(self.w, _double(rew), _bytes(term), _bytes(trunc), _real(next_obs),
                               _bytes(skip))
        if status < 0:
            given = {"reward": rew, "next observation": next_obs}
            self._refuse(status, given, "environment", trpo_recorded(self.w), skip)

    def collect(self, envs, int n_rows, bint single):
        """Record n_rows rows, or as many as there is room for, in environments in C.

        envs is their capsule, "trpo_envs"; single: what passes to and fro is rounded to float32.
        Returns the episodes that ended, (n,) of EPISODE, and None; or, where an environment failed
        and the rollout was dropped, None and the words for `Envs.refuse`, a dict with `row` too.
        """
        cdef trpo_env_failure failure
        cdef int status, first
        cdef trpo_envs *w = <trpo_envs *>PyCapsule_GetPointer(envs, "trpo_envs")
        with self.lock:
            self._check_open()
            first = trpo_recorded(self.w)
            with nogil:
                status = trpo_collect(self.w, w, n_rows, single, &failure)
            self.loaded = False
            if status == TRPO_ERR_ENVIRONMENT:
                return None, self._failure(failure)
            if status != TRPO_OK:
                self._refuse_collected(status)
            episodes = np.empty(trpo_episodes(self.w, NULL, first, 0), EPISODE)
            trpo_episodes(self.w, <trpo_episode *>_data(episodes), first, len(episodes))
        return episodes, None

    cdef dict _failure(self, trpo_env_failure failure):
        """The failure of an environment in words of Python's."""
        cdef trpo_culprit at
        cdef trpo_model *m = &self.w.policy
        trpo_get_culprit(self.w, &at)
        cdef trpo_real *act = m.batch.act + (<Py_ssize_t>at.step * self.w.set.n_envs + at.env) * m.D
        cdef dict words = failure
        return {**words, "row": at.step, "act": [act[d] for d in range(m.D)]}

    cdef _refuse_collected(self, int status):
        """Raises for what the core found in what the environments showed it."""
        cdef trpo_culprit at
        if status not in (TRPO_ERR_OBS, TRPO_ERR_NEXT_OBS):
            raise UserError(status_text(status))
        trpo_get_culprit(self.w, &at)
        name = "observation" if status == TRPO_ERR_OBS else "next observation"
        raise UserError(f"{name} of environment {at.env} is not finite as {REAL.name} "
                         f"(component {at.component}) at step {at.step}")

    def discard(self):
        """Drop the rollout in progress, its random draws included."""
        with self.lock:
            trpo_discard(self.w)

    def restart(self):
        """The environments begin anew: drop the rollout, and the running returns of rewards."""
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
        """Actions (n, D) for obs (n, O); records nothing, leaves the training's numbers alone.

        mask (n, A) as in `act`.
        """
        obs = self._rows_obs(obs)
        mask = self._mask(mask, len(obs))
        act = np.empty((len(obs), self.w.policy.D), REAL)
        cdef int status, N = len(obs)
        cdef trpo_real *a = _real(act)
        cdef trpo_real *o = _real(obs)
        cdef uint8_t *open = _bytes_or_null(mask)
        with self.lock:
            if N > TRPO_TILE:
                with nogil:
                    status = trpo_predict(self.w, a, o, open, deterministic, N)
            else:
                status = trpo_predict(self.w, a, o, open, deterministic, N)
        if status < 0:
            self._refuse(status, {"observation": obs, "mask": mask})
        return act

    def value(self, obs):
        """V (n,) for obs (n, O)."""
        obs = self._rows_obs(obs)
        val = np.empty(len(obs), REAL)
        cdef int status, N = len(obs)
        cdef trpo_real *v = _real(val)
        cdef trpo_real *o = _real(obs)
        with self.lock:
            if N > TRPO_TILE:
                with nogil:
                    status = trpo_value(self.w, v, o, N)
            else:
                status = trpo_value(self.w, v, o, N)
        if status < 0:
            self._refuse(status, {"observation": obs})
        return val

    cdef _check_open(self):
        if self.w.open:
            raise UserRuntimeError("the last step is not complete: call push before the next act")
        if trpo_recorded(self.w) >= self.w.set.n_steps:
            raise UserRuntimeError(f"the rollout is full ({self.w.set.n_steps} steps): call update")

    cdef _step_obs(self, name, obs):
        return arrays.as_array(name, obs, (self.w.set.n_envs, self.w.set.obs_size), REAL)
