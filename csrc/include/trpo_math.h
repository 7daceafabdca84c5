/* Elementary functions with the same bits on every machine, compiler and C library: of IEEE 754
 * only +, -, * and comparisons are used, and contraction is off (trpo_strict.h).
 *
 *     sin cos sincos log log1p exp expm1 pow        in double
 *     logf log1pf                                   in float
 *
 * Errors are below 0.51 units in the last place, 0.76 where a result is subnormal; proved by
 * tests/test_elementary.py. Special values are those of C's Annex F, with one bit pattern for NaN.
 * There is no errno, and exceptions' flags are not kept. The rounding mode must be to nearest.
 *
 * In all of them a table reduces the argument to a small r, and a polynomial finishes. The largest
 * terms are kept as a sum hi + lo: "heads" of few bits have exact products, and hi = a + b,
 * lo = (a - hi) + b is exact for |a| >= |b| (Dekker 1971). Tables and coefficients are made by
 * tests/make_math.py. fasttrpo/portable/math.py is the same in Python, operation for operation. */
#ifndef TRPO_MATH_H
#define TRPO_MATH_H

#include <math.h>
#include <stdint.h>

#include "trpo_math_angles.h"
#include "trpo_math_tables.h"
#include "trpo_strict.h"

TRPO_STRICT_BEGIN

/* ---- logarithms ------------------------------------------------------------------------------ */

/* x = 2^k z, z in [0.7, 1.4), in a row of the table: log x = k ln 2 + log c + log(1 + r),
 * where r = z/c - 1 and 1/c is short, so that it is exact in two parts. c = 1 in the row around 1,
 * where the result may be small. */
typedef struct trpo_math_log_parts {
    int k;
    double c_log, c_low;  /* log c */
    double r, r_low;
} trpo_math_log_parts;

/* Of a number that is normal and positive, by its bits; plus: something to be added to it. */
TRPO_STRICT_PART trpo_math_log_parts trpo_math_log_reduce(uint64_t bits, double plus)
{
    const uint64_t above = bits - TRPO_MATH_LOG_START;
    const double *row = TRPO_MATH_LOG[above >> 45 & 127];
    trpo_math_log_parts p;
    p.k = (int)((above + TRPO_MATH_ONE) >> 52) - 1023;
    const double z = trpo_math_number(bits - ((uint64_t)(int64_t)p.k << 52));
    const double head = trpo_math_head(z);
    const double high = head * row[0] - 1, low = (z - head + plus) * row[0];
    p.c_log = row[1];
    p.c_low = row[2];
    p.r = high + low;
    p.r_low = high - p.r + low;
    return p;
}

/* log(1 + r) - r + r^2 / 2, for |r| <= 2^-8, divided by r^2 */
TRPO_STRICT_PART double trpo_math_log_rest(double r)
{
    const double *p = TRPO_MATH_LOG_P, square = r * r;
    return r * (p[0] + r * p[1] + square * (p[2] + r * p[3] + square * (p[4] + r * p[5])));
}

/* The log of what was reduced. */
TRPO_STRICT_PART double trpo_math_log_of(trpo_math_log_parts p)
{
    const double n = p.k, base = n * TRPO_MATH_LN2[0] + p.c_log, high = base + p.r;
    const double low = base - high + p.r + (p.r_low + (n * TRPO_MATH_LN2[1] + p.c_low));
    return high + (low + p.r * p.r * (trpo_math_log_rest(p.r) - 0.5));
}

/* Zero, a negative number, infinity or NaN. */
TRPO_STRICT_SLOW double trpo_math_log_special(double x)
{
    if (x == 0) return trpo_math_number(TRPO_MATH_SIGN | TRPO_MATH_INFINITY);
    return x > 0 ? x : trpo_math_nan();
}

/* Whether the number with these bits is normal and positive. */
TRPO_STRICT_PART int trpo_math_is_normal(uint64_t bits)
{
    return bits - 0x10000000000000u < TRPO_MATH_INFINITY - 0x10000000000000u;
}

TRPO_STRICT double trpo_log(double x)
{
    uint64_t bits = trpo_math_bits(x);
    trpo_math_log_parts p;
    if (!trpo_math_is_normal(bits)) {
        if (!(x > 0 && x < 1)) return trpo_math_log_special(x);
        p = trpo_math_log_reduce(trpo_math_bits(x * 18014398509481984.0), 0); /* 2^54 */
        p.k -= 54;
        return trpo_math_log_of(p);
    }
    return trpo_math_log_of(trpo_math_log_reduce(bits, 0));
}

/* 1 + x is rounded, and what was lost is added to its z. */
TRPO_STRICT double trpo_log1p(double x)
{
    const double size = fabs(x);
    if (size <= 0.00390625) return x + x * x * (trpo_math_log_rest(x) - 0.5);
    if (!(x > -1 && x <= DBL_MAX)) return trpo_math_log_special(1 + x);
    const double sum = 1 + x, lost = size < 1 ? x - (sum - 1) : 1 - (sum - x);
    const uint64_t bits = trpo_math_bits(sum);
    const int k = (int)((bits - TRPO_MATH_LOG_START + TRPO_MATH_ONE) >> 52) - 1023;
    const double scale = trpo_math_number((uint64_t)(1023 - k) << 52); /* 2^-k, or 0 */
    return trpo_math_log_of(trpo_math_log_reduce(bits, lost * scale));
}

/* The log in float, of a normal and positive number. The sum needs no second part. */
TRPO_STRICT_PART float trpo_math_log_to_float(double x)
{
    const uint64_t bits = trpo_math_bits(x), above = bits - TRPO_MATH_LOG_START;
    const double *row = TRPO_MATH_LOG[above >> 45 & 127], *c = TRPO_MATH_LOG_P;
    const int k = (int)((above + TRPO_MATH_ONE) >> 52) - 1023;
    const double r = trpo_math_number(bits - ((uint64_t)(int64_t)k << 52)) * row[0] - 1;
    return (float)(k * TRPO_MATH_LN2[0] + row[1] + (r + r * r * (-0.5 + r * (c[0] + r * c[1]))));
}

TRPO_STRICT float trpo_logf(float x)
{
    if (!(x > 0 && x <= FLT_MAX)) return (float)trpo_math_log_special(x);
    return trpo_math_log_to_float(x);
}

TRPO_STRICT float trpo_log1pf(float x)
{
    const double wide = x, *c = TRPO_MATH_LOG_P;
    if (fabs(wide) <= 0.00390625)
        return (float)(wide + wide * wide * (-0.5 + wide * (c[0] + wide * c[1])));
    if (!(x > -1 && x <= FLT_MAX)) return (float)trpo_math_log_special(1 + wide);
    return trpo_math_log_to_float(1 + wide);
}

/* ---- exponentials ---------------------------------------------------------------------------- */

/* x = (128 n + i) ln 2 / 128 + r,  |r| <= ln 2 / 256;  e^x = 2^n 2^(i/128) e^r */
typedef struct trpo_math_exp_parts {
    int n;
    const double *power; /* 2^(i/128), head and tail */
    double r, r_low;
} trpo_math_exp_parts;

/* For |x| < 1100. */
TRPO_STRICT_PART trpo_math_exp_parts trpo_math_exp_reduce(double x)
{
    const double shifted = x * TRPO_MATH_PER_LN2 + TRPO_MATH_ROUNDING;
    const double number = shifted - TRPO_MATH_ROUNDING;
    const uint64_t bits = trpo_math_bits(shifted) + 2048 * 128;
    const double high = x - number * TRPO_MATH_STEP[0], part = number * TRPO_MATH_STEP[1];
    trpo_math_exp_parts p;
    p.n = (int)(bits >> 7 & 0xfff) - 2048;
    p.power = TRPO_MATH_EXP[bits & 127];
    p.r = high - part;
    p.r_low = high - p.r - part;
    return p;
}

/* e^r - 1 - r */
TRPO_STRICT_PART double trpo_math_exp_rest(double r)
{
    const double *p = TRPO_MATH_EXP_P;
    return r * r * (0.5 + r * p[0] + r * r * (p[1] + r * p[2] + r * r * p[3]));
}

/* e^(x + low), |x| < 1100, |low| < 2^-14 */
TRPO_STRICT_PART double trpo_math_exp_of(double x, double low)
{
    const trpo_math_exp_parts p = trpo_math_exp_reduce(x);
    const double r = p.r + low, *power = p.power;
    const double y = power[0] + (power[1] + (power[0] + power[1]) * (r + trpo_math_exp_rest(r)));
    if (p.n > -1022 && p.n < 1023) return y * trpo_math_power_of_2(p.n);
    return trpo_math_scale(y, p.n);
}

/* Where the result is infinity, zero or NaN. */
TRPO_STRICT_SLOW double trpo_math_exp_special(double x)
{
    if (x != x) return trpo_math_nan();
    return x > 0 ? trpo_math_number(TRPO_MATH_INFINITY) : 0;
}

TRPO_STRICT double trpo_exp(double x)
{
    if (!(fabs(x) < 1000)) return trpo_math_exp_special(x);
    return trpo_math_exp_of(x, 0);
}

/* 2^n P (1 + r + rest) - 1 = (2^n P - 1) + 2^n P r + 2^n P rest, the first two to all digits */
TRPO_STRICT double trpo_expm1(double x)
{
    if (fabs(x) < 5.551115123125783e-17) return x; /* 2^-54 */
    if (!(x < 45)) return trpo_exp(x);
    if (x < -45) return -1;
    const trpo_math_exp_parts p = trpo_math_exp_reduce(x);
    const double scale = trpo_math_power_of_2(p.n);
    const double head = scale * p.power[0], tail = scale * p.power[1];
    const double base = head - 1, minus = base - head, lost = head - (base - minus) - (1 + minus);
    const double r_head = trpo_math_head(p.r), r_tail = p.r - r_head + p.r_low;
    const double product = head * r_head, high = base + product;
    const double rest = (head + tail) * trpo_math_exp_rest(p.r);
    const double low = base - high + product + (lost + tail);
    return high + (low + (head * r_tail + tail * p.r + rest));
}

/* ---- powers ---------------------------------------------------------------------------------- */

/* Whether y is an integer: 1 if odd, 2 if even, else 0. */
TRPO_STRICT_PART int trpo_math_parity(double y)
{
    const double size = fabs(y);
    if (!(size < 9007199254740992.0)) return size <= DBL_MAX ? 2 : 0;
    const int64_t whole = (int64_t)size;
    if ((double)whole != size) return 0;
    return whole % 2 == 0 ? 2 : 1;
}

/* x is 0, infinite or NaN, or y is. Annex F of C99. */
TRPO_STRICT_SLOW double trpo_math_pow_special(double x, double y)
{
    const double size = fabs(x);
    double result;
    if (y == 0 || x == 1) return 1;
    if (x != x || y != y) return trpo_math_nan();
    if (fabs(y) > DBL_MAX) {
        if (size == 1) return 1;
        return (size > 1) == (y > 0) ? fabs(y) : 0;
    }
    result = (size == 0) == (y > 0) ? 0 : trpo_math_number(TRPO_MATH_INFINITY);
    return trpo_math_bits(x) >> 63 && trpo_math_parity(y) == 1 ? -result : result;
}

/* e^(y log x), the logarithm to 68 bits: r^2/2 is exact for the head of r. */
TRPO_STRICT_PART double trpo_math_pow_positive(double x, double y)
{
    const int is_subnormal = x < DBL_MIN;
    const uint64_t bits = trpo_math_bits(is_subnormal ? x * 18014398509481984.0 : x); /* 2^54 */
    const trpo_math_log_parts p = trpo_math_log_reduce(bits, 0);
    const double n = is_subnormal ? p.k - 54 : p.k;
    const double base = n * TRPO_MATH_LN2[0] + p.c_log, sum = base + p.r;
    const double head = trpo_math_head(p.r), square = 0.5 * head * head, high = sum - square;
    const double cross = 0.5 * (p.r - head) * (p.r + head) + p.r * p.r_low;
    const double low = base - sum + p.r + (sum - high - square) +
                       (p.r_low + (n * TRPO_MATH_LN2[1] + p.c_low) - cross +
                        p.r * p.r * trpo_math_log_rest(p.r));

    const double log_head = trpo_math_head(high), y_head = trpo_math_head(y);
    const double product = y_head * log_head;
    if (!(fabs(product) < 1000)) return trpo_math_exp_special(product);
    return trpo_math_exp_of(product, (y - y_head) * log_head + y * (high - log_head + low));
}

TRPO_STRICT double trpo_pow(double x, double y)
{
    const double size = fabs(x);
    if (!(size > 0 && size <= DBL_MAX && fabs(y) <= DBL_MAX)) return trpo_math_pow_special(x, y);
    if (x > 0) return trpo_math_pow_positive(x, y);
    const int parity = trpo_math_parity(y);
    if (parity == 0) return trpo_math_nan();
    return parity == 1 ? -trpo_math_pow_positive(size, y) : trpo_math_pow_positive(size, y);
}

TRPO_STRICT_END

#endif
