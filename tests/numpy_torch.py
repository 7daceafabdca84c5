"""The PyTorch functions with which sb3-contrib's tests compare parameters, for NumPy arrays.

`sb3_contrib_tests.py` uses it in place of PyTorch, since our parameters are NumPy arrays.
"""

import numpy as np

Tensor = np.ndarray


def is_floating_point(array):
    """Whether the array holds floats."""
    return np.issubdtype(array.dtype, np.floating)


def rand_like(array):
    """Uniform random numbers from 0 to 1 in the array's shape."""
    return np.random.default_rng().random(array.shape)


def randint_like(array, high):
    """Random integers from 0 to high - 1 in the array's shape."""
    return np.random.default_rng().integers(high, size=array.shape)


def allclose(a, b):
    """Compares with PyTorch's tolerances, which are NumPy's."""
    return np.allclose(a, b)
