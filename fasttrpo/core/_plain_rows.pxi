# Rows of one Python environment, whose answers need nothing but conversions to numbers.

from cpython.exc cimport PyErr_CheckSignals
from cpython.long cimport PyLong_AsLongLongAndOverflow

cdef object INT64 = np.int64, FLOAT32 = np.float32, FLOAT64 = np.float64
cdef object TRUE = np.True_, FALSE = np.False_
cdef object SINGLE = np.dtype(np.float32), WHOLE = np.dtype(np.int64)
cdef object NO_EPISODES = np.empty(0, EPISODE)
cdef tuple BYTES = (BOOL, np.dtype(np.int8), np.dtype(np.uint8))


cdef class _Part:
    """One part of an environment's observations: an array of real numbers, or a choice, one-hot.

    kept   (1, *shape): the memory of the environment's last observation, in the space's dtype
    start  the first choice, or None for an array
    size   numbers in the agent's row
    """

    cdef object kept, dtype
    cdef Py_ssize_t rows, columns  # of an array; columns is 0 if it has one axis
    cdef int64_t start, choice
    cdef void *to     # the data of `kept`
    cdef void *given  # of the observation that was read last
    cdef object held  # that observation, if it is an array
    cdef size_t n_bytes
    cdef readonly int size

    def __cinit__(self, kept, start, int size):
        self.kept, self.dtype, self.size = kept, kept.dtype, size
        self.to, self.n_bytes = _data(kept), kept.nbytes
        self.start = start or 0
        self.rows, self.columns = (*kept.shape[1:], 0, 0)[:2]

    cdef bint read(self, obs, trpo_real *row) except -1:
        """Whether an observation is plain; writes it to the agent's row, which is cleared."""
        if self.dtype is WHOLE:
            return self._read_choice(obs, row)
        self.given = _data_if(obs, self.dtype, self.rows, self.columns)
        if self.given == NULL:
            return False
        self.held = obs
        if self.dtype is SINGLE:
            _convert(row, <float *>self.given, self.size)
        elif self.dtype is DOUBLE:
            _convert(row, <double *>self.given, self.size)
        else:
            return False
        return True

    cdef bint _read_choice(self, obs, trpo_real *row) except -1:
        if not _read_int(obs, &self.choice) or not 0 <= self.choice - self.start < self.size:
            return False
        row[self.choice - self.start] = 1
        self.given = &self.choice
        return True

    cdef void keep(self) noexcept:
        """Keeps the observation that was read last."""
        memcpy(self.to, self.given, self.n_bytes)


ctypedef fused _float:
    float
    double


cdef void _convert(trpo_real *row, const _float *obs, int size) noexcept:
    cdef int i
    for i in range(size):
        row[i] = <trpo_real>obs[i]


cdef class _PlainActions:
    """Converts an action for the environment: fasttrpo.spaces.actions.PlainActions and `to_env`.

    drawn  (1, D): the action to convert
    """

    cdef object to_env, drawn, like, bounds
    cdef list choices
    cdef trpo_real *act
    cdef double *limits  # the data of `bounds`
    cdef bint is_single
    cdef int D

    def __cinit__(self, to_env, plain, int D):
        self.to_env, self.D = to_env, D
        self.choices, self.like, self.bounds = plain
        self.drawn = np.empty((1, D), REAL)
        self.act = _real(self.drawn)
        if self.like is not None:
            self.limits, self.is_single = _double(self.bounds), self.like.dtype is SINGLE

    cdef object sent(self):
        """The action as sent to the environment, which may keep it and write to it."""
        if self.choices is not None:
            return self.choices[<Py_ssize_t>self.act[0]]
        if self.like is None:
            return self.to_env(self.drawn)[0]
        sent = self.like.copy()
        if self.is_single:
            _clip[float](<float *>_data(sent), self.act, self.limits, self.D)
        else:
            _clip[double](<double *>_data(sent), self.act, self.limits, self.D)
        return sent


cdef void _clip(_float *sent, const trpo_real *act, const double *bounds, int D) noexcept:
    """sent (D) = act, clipped to bounds (2, D)."""
    cdef int d
    for d in range(D):
        sent[d] = <_float>min(max(<double>act[d], bounds[d]), bounds[D + d])


cdef class PlainRows:
    """Collects the plain rows of an agent's only environment: those whose answers, once checked,
    need nothing but conversions to numbers. Other rows are left to Python, which has the same
    results for plain ones.

    agent, env
    kept, spaces   `InTurn.only`
    to_env, acts   of the spaces.Actions: `to_env`, `plain`
    parts          `Observations.plain`
    reports        keys of an info at an episode's end that Python reads
    mask_key       of the mask in an info
    n_choices      of each part of an action; if there is one part, masks are plain

    count          rows that the last `run` completed
    """

    cdef Agent agent
    cdef _PlainActions acts
    cdef object env, container, mask_key, rows, mask
    cdef tuple keys, reports
    cdef list parts, ended
    cdef trpo_real *obs       # (O) of the next row
    cdef trpo_real *next_obs  # (O) after the step
    cdef bint is_masked
    cdef int n_choices
    cdef double reward
    cdef uint8_t terminated, truncated
    cdef readonly int count

    def __cinit__(self, Agent agent, env, kept, spaces, to_env, acts, parts, reports, mask_key,
                  n_choices):
        self.agent, self.env = agent, env
        self.acts = _PlainActions(to_env, acts, agent.memory.D)
        self.parts = [_Part(*part) for part in zip(kept, *zip(*parts))]
        self.container = None if spaces is None else dict if isinstance(spaces, dict) else tuple
        self.keys = tuple(spaces if self.container is dict else range(len(parts)))
        self.rows = np.empty((2, agent.obs_size), REAL)
        self.mask = np.empty((1, agent.memory.A), BOOL)
        self.mask_key, self.reports = mask_key, tuple(reports)
        self.n_choices = n_choices[0] if len(n_choices) == 1 else 0

    @property
    def episodes(self):
        """The episodes that ended in the last `run`, (n,) of EPISODE."""
        return np.array(self.ended, EPISODE) if self.ended else NO_EPISODES

    @property
    def masks(self):
        """(1, A) bool, of the next row; None: all choices are allowed."""
        return self.mask.copy() if self.is_masked else None

    def run(self, obs, masks, totals, lengths, int n_rows):
        """Collects up to `n_rows` rows, as long as they are plain.

        obs, masks       of the first row
        totals, lengths  (1,) of the unfinished episode, which it updates

        Returns None, or the answers of the first row that is not plain: the step's, and the one of
        the reset after it, if that was called.
        """
        cdef trpo_real *first
        cdef double *total = _double(totals)
        cdef int64_t *length = <int64_t *>_data(lengths)
        self.count, self.ended = 0, []
        self.obs, self.next_obs = _real(self.rows), _real(self.rows[1])
        obs = _array_at(<void **>&first, "observation", obs, REAL, 1, self.agent.obs_size)
        memcpy(self.obs, first, obs.nbytes)
        self.is_masked = masks is not None
        if self.is_masked:
            self.mask[:] = masks
        while self.count < n_rows and self._open():
            answers = self._close(total, length)
            if answers is not None:
                return answers
            self.count += 1
            PyErr_CheckSignals()
        return None

    cdef bint _open(self) except -1:
        """Draws an action. False: `Agent.act` raises."""
        cdef uint8_t *mask = _bytes(self.mask) if self.is_masked else NULL
        return self.agent.open_row(self.acts.act, self.obs, mask) == TRPO_OK

    cdef tuple _close(self, double *total, int64_t *length):
        """Steps the environment; returns None, or what `run` does."""
        cdef bint ended
        cdef tuple answers = (self.env.step(self.acts.sent()),)
        if not self._read_step(answers[0]):
            return answers
        ended = self.terminated or self.truncated
        if ended:
            answers = self._copied(answers[0]), self.env.reset()
            if not self._read_reset(answers[1]):
                return answers
        if self.agent.close_row(&self.reward, &self.terminated, &self.truncated,
                                self.next_obs) != TRPO_OK:
            return answers  # something is not finite
        for part in self.parts:
            (<_Part>part).keep()
        total[0] += self.reward
        length[0] += 1
        if ended:
            self.ended.append((self.count, 0, length[0], total[0]))
            total[0], length[0] = 0, 0
        else:
            self.obs, self.next_obs = self.next_obs, self.obs
        return None

    cdef tuple _copied(self, tuple answer):
        """A copy of a step's plain answer: reset may write to the observation and the info."""
        obs, reward, terminated, truncated, info = answer
        if self.container is None:
            obs = _copy(obs)
        else:
            parts = [_copy(obs[key]) for key in self.keys]
            obs = dict(zip(self.keys, parts)) if self.container is dict else tuple(parts)
        return obs, reward, terminated, truncated, dict(info)

    cdef bint _read_step(self, answer) except -1:
        """Whether a step's answer is plain."""
        if type(answer) is not tuple or len(<tuple>answer) != 5:
            return False
        obs, reward, terminated, truncated, info = <tuple>answer
        if not _read_reward(reward, &self.reward):
            return False
        if not _read_flag(terminated, &self.terminated):
            return False
        if not _read_flag(truncated, &self.truncated):
            return False
        if self.terminated or self.truncated:
            return self._reports_nothing(info) and self._read_obs(obs, self.next_obs)
        return self._read_mask(info) and self._read_obs(obs, self.next_obs)

    cdef bint _read_reset(self, answer) except -1:
        """Whether a reset's answer is plain."""
        if type(answer) is not tuple or len(<tuple>answer) != 2:
            return False
        obs, info = <tuple>answer
        return self._read_mask(info) and self._read_obs(obs, self.obs)

    cdef bint _reports_nothing(self, info) except -1:
        """Whether Python reads nothing of the info at an episode's end."""
        if type(info) is not dict:
            return False
        for key in self.reports:
            if key in <dict>info:
                return False
        return True

    cdef bint _read_mask(self, info) except -1:
        """Whether the mask in an info is plain, or there is none."""
        cdef uint8_t *data
        cdef uint8_t all_bits = 0
        cdef int i
        if type(info) is not dict:
            return False
        self.is_masked = self.mask_key in <dict>info
        if not self.is_masked:
            return True
        given = (<dict>info)[self.mask_key]
        if type(given) is not ndarray or given.dtype not in BYTES or self.n_choices == 0:
            return False
        data = <uint8_t *>_data_if(given, given.dtype, self.n_choices, 0)
        if data == NULL:
            return False
        for i in range(self.n_choices):
            all_bits |= data[i]
        memcpy(_data(self.mask), data, self.n_choices)
        return all_bits == 1

    cdef bint _read_obs(self, obs, trpo_real *row) except -1:
        """Whether an observation is plain; writes it to the agent's row."""
        cdef _Part part
        cdef int i
        memset(row, 0, self.agent.obs_size * sizeof(trpo_real))
        if self.container is None:
            return (<_Part>self.parts[0]).read(obs, row)
        if type(obs) is not self.container or len(obs) != len(self.keys):
            return False
        for i in range(len(self.keys)):
            part = self.parts[i]
            if self.container is dict and self.keys[i] not in obs:
                return False
            if not part.read(obs[self.keys[i]], row):
                return False
            row += part.size
        return True


cdef object _copy(part):
    """A copy of a plain part of an observation."""
    return part.copy() if type(part) is ndarray else part


cdef bint _read_int(given, int64_t *value) except -1:
    """Whether `given` is an int64."""
    cdef int overflow = 0
    if type(given) is not int and type(given) is not INT64:
        return False
    value[0] = PyLong_AsLongLongAndOverflow(int(given), &overflow)
    return overflow == 0


cdef bint _read_flag(given, uint8_t *value) except -1:
    """Whether `given` is True or False."""
    value[0] = given is True or given is TRUE
    return value[0] or given is False or given is FALSE


cdef bint _read_reward(given, double *value) except -1:
    """Whether `given` is a number that NumPy and Python convert alike."""
    cdef int64_t whole
    kind = type(given)
    if kind is float or kind is FLOAT64 or kind is FLOAT32:
        value[0] = given
        return True
    if kind is not int or not _read_int(given, &whole):
        return False
    value[0] = whole
    return True
