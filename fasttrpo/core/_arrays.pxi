# Where arrays' numbers are.

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer


cdef void *_data(array, int flags=PyBUF_SIMPLE) except NULL:
    """Where a C-contiguous array's numbers are; valid while the caller holds the array."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, flags)
    PyBuffer_Release(&view)
    return view.buf
