"""Parts of the portable twin that the agents' common interface does not show."""

from __future__ import annotations

import importlib
import pkgutil

import numpy as np
import pytest

import fasttrpo.portable
from fasttrpo.portable import advantages, jit, math, network, normalizer, preconditioner, rng
from fasttrpo.portable.normalizer import Moments


def test_inverse_skips_vanishing_pivots():
    root = np.random.default_rng(0).normal(size=(6, 6))
    matrix = root @ root.T + 0.01 * np.eye(6)
    np.testing.assert_allclose(preconditioner.inverse(matrix) @ matrix, np.eye(6), atol=1e-9)
    flat = root[:, :3] @ root[:, :3].T  # rank 3: the last three pivots vanish
    inverse = preconditioner.inverse(flat)
    np.testing.assert_allclose(inverse[:3, :3] @ flat[:3, :3], np.eye(3), atol=1e-9)
    assert not inverse[3:].any()
    assert not inverse[:, 3:].any()
    assert not preconditioner.inverse(np.full((2, 2), np.nan)).any()


def test_activation_slopes_are_derivatives():
    z = np.array([-1.3, -0.2, 0.4, 2.0])
    for activate, slope in network.ACTIVATIONS.values():
        numeric = (activate(z + 1e-6) - activate(z - 1e-6)) / 2e-6
        np.testing.assert_allclose(slope(activate(z)), numeric, atol=1e-9)
    assert network.ACTIVATIONS["relu"][1](np.zeros(1)) == 0


def test_moments_merge_like_one_batch():
    """Far from 0, where a plain sum of squares would lose every digit."""
    x = 1e8 + np.random.default_rng(0).normal(size=(100, 2))
    moments = Moments.empty(2)
    assert moments.scale.tolist() == [1, 1]
    for part in np.split(x, [1, 40, 70]):
        moments = moments.merge(part)
    assert moments.count == 100
    np.testing.assert_allclose(moments.mean, x.mean(axis=0), rtol=1e-15)
    np.testing.assert_allclose(moments.m2, 100 * x.var(axis=0), rtol=1e-6)


# -- compiled by Numba ----------------------------------------------------------------------------


def compiled_examples():
    draw = np.random.default_rng(0)
    rew, val, boot = draw.normal(size=(3, 9, 2))
    done, skip = draw.random((2, 9, 2)) < 0.3
    words = np.array([1 << 31, 5, 0xFFFFFFFF, 77], np.uint64)
    return {
        rng.philox: (np.arange(8, dtype=np.uint64) % np.uint64(4), *np.arange(6, dtype=np.uint64)),
        rng.shuffle: (words, 6),
        advantages.gae: (rew, val, boot, done, skip, 0.9, 0.8),
        normalizer.discounted_returns: (val[0], rew, done, skip, 0.9),
        math.head: (0.7,),
        math.log_reduce: (0.3,),
        math.log: (0.3,),
        math.log_rest: (0.002,),
        math.sin: (2.0, 0),
        math.sin_sum: (np.uint64(3), -1e-6, -1e-4, 0.01, 0.01, 1e-9),
        math.exp: (1.3,),
        math.exp_of: (1.3, 1e-9),
        math.exp_rest: (0.002,),
        math.exponent: (math.ROUNDING + 200.0,),
        math.power_of_2: (-3,),
        math.expm1: (0.2,),
        math.power: (0.7, -2.5),
    }


def source(function):
    """The Python function that Numba compiled; elementwise functions keep it one level deeper."""
    return getattr(function, "_dispatcher", function).py_func


@pytest.mark.skipif(not jit.COMPILED, reason="needs numba")
def test_compiled_functions_equal_their_source():
    examples = compiled_examples()
    modules = [
        importlib.import_module(f"fasttrpo.portable.{info.name}")
        for info in pkgutil.iter_modules(fasttrpo.portable.__path__)
    ]
    compiled = {
        function
        for module in modules
        for function in vars(module).values()
        if type(function).__name__ in ("CPUDispatcher", "DUFunc")
    }
    assert compiled == set(examples), "each compiled function needs an example"
    for function, arguments in examples.items():
        with np.errstate(over="ignore"):  # of integers
            fast, slow = function(*arguments), source(function)(*arguments)
        if not isinstance(fast, tuple):
            fast, slow = (fast,), (slow,)
        for a, b in zip(fast, slow, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-14, atol=1e-15)
