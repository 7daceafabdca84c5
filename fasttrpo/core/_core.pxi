# The bindings of the C core, compiled once per precision (_core32.pyx, _core64.pyx).
#
# Three layers with one job each: this file converts and releases the GIL, C computes or rejects,
# and `checks` reports what was wrong. Agent has the methods of fasttrpo.portable.Agent.
#
# Long operations release the GIL: updates, passes over a batch, and acting on more rows than a
# tile. Meanwhile other Python threads that use the agent wait for its memory's lock.

from cpython.buffer cimport PyBUF_STRIDES, PyBuffer_IsContiguous
from cpython.object cimport PyObject
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import os
import threading

import numpy as np

from fasttrpo.checks import arrays
from fasttrpo.errors import UserError, UserMemoryError, UserRuntimeError

cdef extern from "Python.h":  # Cython's own take new references
    Py_ssize_t Py_REFCNT(PyObject *)
    PyObject *PyTuple_GET_ITEM(PyObject *, Py_ssize_t)

include "_arrays.pxi"
include "_declarations.pxi"


# The environment variable that selects an instruction set, for tests.
INSTRUCTION_SET = "FASTTRPO_INSTRUCTION_SET"

REAL = np.dtype(np.float32 if sizeof(trpo_real) == 4 else np.float64)
cdef object BOOL = np.dtype(np.bool_), DOUBLE = np.dtype(np.float64)
cdef object ndarray = np.ndarray

# The keys of update()'s record, after "outcome".
_RECORD = ("n_samples", "surr_gain", "surr_gain_predicted", "surr_gain_tried", "kl",
           "kl_predicted", "kl_tried", "target_kl", "entropy", "std", "grad_norm", "step_norm",
           "curvature", "cg_damping", "cg_steps", "cg_residual", "line_search_steps",
           "explained_variance", "value_loss_before", "value_loss")
# Up to this many rows take less time than releasing and reacquiring the GIL.
cdef enum: FEW_ROWS = 64
# The keys of the record's seconds, in the order of trpo_stage.
_STAGES = ("advantages", "gradient", "solve", "line_search", "critic")
# The episodes of collect(): trpo_episode.
EPISODE = np.dtype([("row", np.intc), ("env", np.intc), ("length", np.int64),
                    ("total", np.float64)])


def status_text(int status):
    """The description of a core status."""
    return trpo_status_text(status).decode()


def cores():
    """How many cores this process may use: its affinity, limited by its control groups' quotas."""
    return trpo_pool_cores()


def instruction_sets():
    """The instruction sets that this machine supports, best first."""
    names = []
    while trpo_instruction_set_at(len(names)) != NULL:
        names.append(trpo_instruction_set_at(len(names)).decode())
    return names


cdef const char *_kernels() except NULL:
    """The instruction set to use: the environment variable's, or the best."""
    names = instruction_sets()
    forced = os.environ.get(INSTRUCTION_SET) or names[0]
    if forced not in names:
        raise UserError(f"{INSTRUCTION_SET}={forced} is not supported by this machine, which has "
                        f"{' and '.join(names)}")
    return trpo_instruction_set_at(names.index(forced))


def distributions():
    """The core's action distributions by name, in its order: network outputs per component (0: one
    per choice), whether they support masks, whether they have a log_std, and the choices of a
    component with 3 outputs (None: actions are real numbers).
    """
    cdef trpo_distribution_facts facts
    table = {}
    while trpo_distribution_at(len(table), &facts):
        choices = None if facts.is_real else facts.n_choices_of_3
        table[facts.name.decode()] = (facts.outputs, bool(facts.takes_masks),
                                      bool(facts.has_log_std), choices)
    return table


cdef trpo_real *_real(array) except NULL:
    return <trpo_real *>_data(array)


cdef double *_double(array) except NULL:
    return <double *>_data(array)


cdef uint8_t *_bytes(array) except NULL:
    return <uint8_t *>_data(array)


cdef uint8_t *_bytes_or_null(array) except? NULL:
    return NULL if array is None else _bytes(array)


cdef object _array_at(void **data, str name, array, dtype, Py_ssize_t rows, Py_ssize_t columns=0):
    """`arrays.as_array` of shape (rows, columns), or (rows,) if columns is 0, and its data."""
    data[0] = _data_if(array, dtype, rows, columns)
    if data[0] == NULL:  # rare in a rollout
        shape = [rows, columns] if columns else [rows]
        array = arrays.as_array(name, array, shape, dtype)
        data[0] = _data(array)
    return array


cdef void *_data_if(array, dtype, Py_ssize_t rows, Py_ssize_t columns) except? NULL:
    """As `_data`, or NULL if `array` is not a C-contiguous array of this dtype and shape."""
    cdef Py_buffer view
    cdef bint fits
    if type(array) is not ndarray or array.dtype is not dtype:
        return NULL
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES)
    fits = view.ndim == (2 if columns else 1) and view.shape[0] == rows
    fits = fits and (columns == 0 or view.shape[1] == columns)
    fits = fits and PyBuffer_IsContiguous(&view, b"C")
    PyBuffer_Release(&view)
    return view.buf if fits else NULL


cdef object _vector(const double *x, Py_ssize_t count):
    """A copy (count,) float64."""
    result = np.empty(count)
    memcpy(_double(result), x, count * sizeof(double))
    return result


include "_settings.pxi"
include "_memory.pxi"
include "_theory.pxi"
include "_agent.pxi"
include "_plain_rows.pxi"
include "_stages.pxi"
