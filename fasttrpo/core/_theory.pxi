# The theory's pieces, each by itself, on a batch that is set directly.


def _column(name, values, n, dtype):
    column = arrays.as_array(name, values, (n,), dtype)
    arrays.finite_rows(name, column)
    return column


cdef class Theory(Memory):
    """An agent's memory with a batch in it, and what an update computes of one."""

    def load_batch(self, obs, act, adv, ret=None, logp=None, mask=None):
        """obs (N, F) as the networks see them (F features, or O); act (N, D); adv, ret, logp (N,).

        logp None: the present one. mask (N, A) as in `act`.
        """
        cdef int N = len(obs)
        limit = self.w.set.n_steps * self.w.set.n_envs
        if not 0 < N <= limit:
            raise UserError(f"the batch has {N} rows, not 1..{limit} (n_steps * n_envs)")
        obs = arrays.as_array("observation", obs, (N, self.w.policy.net.size[0]), REAL)
        arrays.finite_rows("observation", obs)
        act = arrays.as_array("action", act, (N, self.w.policy.D), REAL)
        arrays.actions(act, self.settings.distribution, self.settings.parts)
        mask = self._mask(mask, N)
        arrays.masks(mask, act, self.settings.parts)
        adv = _column("advantage", adv, N, np.float64)
        returns = np.zeros(N) if ret is None else _column("return", ret, N, np.float64)
        old = None if logp is None else _column("log-probability", logp, N, REAL)
        cdef trpo_real *o = _real(obs)
        cdef trpo_real *a = _real(act)
        cdef trpo_real *l = NULL if old is None else _real(old)
        cdef double *x = _double(adv)
        cdef double *y = _double(returns)
        cdef uint8_t *open = _bytes_or_null(mask)
        with self.lock:
            with nogil:
                trpo_load_batch(self.w, o, a, x, y, l, open, N)
                trpo_fisher_rows(&self.w.policy, self.w.set.sub_sampling_factor)
                trpo_fisher_rows(&self.w.critic, 1)
            self.loaded, self.has_ret, self.factorized = True, ret is not None, False

    def gradient(self):
        """The surrogate's gradient at the present theta; (P,)."""
        with self.lock:
            self._check_loaded()
            with nogil:
                trpo_policy_gradient(self.w)
            return _vector(self.w.policy.grad, self.w.policy.P)

    def fisher_product(self, v):
        """F v, undamped, on the Fisher rows; (P,)."""
        return self._product(&self.w.policy, v)

    def precondition(self, r):
        """M^-1 r with the K-FAC factors, which are built on first use; (P,).

        RuntimeError for an agent that has none: settings with preconditioner="none".
        """
        cdef double damping
        cdef trpo_rng rng
        r = arrays.finite_vector("r", r, self.w.policy.P)
        z = np.empty(len(r))
        cdef double *out = _double(z)
        cdef double *given = _double(r)
        with self.lock:
            self._check_loaded()
            if self.w.set.preconditioner != TRPO_KFAC:
                raise UserRuntimeError(arrays.NO_FACTORS)
            rng = trpo_stream(self.w, TRPO_STREAM_KFAC, TRPO_N_UPDATES)
            damping = trpo_damping(self.w)
            with nogil:
                if not self.factorized:
                    trpo_factorize(self.w, &self.w.policy, &rng, damping)
                trpo_precondition(self.w, &self.w.policy, out, given, damping)
            self.factorized = True
        return z

    def evaluate(self, theta):
        """(surr, kl, entropy) of a trial theta (P,) against the present one."""
        theta = arrays.finite_vector("theta", theta, self.w.policy.P)
        cdef trpo_trial trial
        cdef double *at = _double(theta)
        with self.lock:
            self._check_loaded()
            with nogil:
                trial = trpo_evaluate(self.w, at)
        return trial.surr, trial.kl, trial.entropy

    def solve(self):
        """CG on the batch's gradient: x (P,), and its cg_steps, cg_residual and curvature."""
        cdef trpo_solution solution
        with self.lock:
            self._check_loaded()
            with nogil:
                trpo_policy_gradient(self.w)
                solution = trpo_solve_policy(self.w)
            x = _vector(self.w.policy.x, self.w.policy.P)
        return x, {"cg_steps": solution.steps, "cg_residual": solution.residual,
                   "curvature": solution.curvature}

    def outputs(self):
        """The policy's outputs on the batch: means or logits; (N, A) real."""
        with self.lock:
            self._check_loaded()
            result = np.empty((self.w.N, self.w.policy.A), REAL)
            memcpy(_real(result), self.w.policy.batch.h[self.w.policy.net.L], result.nbytes)
        return result

    def value_gradient(self):
        """d/dvalue_theta of 1/2 mean (V - ret)^2; (Pv,)."""
        with self.lock:
            self._check_returns()
            with nogil:
                trpo_gradient(self.w, &self.w.critic, NULL)
            return -_vector(self.w.critic.grad, self.w.critic.P)

    def fit_value(self):
        """Fits the critic to the batch's returns, as an update does; mean (V - ret)^2 then."""
        cdef trpo_info info
        with self.lock:
            self._check_returns()
            with nogil:
                trpo_fit_critic(self.w, &info)
        return info.value_loss

    def value_product(self, v):
        """1/N J'J v of the critic, undamped, on all rows; (Pv,)."""
        return self._product(&self.w.critic, v)

    cdef _product(self, trpo_model *model, v):
        v = arrays.finite_vector("v", v, model.P)
        result = np.empty(len(v))
        cdef double *out = _double(result)
        cdef double *along = _double(v)
        with self.lock:
            self._check_loaded()
            with nogil:
                trpo_fisher_product(self.w, model, out, along)
        return result

    def _check_loaded(self):
        if not self.loaded:
            raise UserRuntimeError("no batch is loaded: call load_batch first")

    def _check_returns(self):
        self._check_loaded()
        if not self.has_ret:
            raise UserRuntimeError("the batch has no returns: give load_batch ret")
