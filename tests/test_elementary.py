"""csrc/include/trpo_math.h: errors, special values, and the same bits from each compiler."""

from __future__ import annotations

import platform
import shutil
import subprocess

import elementary
import make_math
import numpy as np
import pytest
from c_objects import CC
from elementary import DOUBLES, FLOATS, SOURCE, Functions, arguments, pow_arguments
from tables import table

from fasttrpo.portable import math

pytestmark = pytest.mark.skipif(shutil.which(CC) is None, reason=f"there is no C compiler ({CC})")

COUNT = 300  # a few thousand arguments for each function; tests/elementary.py tries millions


@pytest.fixture(scope="session")
def call(tmp_path_factory) -> Functions:
    return Functions(CC, ["-O2"], tmp_path_factory.mktemp("elementary"))


def bits(x):
    return np.ascontiguousarray(x).view(f"u{x.itemsize}")


@table("name", [*DOUBLES, "pow", *FLOATS])
def test_errors_are_near_half_a_unit_in_the_last_place(name, call):
    found = elementary.largest(name, call, COUNT)
    assert found["count"] > COUNT
    assert found["normal"] < 0.51, found
    assert found["subnormal"] < 0.76, found


def test_errors_are_measured_as_units_in_the_last_place():
    y = np.float64(1.5)
    assert elementary.ulps(np.nextafter(y, 2), elementary.exact("exp", 0) * 1.5) == 1
    assert elementary.ulps(np.float64(5e-324), elementary.exact("exp", -1e9)) == 1
    assert (
        elementary.ulps(np.float32(1) + np.finfo(np.float32).eps, elementary.exact("cos", 0)) == 1
    )


SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 5e-324, -5e-324, 2.0**-1022, 1e308, -1e308]
SPECIAL += [0.5, -0.5, 2, -2, 3, -3, 2.5, -2.5, 2.0**52 + 1, -(2.0**52) - 1, 2.0**53, 1 - 2.0**-53]


def assert_same(found, expected):
    """With signs of zeros, and one bit pattern for NaN, whatever its sign or the machine."""
    assert np.array_equal(found, expected, equal_nan=True)
    number = ~np.isnan(expected)
    assert np.array_equal(np.signbit(found[number]), np.signbit(expected[number]))
    assert len(set(bits(found[~number]))) <= 1


@table("name", [*DOUBLES, *FLOATS])
def test_special_values_are_those_of_the_c_library(name, call):
    x = np.array(SPECIAL)
    with np.errstate(all="ignore"):
        expected = getattr(np, name.removesuffix("f"))(x)
        special = ~np.isfinite(x) | ~np.isfinite(expected) | (x == 0) | (np.abs(x) < 1e-300)
        x, expected = (z[special].astype("f4" if name in FLOATS else "f8") for z in (x, expected))
    if name in FLOATS:  # 5e-324 is 0 in float
        with np.errstate(all="ignore"):
            expected = getattr(np, name.removesuffix("f"))(x)
    assert_same(call(name, x), expected)


def test_special_powers_are_those_of_the_c_library(call):
    x, y = (z.ravel() for z in np.meshgrid(SPECIAL, SPECIAL))
    with np.errstate(all="ignore"):
        expected = np.power(x, y)
    special = np.isin(np.abs(expected), [0, 1, np.inf]) | np.isnan(expected) | (y == 1)
    assert special.sum() > 300
    assert_same(call("pow", x, y)[special], expected[special])


def test_ends_of_the_ranges(call):
    """The last arguments with finite results, the last whose results are not zero."""
    inf = np.inf
    x = np.array([709.782712893384, 709.7827128933841, -745.1332191019411, -745.1332191019412])
    assert call("exp", x).tolist() == [1.7976931348622732e308, inf, 5e-324, 0]
    assert call("expm1", x[:2]).tolist() == [1.7976931348622732e308, inf]
    assert call("expm1", np.array([-37.5, -800.0, -inf])).tolist() == [-1, -1, -1]
    two, n = np.full(4, 2.0), np.array([1023.0, 1024, -1074, -1076])
    assert call("pow", two, n).tolist() == [2.0**1023, inf, 5e-324, 0]
    assert call("pow", -two, n + 1).tolist() == [inf, -inf, -(2.0**-1073), -0.0]


def test_exact_powers(call):
    rng = np.random.default_rng(0)
    x = elementary.all_magnitudes(rng, 2000)
    assert np.array_equal(call("pow", x, np.ones_like(x)), x)
    x = rng.integers(-1000, 1000, 2000).astype(float)
    for n in (2, 3, 5):
        assert np.array_equal(call("pow", x, np.full_like(x, n)), x**n)
    powers = np.arange(-1074, 1024)
    assert np.array_equal(call("pow", np.full(powers.size, 2.0), powers * 1.0), np.exp2(powers))
    roots = np.arange(1, 1000) ** 2.0
    assert np.array_equal(call("pow", roots, np.full(999, 0.5)), np.sqrt(roots))


def test_symmetries(call):
    x = arguments("sin", 1000)
    sine, cosine = call("sincos", x)
    assert np.array_equal(bits(sine), bits(call("sin", x)))
    assert np.array_equal(bits(cosine), bits(call("cos", x)))
    assert np.array_equal(bits(call("sin", -x)), bits(-sine))
    assert np.array_equal(bits(call("cos", -x)), bits(cosine))
    assert max(np.abs(sine).max(), np.abs(cosine).max()) == 1


COMPILERS = [
    ("gcc", ["-O0"]),
    ("gcc", ["-O3", "-march=native", "-ffp-contract=fast"]),
    ("gcc", ["-O3", "-march=native", "-xc++", "-std=c++11"]),
    ("clang", ["-O3", "-march=native"]),
    ("clang", ["-O3", "-march=native", "-xc++", "-std=c++11"]),
]
if platform.machine() == "x86_64":  # elsewhere clang cannot be prevented: test_contraction.py
    COMPILERS.append(("clang", ["-O3", "-march=native", "-ffp-contract=fast"]))


@pytest.fixture(scope="session", params=COMPILERS, ids=lambda row: " ".join([row[0], *row[1]]))
def other(request, tmp_path_factory) -> Functions:
    """The functions by another compiler, which may use fused multiply-adds."""
    compiler, flags = request.param
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler}")
    strict = ["-Wall", "-Wextra", "-Werror"]
    return Functions(compiler, [*flags, *strict], tmp_path_factory.mktemp("other"))


def test_all_compilers_give_the_same_bits(call, other):
    for name in (*DOUBLES, *FLOATS, "sincos", "pow"):
        if name == "pow":
            given = pow_arguments(20000)
        elif name in FLOATS:
            given = (elementary.float_arguments(name, 20000),)
        else:
            given = (arguments(name, 20000),)
        assert np.array_equal(bits(call(name, *given)), bits(other(name, *given))), name


def test_the_portable_twin_has_the_same_bits(call):
    """On the arguments that it computes with; compiled by Numba or not."""
    rng = np.random.default_rng(3)
    uniforms = (rng.integers(0, 2**32, 100000) + 0.5) * 2.0**-32
    x = np.abs(elementary.all_magnitudes(rng, 100000))
    for each in (uniforms, x[x >= 2.0**-1022]):
        assert np.array_equal(bits(math.log(each)), bits(call("log", each)))
    for each in (2 * np.pi * uniforms, rng.uniform(-50000, 50000, 100000)):
        assert np.array_equal(bits(math.sin(each, 0)), bits(call("sin", each)))
        assert np.array_equal(bits(math.sin(each, math.QUARTER)), bits(call("cos", each)))
    x = np.concatenate([arguments("exp", 100000), [800, -800, 1e300, -1e300, np.inf, -np.inf]])
    with np.errstate(over="ignore"):
        assert np.array_equal(bits(math.exp(x)), bits(call("exp", x)))
        x = np.append(x[np.abs(x) >= 2.0**-54], 0)
        assert np.array_equal(bits(math.expm1(x)), bits(call("expm1", x)))
        assert np.isnan([math.exp(np.array([np.nan])), math.expm1(np.array([np.nan]))]).all()
        x, y = pow_arguments(100000)
        normal = (x >= 2.0**-1022) & (np.abs(np.log2(x) * y) < 1021)
        x, y = x[normal], y[normal]
        assert np.array_equal(bits(math.power(x, y)), bits(call("pow", x, y)))
    betas, t = np.repeat([0.9, 0.999], 10000), np.tile(np.arange(1.0, 10001), 2)
    assert np.array_equal(bits(math.power(betas, t)), bits(call("pow", betas, t)))


@table("flag", ["-f" + "fast-math", "-O" + "fast", "-mfpmath=387"])
def test_flags_that_change_results_are_refused(flag, tmp_path):
    command = [CC, flag, "-c", str(SOURCE), "-o", str(tmp_path / "x.o")]
    if flag.startswith("-m"):
        with open("/proc/cpuinfo") as file:
            if "sse2" not in file.read():
                pytest.skip("there is no x87")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "#error" in done.stderr
    assert "fasttrpo: " in done.stderr


def test_constants_in_float_are_refused(tmp_path):
    command = ["-fsingle-precision-constant", "-c", str(SOURCE), "-o", str(tmp_path / "x.o")]
    done = subprocess.run([CC, *command], capture_output=True, text=True, check=False)
    if "not supported" in done.stderr:
        pytest.skip(f"{CC} has no such constants")
    assert "omit_single_precision_constant" in done.stderr


def test_tables_are_those_that_the_script_makes():
    assert make_math.header() == make_math.HEADER.read_text()
    assert make_math.module() == make_math.MODULE.read_text()
