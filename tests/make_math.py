"""Generates the tables and coefficients of csrc/include/trpo_math.h.

`python -m tests.make_math` writes them with mpmath, for C and for the portable twin:

    csrc/include/trpo_math_tables.h
    fasttrpo/portable/math_tables.py

Polynomials are exact at Chebyshev's points, and so almost minimax. "head" is a number of few bits,
so that its products are exact; head + tail has about twice the bits of a double.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mpmath import mp, mpf

ROOT = Path(__file__).parents[1]
HEADER = ROOT / "csrc" / "include" / "trpo_math_tables.h"
MODULE = ROOT / "fasttrpo" / "portable" / "math_tables.py"

PRECISION = 200  # bits, of all that is computed here
HEAD_BITS = 26  # of a head: the product of two is exact
N = 128  # rows of each table
LOG_START = (
    0x3FE69 << 44
)  # the bits of the least z, about 0.705, and of none that starts a row at 1
INVERSE_UNIT = 20  # bits after the point of a row's 1/c
LOG_UNIT = 42  # of log c and ln 2, so that k ln 2 + log c is exact for |k| < 2^11

Table = list[list[float]]


def rounded(x: mpf, bits: int) -> float:
    """To the nearest number with so many significant bits."""
    with mp.workprec(bits):
        return float(+x)


def fixed(x: mpf, places: int) -> float:
    """To the nearest multiple of 2^-places."""
    return float(mp.nint(x * 2**places) / mpf(2) ** places)


def parts(x: mpf, *bits: int) -> list[float]:
    """x as a sum of numbers of so many significant bits each, the last a double."""
    found = []
    for count in (*bits, 53):
        found.append(rounded(x, count))
        x -= found[-1]
    return found


def log_rows() -> Table:
    """1/c, and log c in two parts, for c near the middle of each of 128 parts of [0.7, 1.4)."""
    return [_log_row(i) for i in range(N)]


def _log_row(i: int) -> list[float]:
    low, high = (_double(LOG_START + (j << 45)) for j in (i, i + 1))
    inverse = 1.0 if low < 1 < high else fixed(2 / (mpf(low) + mpf(high)), INVERSE_UNIT)
    log = -mp.log(inverse)
    head = fixed(log, LOG_UNIT)
    return [inverse, head, float(log - head)]


def _double(bits: int) -> float:
    import struct

    return struct.unpack("<d", struct.pack("<Q", bits))[0]


def exp_rows() -> Table:
    """2^(i/128), head and tail."""
    return [parts(mpf(2) ** (mpf(i) / N), HEAD_BITS) for i in range(N)]


def sin_rows() -> Table:
    """sin(i pi/64), head and tail; symmetric to the bit."""
    quarter = [parts(mp.sinpi(mpf(i) / 64), HEAD_BITS) for i in range(33)]
    half = quarter + quarter[31:0:-1]
    return half + [[-head or 0.0, -tail or 0.0] for head, tail in half]


def inverse_of_two_pi() -> list[int]:
    """64 zeros, then the bits of 1/(2 pi) after the point, in words of 32: enough for 2^1023."""
    with mp.workprec(1500):
        digits = int(mp.floor(2**1248 / (2 * mp.pi)))
    return [0, 0] + [digits >> shift & 0xFFFFFFFF for shift in range(1216, -1, -32)]


def polynomial(function: Any, low: Any, high: Any, terms: int) -> list[float]:
    """Coefficients, the constant first, of the polynomial that is exact at Chebyshev's points."""
    angles = [mp.pi * (2 * j + 1) / (2 * terms) for j in range(terms)]
    points = [(low + high) / 2 + (high - low) / 2 * mp.cos(angle) for angle in angles]
    powers = mp.matrix([[x**n for n in range(terms)] for x in points])
    return [float(c) for c in mp.lu_solve(powers, mp.matrix([function(x) for x in points]))]


def series(coefficient: Any) -> Any:
    """sum_n coefficient(n) x^n, which has no cancellation at 0, for small |x|."""
    terms = [coefficient(n) for n in range(30)]
    return lambda x: mp.fsum(term * x**n for n, term in enumerate(terms))


def coefficients() -> dict[str, tuple[str, list[float]]]:
    """{name: (what it is, numbers)}"""
    near = mpf(2) ** -8
    half = mp.log(2) / (2 * N)
    turn = (mp.pi / N) ** 2
    log = series(lambda n: mpf(-1) ** n / (n + 3))
    exp = series(lambda n: 1 / mp.factorial(n + 3))
    sin = series(lambda n: mpf(-1) ** (n + 1) / mp.factorial(2 * n + 3))
    cos = series(lambda n: mpf(-1) ** n / mp.factorial(2 * n + 4))
    step = mp.log(2) / N
    ln2 = fixed(mp.log(2), LOG_UNIT)
    return {
        "LN2": ("ln 2", [ln2, float(mp.log(2) - ln2)]),
        "LOG_P": (
            "log(1 + r) = r - r^2/2 + r^3 P(r), |r| <= 2^-8",
            polynomial(log, -near, near, 6),
        ),
        "PER_LN2": ("128 / ln 2", [float(1 / step)]),
        "STEP": ("ln 2 / 128; n times the first is exact for |n| < 2^18", parts(step, 35)),
        "EXP_P": (
            "e^r = 1 + r + r^2/2 + r^3 P(r), |r| <= ln 2 / 256",
            polynomial(exp, -half, half, 4),
        ),
        "PER_PI": ("64 / pi", [float(64 / mp.pi)]),
        "TURN": (
            "pi / 64; n times the first two are exact for |n| < 2^20",
            parts(mp.pi / 64, 33, 33),
        ),
        "TURN_EXACT": ("pi / 64", parts(mp.pi / 64, HEAD_BITS)),
        "SIN_P": (
            "sin r = r + r^3 P(r^2), |r| <= pi / 128",
            polynomial(sin, mpf(0), turn, 3),
        ),
        "COS_P": (
            "cos r = 1 - r^2/2 + r^4 P(r^2), |r| <= pi / 128",
            polynomial(cos, mpf(0), turn, 2),
        ),
    }


def tables() -> dict[str, tuple[str, Table]]:
    """{name: (what it is, rows)}"""
    return {
        "LOG": ("1/c, and log c in two parts, for a c in each row of z", log_rows()),
        "EXP": ("2^(i/128)", exp_rows()),
        "SIN": ("sin(i pi/64)", sin_rows()),
    }


def c_array(name: str, text: str, size: str, rows: list[str], kind: str = "double") -> str:
    """A constant array in C, as many numbers in a line as fit."""
    lines, line = [], "   "
    for row in rows:
        if len(line) + len(row) + 2 > 100:
            lines.append(line)
            line = "   "
        line += f" {row},"
    body = "\n".join([*lines, line])
    return f"/* {text} */\nstatic const {kind} TRPO_MATH_{name}{size} = {{\n{body}\n}};\n"


def header() -> str:
    """The text of the C header."""
    mp.prec = PRECISION
    found = [
        "/* Tables and coefficients of trpo_math.h, from tests/make_math.py. */\n"
        "#ifndef TRPO_MATH_TABLES_H\n#define TRPO_MATH_TABLES_H\n\n#include <stdint.h>\n",
        "/* the bits of the least z; 128 equal steps of bits from it are the rows of LOG */\n"
        f"#define TRPO_MATH_LOG_START 0x{LOG_START:016x}u\n",
    ]
    for name, (text, numbers) in coefficients().items():
        if len(numbers) == 1:
            found.append(f"/* {text} */\n#define TRPO_MATH_{name} {numbers[0]!r}\n")
        else:
            found.append(c_array(name, text, f"[{len(numbers)}]", list(map(repr, numbers))))
    for name, (text, table) in tables().items():
        rows = [f"{{{', '.join(map(repr, row))}}}" for row in table]
        found.append(c_array(name, text, f"[{len(table)}][{len(table[0])}]", rows))
    words = inverse_of_two_pi()
    text = "64 zeros, and the first bits of 1 / (2 pi)"
    hexadecimal = [f"0x{word:08x}" for word in words]
    found.append(c_array("PER_TWO_PI", text, f"[{len(words)}]", hexadecimal, "uint32_t"))
    return "\n".join([*found, "#endif\n"])


def module() -> str:
    """The text of the Python module."""
    mp.prec = PRECISION
    values: dict[str, list[str]] = {}
    for name, (_, numbers) in coefficients().items():
        values[name] = list(map(repr, numbers))
    for name, (_, table) in tables().items():
        values[name] = [f"({', '.join(map(repr, row))})" for row in table]
    found = ['"""Tables and coefficients of math.py, from tests/make_math.py."""\n\n# fmt: off']
    found.append(f"LOG_START = 0x{LOG_START:016x}")
    for name, rows in values.items():
        several = "(\n" + "".join(f"    {row},\n" for row in rows) + ")"
        found.append(f"{name} = {rows[0] if len(rows) == 1 else several}")
    return "\n".join(found) + "\n"


def main() -> None:
    """Write both files."""
    HEADER.write_text(header(), encoding="ascii")
    MODULE.write_text(module(), encoding="ascii")


if __name__ == "__main__":
    main()
