"""exp, expm1, tanh and sin of the kernels, on every instruction set that this machine supports:
their errors, and exact properties. The reference is NumPy in the next wider type.
"""

from __future__ import annotations

import importlib
import os

import numpy as np
import pytest
from agents import needs_extension
from tables import table

from fasttrpo.core.backend import has_extension

if not has_extension():
    pytest.skip("the compiled core is missing", allow_module_level=True)

pytestmark = needs_extension

VARIABLE = "FASTTRPO_INSTRUCTION_SET"
MODULES = {np.float32: "fasttrpo.core._core32", np.float64: "fasttrpo.core._core64"}
WIDER = {np.float32: np.float64, np.float64: np.longdouble}
MOST_ULPS = 4
WIDEST = 64  # numbers; several times the widest vector

sets = importlib.import_module(MODULES[np.float32]).instruction_sets()
every_type = pytest.mark.parametrize("dtype", MODULES, ids=lambda dtype: dtype.__name__)
every_function = pytest.mark.parametrize("name", ["exp", "expm1", "tanh", "sin"])


@pytest.fixture(params=[os.environ[VARIABLE]] if os.environ.get(VARIABLE) else sets, autouse=True)
def instruction_set(request, monkeypatch):
    monkeypatch.setenv(VARIABLE, request.param)


def apply(name, x):
    """The kernel's function of x. Checks that x is unchanged."""
    x = np.ascontiguousarray(x)
    given, y = x.copy(), np.full_like(x, 7)
    getattr(importlib.import_module(MODULES[x.dtype.type]), name)(x, y)
    assert np.array_equal(bits(x), bits(given))
    return y


def bits(x):
    return x.view(f"u{x.itemsize}")


def exact_values(name, x):
    with np.errstate(all="ignore"):
        return getattr(np, name)(x.astype(WIDER[x.dtype.type]))


def ulps(y, exact):
    """|y - exact| in units in the last place around exact; subnormals use the smallest unit."""
    kind = np.finfo(y.dtype)
    _, exponent = np.frexp(exact)
    place = np.maximum(exponent - 1 - kind.nmant, kind.minexp - kind.nmant)
    return np.abs(y.astype(exact.dtype) - exact) / np.ldexp(exact.dtype.type(1), place)


def with_both_signs(x):
    return np.concatenate([x, -x])


def all_magnitudes(dtype):
    """Bit patterns evenly spread over all finite numbers: equally many per exponent."""
    step = {np.float32: 2999, np.float64: (1 << 44) - 3}[dtype]
    x = np.arange(0, int(bits(np.array([np.inf], dtype))[0]), step, f"u{dtype().itemsize}")
    return with_both_signs(x.view(dtype))


def around_one(dtype):
    """A denser grid where the functions are neither x, nor constant, nor out of range."""
    bounds = [int(bits(np.array([x], dtype))[0]) for x in (1e-5, 800.0)]
    step = {np.float32: 97, np.float64: (1 << 40) - 87}[dtype]
    return with_both_signs(np.arange(*bounds, step, f"u{dtype().itemsize}").view(dtype))


def neighbours(x, n=40):
    """x and the n numbers on both sides of it."""
    below, above = [x], [x]
    for _ in range(n):
        below.append(np.nextafter(below[-1], x.dtype.type(-np.inf)))
        above.append(np.nextafter(above[-1], x.dtype.type(np.inf)))
    return np.array(below + above)


def edges(dtype):
    """Around zero, overflow, underflow to subnormals and to zero, and multiples of ln 2 / 2."""
    kind = np.finfo(dtype)
    where = [0, kind.tiny, *np.log(2) * np.arange(-64.5, 65, 0.5)]
    where += [np.log(x) for x in (kind.max, kind.tiny, kind.smallest_subnormal, kind.eps)]
    x = np.concatenate([neighbours(x) for x in np.array(where, dtype)])
    return with_both_signs(np.append(x, kind.max))


@every_type
@table("name", ["exp", "expm1", "tanh"])
@table("numbers", [all_magnitudes, around_one, edges])
def test_errors_are_below_four_units_in_the_last_place(name, dtype, numbers):
    if np.finfo(WIDER[dtype]).nmant < np.finfo(dtype).nmant + 10:
        pytest.skip("NumPy has no wider type on this platform")
    x = numbers(dtype)
    y, exact = apply(name, x), exact_values(name, x)
    with np.errstate(over="ignore"):
        rounded = exact.astype(dtype)
    huge = np.isinf(rounded)
    assert np.array_equal(y[huge], rounded[huge])
    errors = ulps(y[~huge], exact[~huge])
    worst = np.argmax(errors)
    assert errors[worst] <= MOST_ULPS, (x[~huge][worst], y[~huge][worst])


SIN_MOST = {np.float32: 2.0**15, np.float64: 2.0**26}


def half_turns(dtype):
    """Around multiples of pi / 2, small and large, where sin is 0 or 1."""
    n = np.concatenate([np.arange(0, 40, 0.5), np.linspace(40, SIN_MOST[dtype] / np.pi - 1, 500)])
    x = np.round(2 * n) / 2 * np.longdouble(np.pi)
    return with_both_signs(np.concatenate([neighbours(each) for each in x.astype(dtype)]))


@every_type
@table("numbers", [all_magnitudes, around_one, half_turns])
def test_errors_of_sin_are_below_two_units_in_the_last_place_of_one(dtype, numbers):
    if np.finfo(WIDER[dtype]).nmant < np.finfo(dtype).nmant + 10:
        pytest.skip("NumPy has no wider type on this platform")
    x = numbers(dtype)
    x = x[np.abs(x) <= SIN_MOST[dtype]]
    y, exact = apply("sin", x), exact_values("sin", x)
    errors = np.abs(y - exact) / np.finfo(dtype).eps
    assert errors.max() <= 2, x[np.argmax(errors)]
    small = np.abs(x) < 1
    assert not small.any() or ulps(y[small], exact[small]).max() <= MOST_ULPS


@every_type
def test_sin_is_odd_and_constant_for_huge_arguments(dtype):
    x = np.concatenate([all_magnitudes(dtype), around_one(dtype), half_turns(dtype)])
    y = apply("sin", x)
    assert np.abs(y).max() <= 1
    assert np.array_equal(apply("sin", -x), -y)
    end = apply("sin", np.array([SIN_MOST[dtype]], dtype))
    far = x >= SIN_MOST[dtype]
    assert far.any()
    assert (y[far] == end).all()
    assert apply("sin", np.array([np.inf], dtype)) == end


@every_type
def test_tanh_is_odd_and_at_most_one(dtype):
    x = np.concatenate([all_magnitudes(dtype), around_one(dtype), edges(dtype)])
    y = apply("tanh", x)
    assert np.abs(y).max() == 1
    assert np.array_equal(bits(apply("tanh", -x)), bits(-y))
    assert np.array_equal(np.signbit(y), np.signbit(x))


def values(name, dtype, *numbers):
    return apply(name, np.array(numbers, dtype)).tolist()


@every_type
def test_exact_values(dtype):
    inf = np.inf
    assert values("exp", dtype, 0, -0.0, inf, -inf) == [1, 1, inf, 0]
    assert values("expm1", dtype, 0, -0.0, inf, -inf) == [0, 0, inf, -1]
    assert values("tanh", dtype, 0, -0.0, inf, -inf) == [0, 0, 1, -1]
    assert np.signbit(values("tanh", dtype, 0, -0.0)).tolist() == [False, True]
    most = float(np.finfo(dtype).max)
    assert values("exp", dtype, most, -most) == [inf, 0]
    assert values("expm1", dtype, most, -most) == [inf, -1]
    assert values("tanh", dtype, most, -most) == [1, -1]


@every_type
@every_function
def test_nan_stays_nan(name, dtype):
    """At every position, without changing its neighbours."""
    x = np.linspace(-3, 3, WIDEST).astype(dtype)
    for place in range(WIDEST):
        for nan in (np.nan, -np.nan):
            given = x.copy()
            given[place] = nan
            y, expected = apply(name, given), apply(name, x)
            assert np.isnan(y[place])
            assert np.array_equal(np.delete(y, place), np.delete(expected, place))


@every_type
@every_function
def test_a_result_depends_only_on_its_argument(name, dtype):
    """Not on its position or on the count; and nothing is written past the end."""
    x = np.random.default_rng(0).normal(0, 4, 2 * WIDEST).astype(dtype)
    alone = np.concatenate([apply(name, x[i : i + 1]) for i in range(x.size)])
    function = getattr(importlib.import_module(MODULES[dtype]), name)
    for count in range(WIDEST + 1):
        for start in (0, 1, 3, count % 17):
            y = np.full(count + WIDEST, 7, dtype)
            function(x[start : start + count], y[:count])
            assert np.array_equal(bits(y[:count]), bits(alone[start : start + count]))
            assert np.all(y[count:] == 7)


@every_type
@every_function
@table("count", [1, 3, 8, 16, 37])
def test_in_place(name, dtype, count):
    x = np.random.default_rng(count).normal(size=count).astype(dtype)
    expected = apply(name, x)
    getattr(importlib.import_module(MODULES[dtype]), name)(x, x)
    assert np.array_equal(bits(x), bits(expected))


@every_type
@every_function
def test_all_fused_instruction_sets_give_the_same_bits(name, dtype, monkeypatch):
    x = np.concatenate([all_magnitudes(dtype)[::7], around_one(dtype)[::7], edges(dtype)])
    found = []
    for each in sets:
        monkeypatch.setenv(VARIABLE, each)
        if each != "baseline":
            found.append(bits(apply(name, x)))
    assert all(np.array_equal(each, found[0]) for each in found)
