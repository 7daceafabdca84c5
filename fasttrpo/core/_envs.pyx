# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The bindings of environments in C (csrc/include/trpo_env.h), built-in or in shared libraries.

They convert, release the GIL, and describe errors. fasttrpo.envs.compiled adds Gymnasium's API.
"""

cimport cython
from cpython.buffer cimport PyBUF_WRITABLE
from cpython.pycapsule cimport PyCapsule_GetContext, PyCapsule_New, PyCapsule_SetContext
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy

import os

import numpy as np

from fasttrpo.checks import arrays
from fasttrpo.envs.failures import SimulationError, forget, noted
from fasttrpo.envs.names import RESERVED
from fasttrpo.checks.suggest import unknown
from fasttrpo.errors import UserError, UserMemoryError, UserRuntimeError, UserTypeError

include "_arrays.pxi"
include "_env_declarations.pxi"
include "_env_spec.pxi"
include "_mujoco.pxi"


DISABLED, SAME_STEP, NEXT_STEP = 0, 1, 2

# Stepping fewer environments than this takes less time than releasing the GIL.
cdef enum:
    WORTH_RELEASING = 64


# How many forks separate this process from the first. A call that was in progress in another thread
# when the process forked is not in progress in the child.
cdef int _forks = 1


def _count_fork():
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


# __dealloc__ needs `memory`, which the garbage collector would otherwise clear first.
@cython.no_gc_clear
cdef class Envs:
    """`num_envs` environments of one kind; `source` is a built-in name, or an object with the
    `address` of a trpo_env that it keeps alive (a Library).

    E environments, O observation components, D action components. The arrays are views of the
    environments' memory: they change with each call, and stay valid after this object.

    obs, final_obs     (E, O) float64: the agent's next input; after the step, before any reset
    rew                (E,) float64
    term, trunc        (E,) bool
    episode_return     (E,) float64, of the episode that ended in this step, else the running one
    episode_length     (E,) int64, likewise
    mask               (E, A) uint8: 1 for choices allowed next, else 0; None: there are no masks
    states             (E, state_bytes) uint8; after writing to it call `observe`
    options            {name: value}, shared by all environments

    Calls are exclusive: a call during another thread's raises RuntimeError, rather than waiting or
    closing what the other steps. `with envs:` marks such a call, for users of the capsule.
    """

    cdef trpo_envs *w
    cdef trpo_env spec
    cdef object memory, config
    cdef readonly object source, states
    cdef readonly object obs, final_obs, rew, term, trunc, episode_return, episode_length, mask
    cdef readonly int num_envs
    cdef int busy  # the number of forks while a call is in progress

    def __cinit__(self, source, int num_envs=1, *, uint64_t seed=0, options=None,
                  max_episode_steps=None):
        cdef const trpo_env *found = _find_env(source)
        memcpy(&self.spec, found, found.struct_size)  # an older struct is shorter
        self.source, self.num_envs = source, num_envs
        if num_envs < 1:
            raise UserError(f"num_envs must be an integer >= 1, got {num_envs}")
        if max_episode_steps is not None:
            self.spec.max_episode_steps = max_episode_steps
            _validate(&self.spec, str(source))
        self._init_options(options or {})
        self._allocate(seed)
        self._make_views()

    cdef _init_options(self, given):
        """Copy the options' values to an array of this object, and set the given ones."""
        if self.spec.n_options == 0 and not given:
            return
        self.config = _doubles(<const double *>self.spec.config, self.spec.n_options)
        self.set_options(given)
        self.spec.config = _data(self.config)

    cdef _allocate(self, uint64_t seed):
        cdef size_t size = trpo_envs_bytes(&self.spec, self.num_envs)
        if size == 0:
            raise UserMemoryError(f"{self.source}: {self.num_envs} environments are too many")
        self.memory = np.empty(size, np.uint8)
        status = trpo_envs_init(&self.w, &self.spec, self.num_envs, seed, _data(self.memory), size)
        if status != TRPO_ENV_OK:
            raise UserError(f"{self.source}: {trpo_env_status_text(status).decode()}")

    cdef _make_views(self):
        cdef trpo_env_outcome out = trpo_envs_outcome(self.w)
        E, O = self.num_envs, self.spec.obs_size
        self.obs = self._view(out.obs, (E, O), np.float64)
        self.final_obs = self._view(out.final_obs, (E, O), np.float64)
        self.rew = self._view(out.rew, (E,), np.float64)
        self.term = self._view(out.term, (E,), np.bool_)
        self.trunc = self._view(out.trunc, (E,), np.bool_)
        self.episode_return = self._view(out.episode_return, (E,), np.float64)
        self.episode_length = self._view(out.episode_length, (E,), np.int64)
        if out.mask != NULL:
            A = sum(self.spec.choices[d] for d in range(self.spec.n_actions))
            self.mask = self._view(out.mask, (E, A), np.uint8)
        stride = self._place(trpo_envs_state(self.w, 1)) - self._place(trpo_envs_state(self.w, 0))
        states = self._view(trpo_envs_state(self.w, 0), (E, stride), np.uint8)
        self.states = states[:, :self.spec.state_bytes]

    cdef size_t _place(self, const void *at) except? 0:
        return <uintptr_t>at - <uintptr_t>_data(self.memory)

    cdef _view(self, void *at, shape, dtype):
        """An array in `memory`, which the array keeps alive."""
        return np.ndarray(shape, dtype, self.memory, self._place(at))

    def __dealloc__(self):
        if self.w != NULL:
            trpo_envs_close(self.w)

    def close(self):
        """Release the states' resources; `reset` starts again."""
        with self:
            trpo_envs_close(self.w)

    def describe(self):
        """The fields of the environment's struct, as Python values."""
        cdef int D = self.spec.n_actions, O = self.spec.obs_size
        choices = None if self.spec.choices == NULL else [self.spec.choices[i] for i in range(D)]
        return {
            "name": self.spec.name.decode(errors="replace"),
            "obs_size": O,
            "obs_low": _doubles(self.spec.obs_low, O),
            "obs_high": _doubles(self.spec.obs_high, O),
            "n_actions": D,
            "choices": choices,
            "act_low": _doubles(self.spec.act_low, D),
            "act_high": _doubles(self.spec.act_high, D),
            "max_episode_steps": self.spec.max_episode_steps,
            "reward_threshold": self.spec.reward_threshold,
        }

    @property
    def capsule(self):
        """The `trpo_envs *` for other extensions, in a capsule "trpo_envs" that keeps it alive."""
        capsule = PyCapsule_New(self.w, "trpo_envs", _release_envs)
        Py_INCREF(self)
        PyCapsule_SetContext(capsule, <void *>self)
        return capsule

    # ---- exclusive calls

    cdef _check_idle(self):
        if self.busy == _forks:
            raise UserRuntimeError(f"{self.source}: another thread is using these environments")

    cdef _begin(self):
        """Start a call, dropping exceptions that earlier calls left for `_refuse`."""
        self._check_idle()
        self.busy = _forks
        self._forget()

    cdef void _end(self) noexcept:
        self.busy = 0

    cdef _forget(self):
        """Drop the exceptions that were noted for these environments."""
        at = <uintptr_t>_data(self.memory)
        forget(at, at + len(self.memory))

    def __enter__(self):
        self._begin()
        return self

    def __exit__(self, kind, error, traceback):
        self._end()

    # ---- options

    @property
    def options(self):
        """{name: value}"""
        count = self.spec.n_options
        return {self.spec.options[i].name.decode(): float(self.config[i]) for i in range(count)}

    @property
    def reset_options(self):
        """The names of the options that only `reset` uses."""
        count = self.spec.n_options
        return [self.spec.options[i].name.decode() for i in range(count)
                if self.spec.options[i].of_reset]

    def set_options(self, given):
        """Set some options. TypeError for an unknown name, ValueError for an invalid number."""
        self._check_idle()
        known = [self.spec.options[i].name.decode() for i in range(self.spec.n_options)]
        values = {}
        for name, value in given.items():
            if name not in known:
                what = unknown("option", name, known) if known else f"it has no option {name!r}"
                raise UserTypeError(f"{self.source}: {what}")
            values[known.index(name)] = _number(name, value)
        for i, value in values.items():
            self.config[i] = value

    # ---- randomness

    def seed(self, uint64_t seed):
        """Restart all streams: environment e gets stream e of this seed."""
        self._check_idle()
        trpo_envs_seed(self.w, seed)

    def seed_one(self, int e, uint64_t seed, uint32_t number=0):
        """Restart environment e's stream, as stream `number` of this seed."""
        self._check_idle()
        cdef trpo_env_random *random = trpo_envs_random(self.w, self._env(e))
        random.seed, random.count, random.env = seed, 0, number

    # ---- episodes

    def reset(self, mask=None):
        """Start new episodes everywhere, or where mask (E,) is True."""
        cdef trpo_env_failure failure
        cdef const uint8_t *where = NULL
        cdef int status
        if mask is not None:
            mask = arrays.as_array("mask", mask, (self.num_envs,), np.bool_)
            where = <const uint8_t *>_data(mask)
        with self:
            with nogil:
                status = trpo_envs_reset(self.w, where, &failure)
            if status != TRPO_ENV_OK:
                self._refuse(failure, "reset")

    def step(self, act, int autoreset):
        """Step each environment by act (E, D)."""
        cdef trpo_env_failure failure
        cdef int status
        act = arrays.as_array("action", act, (self.num_envs, self.spec.n_actions), np.float64)
        cdef const double *action = <const double *>_data(act)
        self._begin()
        try:
            if self.num_envs < WORTH_RELEASING:
                status = trpo_envs_step(self.w, action, autoreset, 0, self.num_envs, &failure)
            else:
                with nogil:
                    status = trpo_envs_step(self.w, action, autoreset, 0, self.num_envs, &failure)
            if status != TRPO_ENV_OK:
                self._refuse(failure, "step", act[failure.env])
        finally:
            self._end()

    def steps(self, act, int autoreset):
        """Take T steps by act (T, E, D), without returning to Python in between."""
        cdef trpo_env_failure failure
        cdef int status = TRPO_ENV_OK
        shape = (len(act), self.num_envs, self.spec.n_actions)
        act = arrays.as_array("action", act, shape, np.float64)
        cdef const double *action = <const double *>_data(act)
        cdef Py_ssize_t T = len(act), t = 0
        cdef Py_ssize_t width = <Py_ssize_t>self.num_envs * self.spec.n_actions
        with self:
            with nogil:
                while t < T and status == TRPO_ENV_OK:
                    status = trpo_envs_step(self.w, action + t * width, autoreset, 0,
                                            self.num_envs, &failure)
                    t += 1
            if status != TRPO_ENV_OK:
                self._refuse(failure, "step", act[t - 1, failure.env])

    def observe(self):
        """Start an episode in each environment, from its current state in `states`."""
        with self:
            self._observe()

    cdef _observe(self):
        cdef trpo_env_failure failure
        cdef int e, status
        for e in range(self.num_envs):
            status = trpo_envs_observe(self.w, e, &failure)
            if status == TRPO_ENV_ERR_NONE:
                raise UserError(f"{self.source} has no `observe`, so its states cannot be set")
            if status != TRPO_ENV_OK:
                self._refuse(failure, "observe")

    # ---- saving and loading

    @property
    def is_savable(self):
        """Whether `save` and `load` are supported: not if the environment has `open` or `close`,
        but no `save`.
        """
        return trpo_envs_save_bytes(self.w) > 0

    def save(self):
        """The environments' complete state, as bytes. ValueError if not supported,
        SimulationError if an environment's own `save` fails.
        """
        cdef size_t size = trpo_envs_save_bytes(self.w)
        cdef int status
        if size == 0:
            raise UserError(f"{self.source} has `open` or `close` but no `save`, so its "
                            "environments cannot be saved")
        buffer = bytearray(size)
        with self:
            status = trpo_envs_save(self.w, _data(buffer, PyBUF_WRITABLE), size)
            if status != TRPO_ENV_OK:
                self._refuse_saved(status, "save", "the environments are unaffected")
        return bytes(buffer)

    def load(self, saved):
        """Restore what `save` returned, except for the options. ValueError if the bytes are damaged
        or from different environments; SimulationError if an environment's own `load` or `open`
        fails, after which all need a reset.
        """
        saved = bytes(saved)
        cdef int status = -1
        if saved:
            with self:
                status = trpo_envs_load(self.w, _data(saved), len(saved))
                if status in (TRPO_ENV_ERR_FAILED, TRPO_ENV_ERR_OPEN):
                    self._refuse_saved(status, "load", "no environment has an episode")
        if status != TRPO_ENV_OK:
            words = trpo_env_status_text(status).decode() if saved else "there are no bytes"
            raise UserError(f"{self.source} with {self.num_envs} environments: {words}")

    cdef _refuse_saved(self, int status, str call, str consequence):
        """Raise the exception for an error that `save`, `load` or `open` returned."""
        cdef trpo_env_failure failure
        trpo_envs_get_failure(self.w, &failure)
        call = "open" if status == TRPO_ENV_ERR_OPEN else call
        raise SimulationError(
            f"{self.source}: {call} returned error {failure.code}{self._error_text(failure.env)} in "
            f"environment {failure.env}; {consequence}",
            failure.env, 0,
        )

    # ---- errors

    cdef int _env(self, int e) except -1:
        if not 0 <= e < self.num_envs:
            raise IndexError(f"environment {e} of {self.num_envs}")
        return e

    def refuse(self, *, env, step, code, component, status, act, row=None):
        """Raise what `step` would have, for a failure in Agent.collect.

        act (D,) was the environment's action. Call it inside the same `with envs:`, since the next
        call drops the exception that a function of the environment raised.
        """
        self._refuse(trpo_env_failure(env, step, code, component, status), "step", act)

    cdef _refuse(self, trpo_env_failure failure, str call, act=None):
        """Raise the exception for a failure: what failed, environment and step, what to do."""
        cdef int status = failure.status
        words = trpo_env_status_text(status).decode()
        e, c, where = failure.env, failure.component, f"in environment {failure.env}"
        if failure.step:
            where += f" at step {failure.step} of its episode"
        elif call == "step":  # the step started the next episode
            call = "reset"
        if status == TRPO_ENV_ERR_ORDER:
            raise UserRuntimeError(f"environment {e}: {words}")
        if status == TRPO_ENV_ERR_ACT:
            raise UserError(f"{words}: {act[c]:g} (component {c}) for environment {e}")
        failed = failure.code != 0
        raised = noted(<uintptr_t>trpo_envs_state(self.w, e)) if failed else None
        self._forget()  # including environments that failed in the same rollout
        if raised is not None and not isinstance(raised.error, Exception):
            raise raised.error  # e.g. KeyboardInterrupt
        if raised is not None:
            what = f"{raised} {where}"
        elif failed:
            call = {TRPO_ENV_ERR_MASK: "mask", TRPO_ENV_ERR_OPEN: "open"}.get(status, call)
            what = f"{call} returned error {failure.code}{self._error_text(e)} {where}"
        elif status == TRPO_ENV_ERR_OBS:
            what = f"component {c} of the observation is {self.obs[e, c]:g} {where}"
        elif status == TRPO_ENV_ERR_MASK:
            at_reset = "" if failure.step else " at its reset"
            what = f"{self._describe_mask(e, c)} {where}{at_reset}"
        else:
            what = f"{words} {where}"
        raise SimulationError(
            f"{self.source}: {what}; the other environments are unaffected, "
            "and `reset` starts a new episode",
            e, failure.step,
        ) from (None if raised is None else raised.error)

    cdef str _error_text(self, int e):
        """What the environments' library says of environment e's error, in brackets, or nothing."""
        describe = getattr(self.source, "error_text", None)
        text = describe(<uintptr_t>trpo_envs_state(self.w, e)) if describe else ""
        return f" ({text})" if text else ""

    cdef str _describe_mask(self, int e, int d):
        """Describe the error in component d of environment e's mask."""
        start = sum(self.spec.choices[i] for i in range(d))
        mask = self.mask[e, start:start + self.spec.choices[d]]
        for k in np.flatnonzero(mask > 1)[:1]:
            return f"the mask has {mask[k]} for choice {k} of component {d}, not 0 or 1,"
        return f"the mask forbids all {len(mask)} choices of component {d}"


cdef void _release_envs(object capsule) noexcept:
    """Drop a destroyed capsule's reference to its environments."""
    Py_DECREF(<object>PyCapsule_GetContext(capsule))
