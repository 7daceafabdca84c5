# The stages of an update one at a time, on a batch set by the caller.


def _column(name, values, n, dtype):
    column = arrays.as_array(name, values, (n,), dtype)
    arrays.finite_rows(name, column)
    return column


ctypedef void (*_Product)(trpo_agent *, double *, const double *) noexcept nogil


cdef class Theory:
    """The stages, on the parameters in an agent's memory; letters as in `Agent`."""

    cdef Memory memory
    cdef trpo_agent *w  # the memory's
    cdef object lock    # likewise

    def __cinit__(self, Memory memory):
        self.memory, self.w, self.lock = memory, memory.w, memory.lock

    def load_batch(self, obs, act, adv, ret=None, logp=None, mask=None):
        """Set obs (N, F), network inputs; act (N, D); adv, ret, logp (N,); mask (N, A) as in `act`.

        logp None: those at theta. Discards the rollout in progress; act and record drop the batch.
        """
        cdef int N = len(obs)
        settings = self.memory.settings
        limit = settings.n_steps * settings.n_envs
        if not 0 < N <= limit:
            raise UserError(f"the batch has {N} rows, not 1..{limit} (n_steps * n_envs)")
        obs = arrays.as_array("observation", obs, (N, trpo_theory_inputs(self.w)), REAL)
        arrays.finite_rows("observation", obs)
        act = arrays.as_array("action", act, (N, self.memory.D), REAL)
        arrays.actions(act, settings.distribution, settings.parts)
        mask = self.memory.mask(mask, N)
        arrays.masks(mask, act, settings.parts)
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
                trpo_theory_prepare(self.w)
            self.memory.loaded, self.memory.factorized = True, False
            self.memory.has_ret = ret is not None

    def gradient(self):
        """The surrogate's gradient at the current theta; (P,)."""
        g = np.empty(self.memory.P)
        cdef double *out = _double(g)
        with self.lock:
            self._check_loaded()
            with nogil:
                trpo_theory_gradient(self.w, out)
        return g

    def fisher_product(self, v):
        """F v, undamped, on the Fisher rows; (P,)."""
        return self._product(trpo_theory_product, v, self.memory.P)

    def precondition(self, r):
        """M^-1 r with the K-FAC factors, which are built on first use; (P,).

        Raises RuntimeError if the agent has none, that is with preconditioner="none".
        """
        r = arrays.finite_vector("r", r, self.memory.P)
        z = np.empty(len(r))
        cdef double *out = _double(z)
        cdef double *given = _double(r)
        with self.lock:
            self._check_loaded()
            if self.memory.settings.preconditioner != "kfac":
                raise UserRuntimeError(arrays.NO_FACTORS)
            with nogil:
                if not self.memory.factorized:
                    trpo_theory_factorize(self.w)
                trpo_theory_precondition(self.w, out, given)
            self.memory.factorized = True
        return z

    def evaluate(self, theta):
        """(surr, kl, entropy) of a trial theta (P,) compared with the current one."""
        theta = arrays.finite_vector("theta", theta, self.memory.P)
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
        x = np.empty(self.memory.P)
        cdef double *out = _double(x)
        with self.lock:
            self._check_loaded()
            with nogil:
                solution = trpo_theory_solve(self.w, out)
        return x, {"cg_steps": solution.steps, "cg_residual": solution.residual,
                   "curvature": solution.curvature}

    def outputs(self):
        """The policy's outputs on the batch: means or logits; (N, A) real."""
        with self.lock:
            self._check_loaded()
            result = np.empty((trpo_theory_rows(self.w), self.memory.A), REAL)
            trpo_theory_outputs(self.w, _real(result))
        return result

    def value_gradient(self):
        """d/dvalue_theta of 1/2 mean (V - ret)^2; (Pv,)."""
        g = np.empty(self.memory.Pv)
        cdef double *out = _double(g)
        with self.lock:
            self._check_returns()
            with nogil:
                trpo_theory_value_gradient(self.w, out)
        return g

    def fit_value(self):
        """Fit the critic as an update does; returns the resulting mean (V - ret)^2."""
        cdef double loss
        with self.lock:
            self._check_returns()
            with nogil:
                loss = trpo_theory_fit_value(self.w)
        return loss

    def value_product(self, v):
        """1/N J'J v of the critic, undamped, on all rows; (Pv,)."""
        return self._product(trpo_theory_value_product, v, self.memory.Pv)

    cdef _product(self, _Product product, v, Py_ssize_t P):
        v = arrays.finite_vector("v", v, P)
        result = np.empty(P)
        cdef double *out = _double(result)
        cdef double *along = _double(v)
        with self.lock:
            self._check_loaded()
            with nogil:
                product(self.w, out, along)
        return result

    def _check_loaded(self):
        if not self.memory.loaded:
            raise UserRuntimeError("no batch is loaded: call load_batch first")

    def _check_returns(self):
        self._check_loaded()
        if not self.memory.has_ret:
            raise UserRuntimeError("the batch has no returns: give load_batch ret")
