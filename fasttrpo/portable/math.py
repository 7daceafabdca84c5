"""The functions of csrc/include/trpo_math.h that the stages need, with the same bits.

Operation for operation as there, which explains them; here for the arguments that occur, without
special cases. They compute with numbers when Numba compiles them, and with arrays in plain NumPy.
"""

from __future__ import annotations

import numpy as np

from .jit import elementwise, jit
from .math_tables import (
    COS_P,
    EXP,
    EXP_P,
    LN2,
    LOG,
    LOG_P,
    LOG_START,
    PER_LN2,
    PER_PI,
    SIN,
    SIN_P,
    STEP,
    TURN,
)

# Columns, because Numba indexes arrays of one dimension fastest.
INVERSE, LOG_HIGH, LOG_LOW = np.ascontiguousarray(np.array(LOG).T)
EXP_HEAD, EXP_TAIL = np.ascontiguousarray(np.array(EXP).T)
SIN_HEAD, SIN_TAIL = np.ascontiguousarray(np.array(SIN).T)
ROUNDING = 6755399441055744.0  # 1.5 2^52
START, ONE, HEAD = np.uint64(LOG_START), np.uint64(0x3FF << 52), np.uint64(0xFFFFFFFFF8000000)
FRACTION, ROW, LAST, BIAS = np.uint64(52), np.uint64(45), np.uint64(127), np.uint64(2048 * 128)
QUARTER = np.uint64(32)  # of a turn, in rows: what turns sine into cosine
SEVEN, MASK = np.uint64(7), np.uint64(0xFFF)


@jit
def head(x):
    """The first 26 bits of x."""
    return np.uint64(np.float64(x).view(np.uint64) & HEAD).view(np.float64)


@jit
def log_rest(r):
    """log(1 + r) - r + r^2 / 2, divided by r^2."""
    square = r * r
    return r * (
        LOG_P[0]
        + r * LOG_P[1]
        + square * (LOG_P[2] + r * LOG_P[3] + square * (LOG_P[4] + r * LOG_P[5]))
    )


@jit
def log_reduce(x):
    """k, log c in two parts, r and its rest: log x = k ln 2 + log c + log(1 + r)."""
    bits = np.float64(x).view(np.uint64)
    above = bits - START
    row = np.int64((above >> ROW) & LAST)
    exponent = (above + ONE) >> FRACTION
    k = np.float64(np.int64(exponent) - 1023)
    z = np.uint64(bits - (exponent << FRACTION) + ONE).view(np.float64)
    z_head = head(z)
    high, rest = z_head * INVERSE[row] - 1.0, (z - z_head) * INVERSE[row]
    r = high + rest
    return k, LOG_HIGH[row], LOG_LOW[row], r, high - r + rest


@elementwise
def log(x):
    """trpo_log, for normal positive numbers."""
    k, c_log, c_low, r, r_low = log_reduce(x)
    base = k * LN2[0] + c_log
    total = base + r
    low = base - total + r + (r_low + (k * LN2[1] + c_low))
    return total + (low + r * r * (log_rest(r) - 0.5))


@jit
def sin_sum(k, sin_r, cos_r, r, r_head, r_tail):
    """sin(k pi/64 + r)."""
    s, c = np.int64(k & LAST), np.int64((k + QUARTER) & LAST)
    product = SIN_HEAD[c] * r_head
    high = SIN_HEAD[s] + product
    even = (SIN_HEAD[s] + SIN_TAIL[s]) * cos_r
    odd = (SIN_HEAD[c] + SIN_TAIL[c]) * sin_r
    low = SIN_HEAD[c] * r_tail + SIN_TAIL[c] * r + (odd + even)
    return high + (SIN_HEAD[s] - high + product + (SIN_TAIL[s] + low))


@elementwise
def sin(x, quarter):
    """trpo_sin, or trpo_cos if `quarter` is QUARTER instead of 0; for 2^-27 <= |x| < 50000, at
    least 2^-40 from multiples of pi/64.
    """
    shifted = x * PER_PI + ROUNDING
    n = shifted - ROUNDING
    high, part = x - n * TURN[0], n * TURN[1]
    r = high - part
    r_low = high - r - part - n * TURN[2]
    square = r * r
    sin_r = square * r * (SIN_P[0] + square * (SIN_P[1] + square * SIN_P[2]))
    cos_r = square * (-0.5 + square * (COS_P[0] + square * COS_P[1]))
    r_head = head(r)
    k = np.float64(shifted).view(np.uint64) + np.uint64(quarter)
    return sin_sum(k, sin_r, cos_r, r, r_head, r - r_head + r_low)


@jit
def exp_rest(r):
    """e^r - 1 - r."""
    return r * r * (0.5 + r * EXP_P[0] + r * r * (EXP_P[1] + r * EXP_P[2] + r * r * EXP_P[3]))


@jit
def power_of_2(n):
    """2^n, -1022 <= n <= 1023, an integer."""
    return np.uint64(np.uint64(n + 1023) << FRACTION).view(np.float64)


@jit
def exponent(shifted):
    """n, where shifted = 128 n + i + ROUNDING, 0 <= i < 128."""
    return np.int64(((np.float64(shifted).view(np.uint64) + BIAS) >> SEVEN) & MASK) - 2048


@jit
def exp_of(x, more):
    """e^(x + more), for any x and a small number more; NaN stays NaN."""
    x = np.minimum(np.maximum(x, -1000.0), 1000.0)
    shifted = x * PER_LN2 + ROUNDING
    n = shifted - ROUNDING
    row = np.int64(np.float64(shifted).view(np.uint64) & LAST)
    r = x - n * STEP[0] - n * STEP[1] + more
    power = EXP_HEAD[row] + EXP_TAIL[row]
    y = EXP_HEAD[row] + (EXP_TAIL[row] + power * (r + exp_rest(r)))
    whole = exponent(shifted)
    half = whole >> 1
    return y * power_of_2(half) * power_of_2(whole - half)


@elementwise
def exp(x):
    """trpo_exp."""
    return exp_of(x, 0.0)


@elementwise
def expm1(x):
    """trpo_expm1, but 0 where |x| < 2^-54, and without the sign of a zero."""
    given = x
    x = np.minimum(np.maximum(x, -45.0), 45.0)
    shifted = x * PER_LN2 + ROUNDING
    n = shifted - ROUNDING
    row = np.int64(np.float64(shifted).view(np.uint64) & LAST)
    high, part = x - n * STEP[0], n * STEP[1]
    r = high - part
    r_low = high - r - part
    scale = power_of_2(exponent(shifted))
    p_head, p_tail = scale * EXP_HEAD[row], scale * EXP_TAIL[row]
    base = p_head - 1.0
    minus = base - p_head
    lost = p_head - (base - minus) - (1.0 + minus)
    r_head = head(r)
    product = p_head * r_head
    total = base + product
    low = base - total + product + (lost + p_tail)
    rest = (p_head + p_tail) * exp_rest(r)
    y = total + (low + (p_head * (r - r_head + r_low) + p_tail * r + rest))
    return np.where(given < 45.0, y, exp_of(given, 0.0))[()]  # a number where these are numbers


@elementwise
def power(x, y):
    """trpo_pow, for normal positive x and finite y."""
    k, c_log, c_low, r, r_low = log_reduce(x)
    base = k * LN2[0] + c_log
    total = base + r
    r_head = head(r)
    square = 0.5 * r_head * r_head
    high = total - square
    cross = 0.5 * (r - r_head) * (r + r_head) + r * r_low
    rest = r_low + (k * LN2[1] + c_low) - cross + r * r * log_rest(r)
    low = base - total + r + (total - high - square) + rest
    log_head, y_head = head(high), head(y)
    return exp_of(y_head * log_head, (y - y_head) * log_head + y * (high - log_head + low))
