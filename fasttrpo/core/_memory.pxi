# An agent's memory, and the lock that guards it.

import weakref


cdef class Memory:
    """Owns an agent's bytes, its threads, and the lock that guards both.

    Hold the lock to read or write the agent. Agent and Theory share a Memory.
    """

    cdef trpo_agent *w
    cdef void *bytes
    cdef trpo_pool *pool
    cdef bint loaded, has_ret, factorized  # there is a batch; it has returns; it has factors
    cdef int D, A
    cdef Py_ssize_t P, Pv
    cdef object lock, __weakref__
    cdef object settings

    def __cinit__(self, settings):
        cdef trpo_settings c
        cdef trpo_executor executor
        cdef size_t bytes
        trpo_default_settings(&c)
        arrays = _fill(&c, settings)
        c.instruction_set, c.clock = _kernels(), trpo_pool_clock
        if trpo_bad_setting(&c) != NULL:
            name = trpo_bad_setting(&c).decode()
            raise UserError(f"setting {name} is out of range: {getattr(settings, name)!r}")
        # The pool starts its threads with the first batch that has work for them.
        self.pool = trpo_pool_new(min(settings.n_threads, trpo_useful_workers(&c)))
        if self.pool == NULL:
            raise UserMemoryError("no memory for a pool of threads")
        executor = trpo_pool_executor(self.pool)
        bytes = trpo_bytes(&c, &executor)
        if bytes == 0:
            raise UserMemoryError("an agent with these settings exceeds any address space")
        self.bytes = PyMem_RawMalloc(bytes)
        if self.bytes == NULL:
            raise UserMemoryError(f"out of memory: these settings need {bytes} bytes")
        status = trpo_init(&self.w, &c, &executor, self.bytes, bytes)
        if status != TRPO_OK:
            raise UserError(status_text(status))
        self.lock, self.settings = threading.Lock(), settings
        self.D, self.A = len(settings.parts), sum(settings.parts)
        self._field(b"theta", &self.P)
        self._field(b"value_theta", &self.Pv)
        _agents.add(self)

    def __dealloc__(self):
        trpo_pool_free(self.pool)
        PyMem_RawFree(self.bytes)

    cdef double *_field(self, bytes wanted, Py_ssize_t *count):
        """A field of the state by name, and its length."""
        cdef const char *name = NULL
        cdef size_t size = 0
        cdef int i = 0
        cdef double *value = trpo_state_field(self.w, i, &name, &size)
        while wanted != name:
            i += 1
            value = trpo_state_field(self.w, i, &name, &size)
        count[0] = size
        return value

    cdef refresh(self):
        """After writing parameters: packs them, discards the rollout, updates a loaded batch."""
        trpo_refresh(self.w)
        self.factorized = False
        if self.loaded:
            trpo_theory_refresh(self.w)

    # ---- checked input

    cdef mask(self, mask, n):
        return arrays.mask_rows(mask, n, self.settings.distribution, self.settings.parts)

    cdef refuse(self, int status, given, noun="row", step=None, skip=None):
        """Raises for the error that the core found in `given` ({name: array}), by `checks`."""
        for name, array in given.items():
            if name == "action":
                arrays.actions(array, self.settings.distribution, self.settings.parts, noun, step)
            elif name == "mask":
                arrays.masks(array, given.get("action"), self.settings.parts, noun, step)
            else:
                arrays.finite_rows(name, array, noun, step, skip)
        raise UserError(status_text(status))


# ---- forking

# A child process has only the thread that forked. Forking therefore waits until no other thread is
# using an agent, since its work would stay unfinished and its lock held in the child.
_agents, _acquired, _forking = weakref.WeakSet(), [], threading.Lock()


def _acquire_all():
    _forking.acquire()
    for agent in list(_agents):
        lock = (<Memory>agent).lock
        lock.acquire()
        _acquired.append(lock)


def _release_all():
    while _acquired:
        _acquired.pop().release()
    _forking.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_acquire_all, after_in_parent=_release_all,
                        after_in_child=_release_all)
