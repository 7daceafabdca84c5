"""The functions of trpo_math.h compared with mpmath: the arguments, and errors in units in the last
place. `python -m tests.elementary 1000000` prints the largest errors on so many random arguments.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from mpmath import mp, mpf

SOURCE = Path(__file__).parent / "c" / "elementary.c"
DOUBLES = ("sin", "cos", "log", "log1p", "exp", "expm1")
FLOATS = ("logf", "log1pf")
PRECISION = 160  # bits


class Functions:
    """The C functions, of arrays, compiled with the compiler and flags."""

    def __init__(self, compiler: str, flags: list[str], folder: Path) -> None:
        library = folder / "elementary.so"
        command = [compiler, *flags, "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-lm"]
        subprocess.run(command, check=True)
        self._library = ctypes.CDLL(str(library))

    def __call__(self, name: str, *arguments: np.ndarray) -> np.ndarray:
        arguments = tuple(map(np.ascontiguousarray, arguments))
        x = arguments[0]
        results = np.empty((2, x.size) if name == "sincos" else x.size, x.dtype)
        arrays = [*(results if name == "sincos" else [results]), *arguments]
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
        getattr(self._library, f"{name}_of")(*pointers, ctypes.c_long(x.size))
        return results


def exact(name: str, *arguments: float) -> mpf:
    """The function's value for finite arguments in its domain."""
    name = name.removesuffix("f") if name in FLOATS else name
    with mp.workprec(PRECISION):
        x = [mpf(float(each)) for each in arguments]
        return x[0] ** x[1] if name == "pow" else getattr(mp, name)(*x)


def ulps(result: np.floating, value: mpf) -> float:
    """|result - value| in units in the last place of the value."""
    kind = np.finfo(result.dtype)
    with mp.workprec(PRECISION):
        exponent = mp.frexp(value)[1] if value else kind.minexp
        place = max(exponent - 1 - kind.nmant, kind.minexp - kind.nmant)
        return float(abs(mpf(float(result)) - value) / mpf(2) ** place)


# -- arguments -------------------------------------------------------------------------------------


def from_bits(bits: np.ndarray, dtype: type) -> np.ndarray:
    return bits.view(dtype)[np.isfinite(bits.view(dtype))]


def all_magnitudes(rng: np.random.Generator, count: int, dtype: type = np.float64) -> np.ndarray:
    """Finite numbers with random bits: as many of each exponent."""
    kind = np.dtype(f"u{np.dtype(dtype).itemsize}")
    return from_bits(rng.integers(0, np.iinfo(kind).max, count, kind, endpoint=True), dtype)


def around(centres: np.ndarray, rng: np.random.Generator, steps: int = 3) -> np.ndarray:
    """The centres, each moved by a few units in the last place."""
    bits = np.asarray(centres, np.float64).view(np.int64)
    return (bits + rng.integers(-steps, steps, bits.shape, endpoint=True)).view(np.float64)


EDGES = [2.0**-54, 2.0**-40, 2.0**-28, 2.0**-27, 2.0**-26, 2.0**-9, 2.0**-8, 0.5, 1, 2, 45, 5e4]
EDGES += [708.4, 709.78, 709.79, 745.13, 745.14, 1000, 2.0**53, 2.0**54, 1e300, 2.0**-1022, 5e-324]


def angles(rng: np.random.Generator, count: int) -> np.ndarray:
    """Usual ones; next to multiples of pi/64 and pi, where little of the argument is left."""
    turns = rng.integers(1, 2**20, count // 4) * (np.pi / 64)
    half_turns = rng.integers(1, 2**14, count // 4) * np.pi
    huge = np.round(np.exp2(rng.uniform(16, 50, count // 4))) * np.pi
    # Nearest of all doubles to a multiple of pi/64, and of pi/2.
    hard = [
        6381956970095103 * 2.0**792,
        6381956970095103 * 2.0**797,
        5.319372648326541e255,
        1.0192888130112e16,
    ]
    usual = rng.normal(0, 3, count // 4)
    return np.concatenate([usual, around(np.concatenate([turns, half_turns, huge]), rng), hard])


def logarithms(rng: np.random.Generator, count: int) -> np.ndarray:
    """Around 1, and around the edges of the table's rows."""
    near = 1 + rng.choice([-1, 1], count // 4) * np.exp2(rng.uniform(-53, -1, count // 4))
    rows = (0x3FE6900000000000 + (rng.integers(0, 129, count // 4) << 45)).view(np.float64)
    return np.concatenate([near, around(rows, rng), rng.uniform(0, 1, count // 4)])


def exponents(rng: np.random.Generator, count: int) -> np.ndarray:
    """Of all sizes that give finite results; around the edges of the table's rows."""
    edges = (rng.integers(-4000, 4000, count // 4) + 0.5) * (np.log(2) / 128)
    small = rng.choice([-1, 1], count // 4) * np.exp2(rng.uniform(-60, 2, count // 4))
    extreme = np.concatenate(
        [rng.uniform(-746, -707, count // 8), rng.uniform(700, 711, count // 8)]
    )
    return np.concatenate([around(edges, rng), small, extreme, rng.uniform(-40, 50, count // 4)])


def differences(rng: np.random.Generator, count: int) -> np.ndarray:
    """For log1p: above -1, of all sizes, and x with 1 + x around the edges of the table's rows."""
    small = rng.choice([-1, 1], count // 2) * np.exp2(rng.uniform(-60, 0, count // 2))
    return np.concatenate(
        [small, logarithms(rng, count) - 1, np.exp2(rng.uniform(0, 60, count // 4))]
    )


ARGUMENTS = {
    "sin": angles,
    "cos": angles,
    "sincos": angles,
    "log": logarithms,
    "log1p": differences,
}
ARGUMENTS |= {"exp": exponents, "expm1": exponents}
DOMAINS = {"log": (0, np.inf), "log1p": (-1, np.inf), "exp": (-745, 709.7), "expm1": (-800, 709.7)}


def arguments(name: str, count: int, seed: int = 0) -> np.ndarray:
    """At least so many arguments in the function's domain."""
    rng = np.random.default_rng(seed)
    edges = around(np.array(EDGES), rng, 0)
    edges = np.concatenate([edges, np.nextafter(edges, 0), np.nextafter(edges, np.inf)])
    x = np.concatenate([all_magnitudes(rng, count), ARGUMENTS[name](rng, count), edges, -edges])
    low, high = DOMAINS.get(name, (-np.inf, np.inf))
    return x[(x > low) & (x < high)]


def float_arguments(name: str, count: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    usual = arguments(name.removesuffix("f"), count, 1)
    with np.errstate(over="ignore", under="ignore"):
        x = np.concatenate([all_magnitudes(rng, count, np.float32), usual.astype(np.float32)])
    low, high = DOMAINS[name.removesuffix("f")]
    return x[np.isfinite(x) & (x > low) & (x < high)]


def pow_arguments(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs with finite results that are not zero."""
    rng = np.random.default_rng(2)
    x = np.abs(np.concatenate([all_magnitudes(rng, 2 * count), logarithms(rng, 4 * count)]))
    x = x[(x > 0) & (x != 1)]
    with np.errstate(all="ignore"):
        y = rng.uniform(-745, 709.7, x.size) / np.log(x)
        y = np.where(rng.random(x.size) < 0.2, np.round(y), y)
        y = np.where(rng.random(x.size) < 0.3, rng.normal(0, 2, x.size), y)
        size = y * np.log(x)
        usable = (size > -744.5) & (size < 709.7) & (np.abs(size) > 1e-18)
    return x[usable], y[usable]


def largest(name: str, call: Functions, count: int) -> dict[str, float]:
    """The largest errors, of normal and of subnormal results, and the worst argument."""
    if name == "pow":
        given: tuple[np.ndarray, ...] = pow_arguments(count)
    else:
        given = (float_arguments(name, count) if name in FLOATS else arguments(name, count),)
    results = call(name, *given)
    worst = {"normal": 0.0, "subnormal": 0.0}
    where = {}
    tiny = np.finfo(results.dtype).tiny
    for result, *each in zip(results, *given, strict=True):
        kind = "normal" if abs(result) >= tiny else "subnormal"
        error = ulps(result, exact(name, *each))
        if error > worst[kind]:
            worst[kind], where[kind] = error, tuple(map(float, each))
    return worst | {"count": results.size, "where": where}


def main() -> None:
    """Print the largest errors."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    with tempfile.TemporaryDirectory() as folder:
        call = Functions("cc", ["-O2"], Path(folder))
        for name in sys.argv[2:] or (*DOUBLES, "pow", *FLOATS):
            worst = largest(name, call, count)
            print(
                f"{name:7s} {worst['count']:8d} arguments: at most {worst['normal']:.4f} ulp, "
                f"{worst['subnormal']:.4f} where subnormal  {worst['where']}",
                flush=True,
            )


if __name__ == "__main__":
    main()
