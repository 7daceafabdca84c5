"""The few functions of PyTorch that sb3-contrib's tests compare parameters with, on NumPy arrays.

`sb3_contrib_tests.py` puts it in PyTorch's place there: our parameters are arrays, not tensors.
"""

import numpy as np

Tensor = np.ndarray


def is_floating_point(array):
    """Whether it holds floats."""
    return np.issubdtype(array.dtype, np.floating)


def rand_like(array):
    """Uniform draws from 0 to 1 in the array's shape."""
    return np.random.default_rng().random(array.shape)


def randint_like(array, high):
    """Integers from 0 to high - 1 in the array's shape."""
    return np.random.default_rng().integers(high, size=array.shape)


def allclose(a, b):
    """With PyTorch's tolerances, which are NumPy's."""
    return np.allclose(a, b)
