"""Times of the kernels that Python can call, compared with NumPy.

    pytest bench/bench_kernels.py

Needs the `test` extra. Before a kernel is timed its result is compared with NumPy's in float64.
The dense kernels are timed through the Fisher product for each policy's size, on each instruction
set that the compiled core has for this machine. For individual kernels, see `python -m
bench.kernels`.
"""

from __future__ import annotations

import numpy as np
import pytest

from bench.batches import SHAPES, random_batch
from bench.peers import ours, small
from bench.peers.cases import FUNCTIONS, PRODUCTS, ROLLOUTS
from fasttrpo.core.backend import has_extension

SETS = ("baseline", "avx2", "avx512", "neon")
needs_core = pytest.mark.skipif(not has_extension(), reason="the compiled core is missing")


@needs_core
@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize(("name", "n"), PRODUCTS, ids=lambda value: str(value))
def test_fisher_product(benchmark, monkeypatch, name, n, instruction_set):
    shape, batch = SHAPES[name], random_batch(SHAPES[name], n)
    monkeypatch.setenv("FASTTRPO_INSTRUCTION_SET", instruction_set)
    try:
        agent = ours.loaded(shape, batch)
    except ValueError as error:
        pytest.skip(str(error))
    monkeypatch.delenv("FASTTRPO_INSTRUCTION_SET")
    expected = ours.loaded(shape, batch, dtype="float64").theory.fisher_product(batch.v)
    assert ours.relative_error(agent.theory.fisher_product(batch.v), expected) < 1e-4
    benchmark(agent.theory.fisher_product, batch.v)


@pytest.mark.parametrize("who", ["ours", "numpy"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(benchmark, name, who):
    """Float32 numbers that stay in the cache; divide by their count for the time per element."""
    function = getattr(ours.stage_functions() if who == "ours" else np, name, None)
    if function is None:
        pytest.skip(f"this fasttrpo has no {name}")
    x = np.random.default_rng(0).normal(size=small.N_ELEMENTS).astype(np.float32)
    out = np.empty_like(x)
    function(x, out)
    np.testing.assert_allclose(out, getattr(np, name)(x.astype(float)), rtol=small.FOUR_ULP)
    benchmark.extra_info["elements"] = x.size
    benchmark(function, x, out)


@pytest.mark.parametrize("who", ["ours", "numpy"])
@pytest.mark.parametrize(("steps", "envs"), ROLLOUTS)
def test_gae(benchmark, steps, envs, who):
    rollout = small.rollout(steps, envs)
    arguments = (*rollout, 0.99, 0.95) if who == "ours" else rollout
    function = ours.stage_functions().gae if who == "ours" else small.numpy_gae
    for found, expected in zip(function(*arguments), small.numpy_gae(*rollout), strict=True):
        assert ours.relative_error(found, expected) < 1e-6
    benchmark(function, *arguments)
