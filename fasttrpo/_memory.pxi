# What an agent is made of, and who may touch it when.

import weakref
from dataclasses import replace


cdef class Memory:
    """An agent's memory: parameters, and all else that is remembered from one rollout to the next.

    Whoever reads or writes it holds its lock.
    """

    cdef trpo_agent *w
    cdef void *memory
    cdef trpo_pool *pool
    cdef bint loaded, has_ret, factorized
    cdef object lock, __weakref__
    cdef readonly object settings

    def __cinit__(self, settings):
        cdef trpo_settings c
        cdef trpo_executor executor
        cdef size_t bytes
        trpo_default_settings(&c)
        arrays = _fill(&c, settings)
        c.instruction_set, c.clock = _table().name, trpo_pool_clock
        if trpo_bad_setting(&c) != NULL:
            name = trpo_bad_setting(&c).decode()
            raise ValueError(f"setting {name} is out of range: {getattr(settings, name)!r}")
        # An idle pool has no threads: they start with the first batch that has work for them.
        self.pool = trpo_pool_new(min(settings.n_threads, trpo_useful_workers(&c)))
        if self.pool == NULL:
            raise MemoryError("no memory for a pool of threads")
        executor = trpo_pool_executor(self.pool)
        bytes = trpo_bytes(&c, &executor)
        if bytes == 0:
            raise MemoryError("no machine has the memory for an agent of these settings")
        self.memory = PyMem_RawMalloc(bytes)
        if self.memory == NULL:
            raise MemoryError(f"an agent of these settings needs {bytes} bytes")
        trpo_init(&self.w, &c, &executor, self.memory, bytes)
        self.lock, self.settings = threading.Lock(), settings
        _agents.add(self)

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
        with self.lock:
            return trpo_recorded(self.w)

    @property
    def target_kl(self):
        """The trust region's size, in nats. What is set holds from the next update on."""
        return self.w.set.target_kl

    @target_kl.setter
    def target_kl(self, value):
        value = checks.positive("target_kl", value)
        with self.lock:
            trpo_set_target_kl(self.w, value)
            self.settings = replace(self.settings, target_kl=value)

    @property
    def learning_rate(self):
        """Adam's step size, likewise."""
        return self.w.set.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        value = checks.positive("learning_rate", value)
        with self.lock:
            trpo_set_learning_rate(self.w, value)
            self.settings = replace(self.settings, learning_rate=value)

    @property
    def cg_damping(self):
        """What the next update adds to the Fisher matrix's diagonal."""
        with self.lock:
            return trpo_damping(self.w)

    @property
    def theta(self):
        """The policy's parameters, a copy (P,) float64. A loaded batch follows a new value.

        A log_std beyond its bounds is moved to them, here and by load_state.
        """
        with self.lock:
            return _vector(self.w.policy.theta, self.w.policy.P)

    @theta.setter
    def theta(self, value):
        value = checks.finite_vector("theta", value, self.w.policy.P)
        with self.lock:
            memcpy(self.w.policy.theta, _double(value), value.nbytes)
            self._refresh()

    @property
    def value_theta(self):
        """The critic's parameters, a copy (Pv,) float64."""
        with self.lock:
            return _vector(self.w.critic.theta, self.w.critic.P)

    @value_theta.setter
    def value_theta(self, value):
        value = checks.finite_vector("value_theta", value, self.w.critic.P)
        with self.lock:
            memcpy(self.w.critic.theta, _double(value), value.nbytes)
            self._refresh()

    cdef _refresh(self):
        """Parameters were written: pack them, drop the rollout, bring a loaded batch up to date."""
        trpo_refresh(self.w)
        self.factorized = False
        if self.loaded:
            trpo_forward(self.w, &self.w.policy, 0, self.w.N)
            trpo_forward(self.w, &self.w.critic, 0, self.w.N)
            trpo_fisher_rows(&self.w.policy, self.w.set.sub_sampling_factor)

    # ---- all that is remembered

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
        with self.lock:
            for i, value in enumerate(fields.values()):
                memcpy(trpo_state_field(self.w, i, &name, &count), _double(value), value.nbytes)
            self._refresh()

    def save_bytes(self):
        """The state as the C core's own bytes (trpo_save)."""
        cdef bytearray buffer = bytearray(trpo_save_bytes(self.w))
        with self.lock:
            trpo_save(self.w, <char *>buffer, len(buffer))
        return bytes(buffer)

    def load_bytes(self, bytes buffer):
        """The reverse of save_bytes; ValueError if they are damaged or another model's."""
        with self.lock:
            status = trpo_load(self.w, <const char *>buffer, len(buffer))
            if status < 0:
                raise ValueError(status_text(status))
            self._refresh()

    # ---- what a user hands in

    cdef _rows_obs(self, obs):
        return checks.as_array("observation", obs, (len(obs), self.w.set.obs_size), REAL)

    cdef _mask(self, mask, n):
        return checks.mask_rows(mask, n, self.settings.distribution, self.settings.parts)

    cdef _refuse(self, int status, given, noun="row", step=None, skip=None):
        """Raises for what the core found wrong in `given` ({name: array}): `checks` names it."""
        for name, array in given.items():
            if name == "action":
                checks.actions(array, self.settings.distribution, self.settings.parts, noun, step)
            elif name == "mask":
                checks.masks(array, given.get("action"), self.settings.parts, noun, step)
            else:
                checks.finite_rows(name, array, noun, step, skip)
        raise ValueError(status_text(status))


# ---- forking

# A child process has no threads but the one that forked. So that none of the others is amid an
# agent's work then, and none holds its lock for ever, forking waits for them.
_agents, _held, _forking = weakref.WeakSet(), [], threading.Lock()


def _hold_all():
    _forking.acquire()
    for agent in list(_agents):
        lock = (<Memory>agent).lock
        lock.acquire()
        _held.append(lock)


def _let_go():
    while _held:
        _held.pop().release()
    _forking.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold_all, after_in_parent=_let_go, after_in_child=_let_go)
