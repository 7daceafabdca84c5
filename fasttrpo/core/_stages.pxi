# The stages that can be called on their own, for fasttrpo.theory: C calls back into Python.


cdef class _Callbacks:
    """Python functions that C calls, and the first exception that one of them raised."""

    cdef object product, precondition, evaluate, error
    cdef Py_ssize_t P


cdef void _call(_Callbacks own, function, double *out, const double *v) noexcept:
    """out (P) = function(v), or NaN after a call has failed, which stops the solver."""
    result = np.full(own.P, np.nan)
    if own.error is None:
        try:
            result[:] = function(_vector(v, own.P))
        except BaseException as error:
            own.error = error
    memcpy(out, _double(result), result.nbytes)


cdef void _product(void *ctx, double *out, const double *v) noexcept with gil:
    own = <_Callbacks>ctx
    _call(own, own.product, out, v)


cdef void _precondition(void *ctx, double *z, const double *r) noexcept with gil:
    own = <_Callbacks>ctx
    _call(own, own.precondition, z, r)


cdef trpo_trial _evaluate(void *ctx, const double *theta) noexcept with gil:
    cdef trpo_trial trial
    trial.surr = trial.kl = trial.entropy = float("nan")
    own = <_Callbacks>ctx
    if own.error is None:
        try:
            trial.surr, trial.kl = own.evaluate(_vector(theta, own.P))
        except BaseException as error:
            own.error = error
    return trial


def conjugate_gradient(product, g, max_steps, tolerance, precondition=None):
    """x (P,), steps, residual, curvature; product and precondition map (P,) to (P,)."""
    cdef _Callbacks own = _Callbacks()
    cdef trpo_system system
    cdef trpo_solution solution
    own.product, own.precondition, own.P = product, precondition, len(g)
    system.product = _product
    system.precondition = NULL
    if precondition is not None:
        system.precondition = _precondition
    system.ctx = <void *>own
    x, work = np.empty(len(g)), np.empty((4, max(len(g), 1)))
    solution = trpo_conjugate_gradient(
        _double(x), _double(g), &system, _double(work[0]), _double(work[1]), _double(work[2]),
        _double(work[3]), max_steps, tolerance, len(g))
    if own.error is not None:
        raise own.error
    return x, solution.steps, solution.residual, solution.curvature


def line_search(evaluate, theta, step, surr_old, kl_limit, shrink, max_trials,
                acceptance="improvement"):
    """theta (P,) (the old one if none was accepted), why the last trial was rejected ("" if it was
    not), trials, and surr and kl of the last one.
    """
    cdef _Callbacks own = _Callbacks()
    cdef trpo_search search
    cdef trpo_rule rule
    rule.acceptance = _number(trpo_find_setting("acceptance"), acceptance)
    rule.kl_limit, rule.surr_old = kl_limit, surr_old
    rule.shrink, rule.max_trials = shrink, max_trials
    rule.low, rule.high, rule.bounded = 0, 0, len(theta)
    own.evaluate, own.P = evaluate, len(theta)
    trial = np.empty(len(theta))
    search = trpo_line_search(_double(trial), _double(theta), _double(step), 1.0, &rule, _evaluate,
                              <void *>own, len(theta))
    if own.error is not None:
        raise own.error
    rejected = trpo_rejection_text(search.rejected).decode()
    found = theta.copy() if rejected else trial
    return found, rejected, search.trials, search.last.surr, search.last.kl


def gae(rew, val, boot, done, skip, double gamma, double gae_lambda):
    """adv, ret (T, E) float64 from rew float64, val and boot real, done and skip bool: (T, E)."""
    adv, ret = np.empty(rew.shape), np.empty(rew.shape)
    trpo_gae(_kernels(), _double(adv), _double(ret), _double(rew), _real(val), _real(boot),
             _bytes(done.view(np.uint8)), _bytes(skip.view(np.uint8)), gamma, gae_lambda,
             rew.shape[0], rew.shape[1])
    return adv, ret


# ---- the elementary functions, for tests and benchmarks


def exp(x, out):
    """out = exp(x), C-contiguous arrays of the module's real and of one size; out may be x."""
    trpo_apply(_kernels(), TRPO_EXP, _real(out), _real(x), x.size)


def expm1(x, out):
    """out = exp(x) - 1, as `exp`."""
    trpo_apply(_kernels(), TRPO_EXPM1, _real(out), _real(x), x.size)


def tanh(x, out):
    """out = tanh(x), as `exp`."""
    trpo_apply(_kernels(), TRPO_TANH_OF, _real(out), _real(x), x.size)


def sin(x, out):
    """out = sin(x), as `exp`; |x| is limited to 2**15 (float32) or 2**26 (float64)."""
    trpo_apply(_kernels(), TRPO_SIN, _real(out), _real(x), x.size)
