# Access to arrays' memory.

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer


cdef void *_data(array, int flags=PyBUF_SIMPLE) except NULL:
    """A pointer to a C-contiguous array's data, valid while the caller holds the array."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, flags)
    PyBuffer_Release(&view)
    return view.buf
