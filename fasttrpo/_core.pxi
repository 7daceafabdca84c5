# The door between Python and the C core, compiled once per precision (_core32.pyx, _core64.pyx).
#
# Three layers with one job each: this file converts and lets go of the GIL, C refuses or computes,
# and `checks` names what was wrong. It has the same class, with the same methods, as
# fasttrpo.portable.Agent.
#
# What is long runs without the GIL: updates, passes over a batch, and acting on more rows than a
# tile. Meanwhile an agent's lock makes other Python threads wait that want to act, ask or save.

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

import os
import threading

import numpy as np

from fasttrpo import checks

include "_declarations.pxi"


# The environment variable that forces the kernels of one instruction set, for tests.
INSTRUCTION_SET = "FASTTRPO_INSTRUCTION_SET"

REAL = np.dtype(np.float32 if sizeof(trpo_real) == 4 else np.float64)

_DISTRIBUTIONS = {"gaussian": 0, "categorical": 1}
_ACTIVATIONS = {"identity": 0, "tanh": 1, "relu": 2}
_PRECONDITIONERS = {"none": 0, "kfac": 1}
_CRITICS = {"gauss_newton": 0, "adam": 1, "ridge": 2, "kfac": 3}
# What update() answers, in this order, after "outcome".
_RECORD = ("n_samples", "surr_gain", "surr_gain_predicted", "kl", "kl_predicted", "entropy",
           "grad_norm", "step_norm", "curvature", "cg_steps", "cg_residual", "line_search_steps",
           "explained_variance", "value_loss_before", "value_loss")
# What collect() answers: trpo_episode.
EPISODE = np.dtype([("row", np.intc), ("env", np.intc), ("length", np.int64), ("total", np.float64)])


def status_text(int status):
    """A status of the core in words."""
    return trpo_status_text(status).decode()


def cores():
    """How many cores this process may keep busy: by its affinity and its control groups' quotas."""
    return trpo_pool_cores()


def instruction_sets():
    """Names of the kernels that this machine can run, the best first."""
    names = []
    while trpok_runnable(len(names)) != NULL:
        names.append(trpok_runnable(len(names)).name.decode())
    return names


cdef const trpok_table *_table() except NULL:
    """The kernels in use: those that the environment variable names, or the best."""
    forced = os.environ.get(INSTRUCTION_SET, "").encode()
    cdef const trpok_table *table = trpok_named(<const char *>forced if forced else NULL)
    if table == NULL:
        legal = " or ".join(instruction_sets())
        raise ValueError(f"{INSTRUCTION_SET}={forced.decode()}: not for this machine, but {legal}")
    return table


cdef void *_data(array) except NULL:
    """Where a C-contiguous array's numbers are; valid while the caller holds the array."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_SIMPLE)
    PyBuffer_Release(&view)
    return view.buf


cdef trpo_real *_real(array) except NULL:
    return <trpo_real *>_data(array)


cdef double *_double(array) except NULL:
    return <double *>_data(array)


cdef uint8_t *_bytes(array) except NULL:
    return <uint8_t *>_data(array)


cdef object _vector(const double *x, Py_ssize_t count):
    """A copy (count,) float64."""
    result = np.empty(count)
    memcpy(_double(result), x, count * sizeof(double))
    return result


cdef class Agent:
    """A TRPO agent in the compiled core; `settings` is a fasttrpo.settings.AgentSettings."""

    cdef trpo_agent *w
    cdef void *memory
    cdef trpo_pool *pool
    cdef bint loaded, has_ret, factorized
    cdef object lock
    cdef readonly object settings

    def __cinit__(self, settings):
        cdef trpo_settings c
        cdef trpo_executor executor
        cdef size_t bytes
        trpo_default_settings(&c)
        parts = np.array(settings.parts, np.intc)
        policy_hidden = np.array(settings.policy_hidden, np.intc)
        value_hidden = np.array(settings.value_hidden, np.intc)
        c.n_parts, c.parts = len(parts), <const int *>_data(parts)
        c.n_policy_hidden, c.policy_hidden = len(policy_hidden), <const int *>_data(policy_hidden)
        c.n_value_hidden, c.value_hidden = len(value_hidden), <const int *>_data(value_hidden)
        _fill(&c, settings)
        c.instruction_set = _table().name
        if trpo_bad_setting(&c) != NULL:
            name = trpo_bad_setting(&c).decode()
            raise ValueError(f"setting {name} is out of range: {getattr(settings, name)!r}")
        # An idle pool has no threads: they start with the first batch that has work for them.
        self.pool = trpo_pool_new(min(settings.n_threads, trpo_useful_workers(&c)))
        if self.pool == NULL:
            raise MemoryError("no memory for a pool of threads")
        executor = trpo_pool_executor(self.pool)
        bytes = trpo_bytes(&c, &executor)
        self.memory = PyMem_RawMalloc(bytes)
        if self.memory == NULL:
            raise MemoryError(f"an agent of these settings needs {bytes} bytes")
        trpo_init(&self.w, &c, &executor, self.memory, bytes)
        self.lock = threading.Lock()
        self.settings = settings

    def __dealloc__(self):
        trpo_pool_free(self.pool)
        PyMem_RawFree(self.memory)

    @property
    def n_threads(self):
        """Threads that work on a batch at most: as asked for, but no more than have work."""
        return trpo_pool_threads(self.pool)

    @property
    def real(self):
        """The dtype of observations, activations and outputs."""
        return REAL

    @property
    def instruction_set(self):
        """The kernels in use, by name."""
        return trpo_instruction_set(self.w).decode()

    @property
    def n_recorded(self):
        """Complete rows of the rollout in progress."""
        return trpo_recorded(self.w)

    @property
    def theta(self):
        """The policy's parameters, a copy (P,) float64. A loaded batch follows a new value."""
        return _vector(self.w.policy.theta, self.w.policy.P)

    @theta.setter
    def theta(self, value):
        value = checks.finite_vector("theta", value, self.w.policy.P)
        memcpy(self.w.policy.theta, _double(value), value.nbytes)
        self._refresh()

    @property
    def value_theta(self):
        """The critic's parameters, a copy (Pv,) float64."""
        return _vector(self.w.critic.theta, self.w.critic.P)

    @value_theta.setter
    def value_theta(self, value):
        value = checks.finite_vector("value_theta", value, self.w.critic.P)
        memcpy(self.w.critic.theta, _double(value), value.nbytes)
        self._refresh()

    cdef _refresh(self):
        """Parameters were written: pack them, drop the rollout, bring a loaded batch up to date."""
        trpo_refresh(self.w)
        self.factorized = False
        if self.loaded:
            trpo_forward(self.w, &self.w.policy, 0, self.w.N)
            trpo_forward(self.w, &self.w.critic, 0, self.w.N)

    # ---- the rollout

    def act(self, obs):
        """Draw actions for obs (E, O): act (E, D), logp (E,), val (E,). Opens row t."""
        self._check_open()
        obs = self._step_obs("observation", obs)
        act = np.empty((self.w.set.n_envs, self.w.policy.D), REAL)
        logp, val = np.empty(len(act), REAL), np.empty(len(act), REAL)
        cdef int status
        cdef trpo_real *a = _real(act)
        cdef trpo_real *l = _real(logp)
        cdef trpo_real *v = _real(val)
        cdef trpo_real *o = _real(obs)
        with self.lock:
            if self.w.set.n_envs > TRPO_TILE:
                with nogil:
                    status = trpo_act(self.w, a, l, v, o)
            else:
                status = trpo_act(self.w, a, l, v, o)
        if status < 0:
            self._refuse(status, {"observation": obs}, "environment", trpo_recorded(self.w))
        self.loaded = False
        return act, logp, val

    def record(self, obs, act):
        """As `act`, with given actions (E, D): logp (E,), val (E,). Draws no random numbers."""
        self._check_open()
        obs = self._step_obs("observation", obs)
        act = checks.as_array("action", act, (self.w.set.n_envs, self.w.policy.D), REAL)
        logp, val = np.empty(len(act), REAL), np.empty(len(act), REAL)
        with self.lock:
            status = trpo_record(self.w, _real(logp), _real(val), _real(obs), _real(act))
        if status < 0:
            given = {"observation": obs, "action": act}
            self._refuse(status, given, "environment", trpo_recorded(self.w))
        self.loaded = False
        return logp, val

    def push(self, rew, term, trunc, next_obs, skip=None):
        """Complete row t with the step's outcome, each (E,), and next_obs (E, O) before any reset.

        skip marks environments in which no step happened; the rest of their row is ignored.
        """
        shape = (self.w.set.n_envs,)
        if not self.w.open:
            raise RuntimeError("no step is open: call act or record before push")
        skip = checks.as_array("skip", np.zeros(shape) if skip is None else skip, shape, np.bool_)
        rew = checks.as_array("reward", rew, shape, np.float64)
        term = checks.as_array("terminated", term, shape, np.bool_)
        trunc = checks.as_array("truncated", trunc, shape, np.bool_)
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
        self._check_open()
        cdef trpo_env_failure failure
        cdef int status, first = trpo_recorded(self.w)
        cdef trpo_envs *w = <trpo_envs *>PyCapsule_GetPointer(envs, "trpo_envs")
        with self.lock, nogil:
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
            raise ValueError(status_text(status))
        trpo_get_culprit(self.w, &at)
        name = "observation" if status == TRPO_ERR_OBS else "next observation"
        raise ValueError(f"{name} of environment {at.env} is not finite as {REAL.name} "
                         f"(component {at.component}) at step {at.step}")

    def discard(self):
        """Drop the rollout in progress, its random draws included."""
        trpo_discard(self.w)

    def restart(self):
        """The environments begin anew: drop the rollout, and the running returns of rewards."""
        trpo_restart(self.w)

    def update(self):
        """One TRPO iteration on the complete rows; its record."""
        cdef trpo_info info
        cdef dict fields
        cdef int status
        with self.lock, nogil:
            status = trpo_update(self.w, &info)
        if status == TRPO_ERR_ORDER:
            raise RuntimeError("the last step is not complete: call push before update")
        if status < 0:
            raise ValueError(status_text(status))
        fields = info
        return {"outcome": status} | {name: fields[name] for name in _RECORD}

    # ---- using

    def predict(self, obs, bint deterministic):
        """Actions (n, D) for obs (n, O); records nothing, leaves the training's numbers alone."""
        obs = self._rows_obs(obs)
        act = np.empty((len(obs), self.w.policy.D), REAL)
        cdef int status, N = len(obs)
        cdef trpo_real *a = _real(act)
        cdef trpo_real *o = _real(obs)
        with self.lock:
            if N > TRPO_TILE:
                with nogil:
                    status = trpo_predict(self.w, a, o, deterministic, N)
            else:
                status = trpo_predict(self.w, a, o, deterministic, N)
        if status < 0:
            self._refuse(status, {"observation": obs})
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

    def state(self):
        """All that is remembered between rollouts: {name: float64 vector}."""
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
        """The reverse; all or nothing. Empties the rollout."""
        fields = checks.state_fields(state, self.state())
        cdef const char *name = NULL
        cdef size_t count = 0
        for i, value in enumerate(fields.values()):
            memcpy(trpo_state_field(self.w, i, &name, &count), _double(value), value.nbytes)
        self._refresh()

    def save_bytes(self):
        """The state as the C core's own bytes (trpo_save)."""
        cdef bytearray buffer = bytearray(trpo_save_bytes(self.w))
        trpo_save(self.w, <char *>buffer, len(buffer))
        return bytes(buffer)

    def load_bytes(self, bytes buffer):
        """The reverse of save_bytes; ValueError if they are damaged or another model's."""
        status = trpo_load(self.w, <const char *>buffer, len(buffer))
        if status < 0:
            raise ValueError(status_text(status))
        self._refresh()

    # ---- the theory's pieces, on a batch set directly

    def load_batch(self, obs, act, adv, ret=None, logp=None):
        """obs (N, O), used as given; act (N, D); adv, ret, logp (N,). logp None: the present one."""
        cdef int N = len(obs)
        limit = self.w.set.n_steps * self.w.set.n_envs
        if not 0 < N <= limit:
            raise ValueError(f"the batch has {N} rows, not 1..{limit} (n_steps * n_envs)")
        obs = self._rows_obs(obs)
        checks.finite_rows("observation", obs)
        act = checks.as_array("action", act, (N, self.w.policy.D), REAL)
        checks.actions(act, self.settings.distribution, self.settings.parts)
        adv = _column("advantage", adv, N, np.float64)
        returns = np.zeros(N) if ret is None else _column("return", ret, N, np.float64)
        old = None if logp is None else _column("log-probability", logp, N, REAL)
        cdef trpo_real *o = _real(obs)
        cdef trpo_real *a = _real(act)
        cdef trpo_real *l = NULL if old is None else _real(old)
        cdef double *x = _double(adv)
        cdef double *y = _double(returns)
        with nogil:
            trpo_load_batch(self.w, o, a, x, y, l, N)
        trpo_fisher_rows(&self.w.policy, self.w.set.sub_sampling_factor)
        trpo_fisher_rows(&self.w.critic, 1)
        self.loaded, self.has_ret, self.factorized = True, ret is not None, False

    def gradient(self):
        """The surrogate's gradient at the present theta; (P,)."""
        self._check_loaded()
        with nogil:
            trpo_policy_gradient(self.w)
        return _vector(self.w.policy.grad, self.w.policy.P)

    def fisher_product(self, v):
        """F v, undamped, on the Fisher rows; (P,)."""
        self._check_loaded()
        return self._product(&self.w.policy, v)

    def precondition(self, r):
        """M^-1 r with the K-FAC factors, which are built on first use; (P,)."""
        cdef trpo_rng rng = trpo_stream(self.w, TRPO_STREAM_KFAC, TRPO_N_UPDATES)
        self._check_loaded()
        r = checks.finite_vector("r", r, self.w.policy.P)
        z = np.empty(len(r))
        if not self.factorized:
            with nogil:
                trpo_factorize(self.w, &self.w.policy, &rng, self.w.set.cg_damping)
            self.factorized = True
        trpo_precondition(self.w, &self.w.policy, _double(z), _double(r), self.w.set.cg_damping)
        return z

    def evaluate(self, theta):
        """(surr, kl, entropy) of a trial theta (P,) against the present one."""
        self._check_loaded()
        theta = checks.finite_vector("theta", theta, self.w.policy.P)
        cdef trpo_trial trial
        cdef double *at = _double(theta)
        with nogil:
            trial = trpo_evaluate(self.w, at)
        return trial.surr, trial.kl, trial.entropy

    def solve(self):
        """CG on the batch's gradient: x (P,), and its cg_steps, cg_residual and curvature."""
        cdef trpo_solution solution
        self._check_loaded()
        with nogil:
            trpo_policy_gradient(self.w)
            solution = trpo_solve_policy(self.w)
        info = {"cg_steps": solution.steps, "cg_residual": solution.residual,
                "curvature": solution.curvature}
        return _vector(self.w.policy.x, self.w.policy.P), info

    def outputs(self):
        """The policy's outputs on the batch: means or logits; (N, A) real."""
        self._check_loaded()
        result = np.empty((self.w.N, self.w.policy.A), REAL)
        memcpy(_real(result), self.w.policy.batch.h[self.w.policy.net.L], result.nbytes)
        return result

    def value_gradient(self):
        """d/dvalue_theta of 1/2 mean (V - ret)^2; (Pv,)."""
        self._check_loaded()
        if not self.has_ret:
            raise RuntimeError("the batch has no returns: give load_batch ret")
        with nogil:
            trpo_gradient(self.w, &self.w.critic, NULL)
        return -_vector(self.w.critic.grad, self.w.critic.P)

    def fit_value(self):
        """Fits the critic to the batch's returns, as an update does; mean (V - ret)^2 then."""
        cdef trpo_info info
        self._check_loaded()
        if not self.has_ret:
            raise RuntimeError("the batch has no returns: give load_batch ret")
        with nogil:
            trpo_fit_critic(self.w, &info)
        return info.value_loss

    def value_product(self, v):
        """1/N J'J v of the critic, undamped, on all rows; (Pv,)."""
        self._check_loaded()
        return self._product(&self.w.critic, v)

    # ---- helpers

    cdef _product(self, trpo_model *model, v):
        v = checks.finite_vector("v", v, model.P)
        result = np.empty(len(v))
        cdef double *out = _double(result)
        cdef double *along = _double(v)
        with nogil:
            trpo_fisher_product(self.w, model, out, along)
        return result

    cdef _check_open(self):
        if self.w.open:
            raise RuntimeError("the last step is not complete: call push before the next act")
        if trpo_recorded(self.w) >= self.w.set.n_steps:
            raise RuntimeError(f"the rollout is full ({self.w.set.n_steps} steps): call update")

    def _check_loaded(self):
        if not self.loaded:
            raise RuntimeError("no batch is loaded: call load_batch first")

    cdef _step_obs(self, name, obs):
        return checks.as_array(name, obs, (self.w.set.n_envs, self.w.set.obs_size), REAL)

    cdef _rows_obs(self, obs):
        return checks.as_array("observation", obs, (len(obs), self.w.set.obs_size), REAL)

    cdef _refuse(self, int status, given, noun="row", step=None, skip=None):
        """Raises for what the core found wrong in `given` ({name: array}): `checks` names it."""
        for name, array in given.items():
            if name == "action":
                checks.actions(array, self.settings.distribution, self.settings.parts, noun, step)
            else:
                checks.finite_rows(name, array, noun, step, skip)
        raise ValueError(status_text(status))


cdef void _fill(trpo_settings *c, s) except *:
    """The settings that are plain numbers; names become the core's."""
    c.obs_size = s.obs_size
    c.distribution = _DISTRIBUTIONS[s.distribution]
    c.activation = _ACTIVATIONS[s.activation]
    c.log_std_init = s.log_std_init
    c.n_steps, c.n_envs = s.n_steps, s.n_envs
    c.gamma, c.gae_lambda = s.gamma, s.gae_lambda
    c.normalize_advantage = s.normalize_advantage
    c.normalize_observations, c.normalize_rewards = s.normalize_observations, s.normalize_rewards
    c.target_kl, c.cg_damping, c.cg_tolerance = s.target_kl, s.cg_damping, s.cg_tolerance
    c.cg_max_steps, c.preconditioner = s.cg_max_steps, _PRECONDITIONERS[s.preconditioner]
    c.sub_sampling_factor = s.sub_sampling_factor
    c.line_search_shrinking_factor = s.line_search_shrinking_factor
    c.line_search_max_iter = s.line_search_max_iter
    c.critic, c.n_critic_updates = _CRITICS[s.critic], s.n_critic_updates
    c.critic_damping, c.learning_rate = s.critic_damping, s.learning_rate
    c.batch_size, c.seed = s.batch_size, s.seed


def _column(name, values, n, dtype):
    column = checks.as_array(name, values, (n,), dtype)
    checks.finite_rows(name, column)
    return column


include "_stages.pxi"
