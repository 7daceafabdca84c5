/* Part of trpo_math.h: the bits of numbers, and sine and cosine. */
#ifndef TRPO_MATH_ANGLES_H
#define TRPO_MATH_ANGLES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "trpo_math_tables.h"
#include "trpo_strict.h"

TRPO_STRICT_BEGIN

/* ---- bits ------------------------------------------------------------------------------------ */

#define TRPO_MATH_SIGN 0x8000000000000000u
#define TRPO_MATH_INFINITY 0x7ff0000000000000u
#define TRPO_MATH_ONE 0x3ff0000000000000u

/* 1.5 2^52: adding it rounds to an integer, whose last bits are the sum's. */
#define TRPO_MATH_ROUNDING 6755399441055744.0

TRPO_STRICT_PART uint64_t trpo_math_bits(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

TRPO_STRICT_PART double trpo_math_number(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The first 26 bits of x. */
TRPO_STRICT_PART double trpo_math_head(double x)
{
    return trpo_math_number(trpo_math_bits(x) & 0xfffffffff8000000u);
}

TRPO_STRICT_PART double trpo_math_nan(void) { return trpo_math_number(0x7ff8000000000000u); }

/* 2^n, -1022 <= n <= 1023 */
TRPO_STRICT_PART double trpo_math_power_of_2(int n)
{
    return trpo_math_number((uint64_t)(n + 1023) << 52);
}

/* x 2^n, rounded once if x is in [1/2, 2], |n| <= 2044 */
TRPO_STRICT_PART double trpo_math_scale(double x, int n)
{
    const int half = n / 2;
    return x * trpo_math_power_of_2(half) * trpo_math_power_of_2(n - half);
}

/* ---- sine and cosine ------------------------------------------------------------------------- */

/* x = k pi/64 + r + r_low,  |r| <= pi/128,  k modulo 128 */
typedef struct trpo_math_angle {
    int k;
    double r, r_low;
} trpo_math_angle;

/* The 192 bits that follow bit `first` of 1/(2 pi): three words, the most significant first. */
TRPO_STRICT_PART void trpo_math_two_pi_bits(uint64_t word[3], int first)
{
    const uint32_t *at = TRPO_MATH_PER_TWO_PI + first / 32;
    const int shift = first % 32;
    for (int i = 0; i < 3; i++, at += 2) {
        const uint64_t high = (uint64_t)at[0] << 32 | at[1];
        word[i] = shift == 0 ? high : high << shift | at[2] >> (32 - shift);
    }
}

/* product = the last 192 bits of m word, m < 2^53 */
TRPO_STRICT_PART void trpo_math_multiply(uint64_t product[3], const uint64_t word[3], uint64_t m)
{
    const uint64_t m_low = m & 0xffffffffu, m_high = m >> 32;
    uint64_t carry = 0; /* in units of the word's lowest bit */
    for (int i = 2; i >= 0; i--) {
        const uint64_t low = word[i] & 0xffffffffu, high = word[i] >> 32;
        const uint64_t bottom = low * m_low + (carry & 0xffffffffu);
        const uint64_t left = high * m_low + (carry >> 32) + (bottom >> 32);
        const uint64_t right = low * m_high + (left & 0xffffffffu);
        product[i] = right << 32 | (bottom & 0xffffffffu);
        carry = high * m_high + (left >> 32) + (right >> 32);
    }
}

/* For any finite |x| >= 2^-11: x = m 2^e, and the fraction of m 2^e / (2 pi) needs no bits of
 * 1/(2 pi) before bit e (Payne and Hanek 1983). 192 bits of it give 139 of the fraction. 7 are for
 * k, and of the next 128 at most 61 are leading zeros: no double is nearer to a k pi/64. */
TRPO_STRICT_SLOW trpo_math_angle trpo_math_reduce_exactly(double x)
{
    const uint64_t bits = trpo_math_bits(x), m = (bits & 0xfffffffffffffu) | 0x10000000000000u;
    const int e = (int)(bits >> 52 & 0x7ff) - 1075;
    uint64_t f[3];
    trpo_math_angle a;
    double high, low, sign = 1;
    trpo_math_two_pi_bits(f, e + 64);
    trpo_math_multiply(f, f, m);

    /* f 128 = k + g, |g| <= 1/2 */
    a.k = (int)(f[0] >> 57);
    f[0] = f[0] << 7 | f[1] >> 57;
    f[1] = f[1] << 7 | f[2] >> 57;
    if (f[0] >> 63) { /* g - 1, whose magnitude is the complement */
        a.k++;
        sign = -1;
        f[0] = ~f[0];
        f[1] = ~f[1];
    }
    double unit = 1.0 / 9007199254740992.0; /* 2^-53 */
    while (f[0] >> 63 == 0 && unit > 1e-40) {
        f[0] = f[0] << 1 | f[1] >> 63;
        f[1] <<= 1;
        unit *= 0.5;
    }
    high = (double)(int64_t)(f[0] >> 11) * unit;
    low = (double)(int64_t)((f[0] & 0x7ff) << 42 | f[1] >> 22) * unit / 9007199254740992.0;
    if (bits >> 63) {
        a.k = -a.k;
        sign = -sign;
    }

    /* r + r_low = (high + low) pi/64 */
    const double head = trpo_math_head(high), product = head * TRPO_MATH_TURN_EXACT[0];
    const double rest = head * TRPO_MATH_TURN_EXACT[1] +
                        (high - head + low) * (TRPO_MATH_TURN_EXACT[0] + TRPO_MATH_TURN_EXACT[1]);
    a.r = product + rest;
    a.r_low = sign * (rest - (a.r - product)); /* as product - a.r GCC 12 would fuse it */
    a.r *= sign;
    return a;
}

/* For |x| < 50000: n pi/64 in three parts, of which two are exact (Cody and Waite 1980). Their sum
 * is good to 2^-102, so a small r is computed anew. */
TRPO_STRICT_PART trpo_math_angle trpo_math_reduce(double x)
{
    const double shifted = x * TRPO_MATH_PER_PI + TRPO_MATH_ROUNDING;
    const double n = shifted - TRPO_MATH_ROUNDING;
    const double high = x - n * TRPO_MATH_TURN[0], part = n * TRPO_MATH_TURN[1];
    trpo_math_angle a;
    a.k = (int)(trpo_math_bits(shifted) & 127);
    a.r = high - part;
    a.r_low = high - a.r - part - n * TRPO_MATH_TURN[2];
    return a;
}

/* Whether trpo_math_reduce is exact enough for x, given its result. */
TRPO_STRICT_PART int trpo_math_is_small(trpo_math_angle a)
{
    return fabs(a.r) < 9.094947017729282e-13; /* 2^-40 */
}

/* The numbers that sine and cosine share: sin r - r, cos r - 1, and r in two parts. */
typedef struct trpo_math_rest {
    double sin_r, cos_r, r, head, tail;
} trpo_math_rest;

TRPO_STRICT_PART trpo_math_rest trpo_math_rest_of(trpo_math_angle a)
{
    const double square = a.r * a.r;
    trpo_math_rest rest;
    rest.sin_r = square * a.r *
                 (TRPO_MATH_SIN_P[0] +
                  square * (TRPO_MATH_SIN_P[1] + square * TRPO_MATH_SIN_P[2]));
    rest.cos_r = square * (-0.5 + square * (TRPO_MATH_COS_P[0] + square * TRPO_MATH_COS_P[1]));
    rest.r = a.r;
    rest.head = trpo_math_head(a.r);
    rest.tail = a.r - rest.head + a.r_low;
    return rest;
}

/* sin(k pi/64 + r) = S cos r + C sin r = S + C r + (S (cos r - 1) + C (sin r - r)),
 * S and C the sine and cosine of k pi/64; the cosine is the sine of a quarter turn more. */
TRPO_STRICT_PART double trpo_math_sum(int k, const trpo_math_rest *rest)
{
    const double *s = TRPO_MATH_SIN[k & 127], *c = TRPO_MATH_SIN[(k + 32) & 127];
    const double product = c[0] * rest->head, high = s[0] + product;
    const double even = (s[0] + s[1]) * rest->cos_r, odd = (c[0] + c[1]) * rest->sin_r;
    const double low = c[0] * rest->tail + c[1] * rest->r + (odd + even);
    return high + (s[0] - high + product + (s[1] + low));
}

/* Any x but tiny ones: huge ones, those near k pi/64, infinity and NaN. */
TRPO_STRICT_SLOW double trpo_math_sin_slow(double x, int quarter)
{
    if (!(fabs(x) <= DBL_MAX)) return trpo_math_nan();
    const trpo_math_angle a = trpo_math_reduce_exactly(x);
    const trpo_math_rest rest = trpo_math_rest_of(a);
    return trpo_math_sum(a.k + quarter, &rest);
}

/* Whether |x| is in [2^-27, 50000), where trpo_math_reduce may be used. */
TRPO_STRICT_PART int trpo_math_is_moderate(double x)
{
    const double size = fabs(x);
    return size >= 7.450580596923828e-09 && size < 50000;
}

TRPO_STRICT double trpo_sin(double x)
{
    if (!trpo_math_is_moderate(x)) return fabs(x) < 1 ? x : trpo_math_sin_slow(x, 0);
    const trpo_math_angle a = trpo_math_reduce(x);
    if (trpo_math_is_small(a)) return trpo_math_sin_slow(x, 0);
    const trpo_math_rest rest = trpo_math_rest_of(a);
    return trpo_math_sum(a.k, &rest);
}

TRPO_STRICT double trpo_cos(double x)
{
    if (!trpo_math_is_moderate(x)) return fabs(x) < 1 ? 1 : trpo_math_sin_slow(x, 32);
    const trpo_math_angle a = trpo_math_reduce(x);
    if (trpo_math_is_small(a)) return trpo_math_sin_slow(x, 32);
    const trpo_math_rest rest = trpo_math_rest_of(a);
    return trpo_math_sum(a.k + 32, &rest);
}

/* Both: the bits of trpo_sin and trpo_cos. */
TRPO_STRICT void trpo_sincos(double x, double *sine, double *cosine)
{
    trpo_math_angle a;
    if (trpo_math_is_moderate(x)) {
        a = trpo_math_reduce(x);
        if (!trpo_math_is_small(a)) {
            const trpo_math_rest rest = trpo_math_rest_of(a);
            *sine = trpo_math_sum(a.k, &rest);
            *cosine = trpo_math_sum(a.k + 32, &rest);
            return;
        }
    }
    *sine = trpo_sin(x);
    *cosine = trpo_cos(x);
}

TRPO_STRICT_END

#endif
