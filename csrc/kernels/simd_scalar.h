/* The vector operations of the *_simd.h sources on one number, in portable C; compilers vectorise
 * the loops over them. There is no fused multiply-add, so the bits differ from the other sets'. */
#ifndef TRPOK_SIMD_SCALAR_H
#define TRPOK_SIMD_SCALAR_H

#include <string.h>

#include "lane.h"

#define TRPOK_TARGET
#define TRPOK_INLINE static inline

enum { LANES = 1 };
typedef lane vec;
TRPOK_INLINE vec vec_all(lane x) { return x; }
TRPOK_INLINE vec vec_load(const lane *p) { return *p; }
TRPOK_INLINE void vec_store(lane *p, vec x) { *p = x; }
TRPOK_INLINE vec vec_load_some(const lane *p, int n) { return n > 0 ? *p : 0; }
TRPOK_INLINE void vec_store_some(lane *p, vec x, int n)
{
    if (n > 0) *p = x;
}
TRPOK_INLINE lane lane_fma(lane a, lane b, lane c) { return a * b + c; }
TRPOK_INLINE vec vec_fma(vec a, vec b, vec c) { return a * b + c; }
TRPOK_INLINE vec vec_add(vec a, vec b) { return a + b; }
TRPOK_INLINE vec vec_sub(vec a, vec b) { return a - b; }
TRPOK_INLINE vec vec_mul(vec a, vec b) { return a * b; }
TRPOK_INLINE vec vec_div(vec a, vec b) { return a / b; }
/* x limited by a bound; NaN stays NaN */
TRPOK_INLINE vec vec_at_least(lane bound, vec x) { return bound > x ? bound : x; }
TRPOK_INLINE vec vec_at_most(lane bound, vec x) { return bound < x ? bound : x; }

#ifdef TRPOK_WIDE
typedef uint64_t lane_bits;
enum { LANE_BIAS = 1023, LANE_FRACTION = 52 };
static const lane LANE_ROUNDING = 6755399441055744.0; /* 1.5 2^52 */
#else
typedef uint32_t lane_bits;
enum { LANE_BIAS = 127, LANE_FRACTION = 23 };
static const lane LANE_ROUNDING = 12582912.0f; /* 1.5 2^23 */
#endif

/* |x| with the sign of y */
TRPOK_INLINE vec vec_with_sign(vec x, vec y)
{
    const lane_bits sign = (lane_bits)1 << (8 * sizeof(lane) - 1);
    lane_bits a, b;
    memcpy(&a, &x, sizeof a);
    memcpy(&b, &y, sizeof b);
    a = (a & ~sign) | (b & sign);
    memcpy(&x, &a, sizeof x);
    return x;
}
/* x where h > 0, else 0 */
TRPOK_INLINE vec vec_where_positive(vec x, vec h) { return h > 0 ? x : 0; }
/* 2^n, for an integer n in the range of normal numbers. n is in the last bits of n + LANE_ROUNDING;
 * unlike a cast to an integer this is defined for NaN, whose result is arbitrary. */
TRPOK_INLINE vec vec_power_of_2(vec n)
{
    lane power = n + LANE_ROUNDING;
    lane_bits bits;
    memcpy(&bits, &power, sizeof bits);
    bits = (bits + LANE_BIAS) << LANE_FRACTION;
    memcpy(&power, &bits, sizeof power);
    return power;
}

/* `real` numbers, and flags 0 or 1, converted to lanes */
TRPOK_INLINE vec vec_load_flags(const uint8_t *p) { return (lane)*p; }
TRPOK_INLINE vec vec_load_real(const real *p) { return (lane)*p; }

#endif
