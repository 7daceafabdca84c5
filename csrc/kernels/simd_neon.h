/* The vector operations of the *_simd.h sources, in NEON on 64-bit Arm. */
#ifndef TRPOK_SIMD_NEON_H
#define TRPOK_SIMD_NEON_H

#include <arm_neon.h>

#include "lane.h"

#define TRPOK_TARGET
#define TRPOK_INLINE static inline __attribute__((always_inline))

#ifdef TRPOK_WIDE
enum { LANES = 2 };
typedef float64x2_t vec;
TRPOK_INLINE vec vec_all(lane x) { return vdupq_n_f64(x); }
TRPOK_INLINE vec vec_load(const lane *p) { return vld1q_f64(p); }
TRPOK_INLINE void vec_store(lane *p, vec x) { vst1q_f64(p, x); }
TRPOK_INLINE lane lane_fma(lane a, lane b, lane c) { return fma(a, b, c); }
TRPOK_INLINE vec vec_fma(vec a, vec b, vec c) { return vfmaq_f64(c, a, b); }
TRPOK_INLINE vec vec_add(vec a, vec b) { return vaddq_f64(a, b); }
TRPOK_INLINE vec vec_sub(vec a, vec b) { return vsubq_f64(a, b); }
TRPOK_INLINE vec vec_mul(vec a, vec b) { return vmulq_f64(a, b); }
TRPOK_INLINE vec vec_div(vec a, vec b) { return vdivq_f64(a, b); }
/* x limited by a bound; NaN stays NaN */
TRPOK_INLINE vec vec_at_least(lane bound, vec x) { return vmaxq_f64(vec_all(bound), x); }
TRPOK_INLINE vec vec_at_most(lane bound, vec x) { return vminq_f64(vec_all(bound), x); }
/* |x| with the sign of y */
TRPOK_INLINE vec vec_with_sign(vec x, vec y)
{
    return vbslq_f64(vdupq_n_u64((uint64_t)1 << 63), y, x);
}
/* x where h > 0, else 0 */
TRPOK_INLINE vec vec_where_positive(vec x, vec h)
{
    return vreinterpretq_f64_u64(vandq_u64(vreinterpretq_u64_f64(x), vcgtzq_f64(h)));
}
/* 2^n, for an integer n in the range of normal numbers */
TRPOK_INLINE vec vec_power_of_2(vec n)
{
    return vreinterpretq_f64_s64(vshlq_n_s64(vaddq_s64(vcvtq_s64_f64(n), vdupq_n_s64(1023)), 52));
}
/* `real` numbers, and flags 0 or 1, converted to lanes */
TRPOK_INLINE vec vec_load_flags(const uint8_t *p)
{
    const lane flags[] = {p[0], p[1]};
    return vec_load(flags);
}
#ifdef TRPO_DOUBLE
TRPOK_INLINE vec vec_load_real(const real *p) { return vec_load(p); }
#else
TRPOK_INLINE vec vec_load_real(const real *p) { return vcvt_f64_f32(vld1_f32(p)); }
#endif
/* sum (4): of each vector's lanes */
TRPOK_INLINE void vec_sum_four(lane *sum, vec a, vec b, vec c, vec d)
{
    vst1q_f64(sum, vaddq_f64(vzip1q_f64(a, b), vzip2q_f64(a, b)));
    vst1q_f64(sum + 2, vaddq_f64(vzip1q_f64(c, d), vzip2q_f64(c, d)));
}
#else
enum { LANES = 4 };
typedef float32x4_t vec;
TRPOK_INLINE vec vec_all(lane x) { return vdupq_n_f32(x); }
TRPOK_INLINE vec vec_load(const lane *p) { return vld1q_f32(p); }
TRPOK_INLINE void vec_store(lane *p, vec x) { vst1q_f32(p, x); }
TRPOK_INLINE vec vec_fma(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); }
TRPOK_INLINE vec vec_add(vec a, vec b) { return vaddq_f32(a, b); }
TRPOK_INLINE vec vec_sub(vec a, vec b) { return vsubq_f32(a, b); }
TRPOK_INLINE vec vec_mul(vec a, vec b) { return vmulq_f32(a, b); }
TRPOK_INLINE vec vec_div(vec a, vec b) { return vdivq_f32(a, b); }
/* x limited by a bound; NaN stays NaN */
TRPOK_INLINE vec vec_at_least(lane bound, vec x) { return vmaxq_f32(vec_all(bound), x); }
TRPOK_INLINE vec vec_at_most(lane bound, vec x) { return vminq_f32(vec_all(bound), x); }
/* |x| with the sign of y */
TRPOK_INLINE vec vec_with_sign(vec x, vec y)
{
    return vbslq_f32(vdupq_n_u32((uint32_t)1 << 31), y, x);
}
/* x where h > 0, else 0 */
TRPOK_INLINE vec vec_where_positive(vec x, vec h)
{
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(x), vcgtzq_f32(h)));
}
/* 2^n, for an integer n in the range of normal numbers */
TRPOK_INLINE vec vec_power_of_2(vec n)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23));
}
/* sum (4): of each vector's lanes, (x0 + x2) + (x1 + x3) */
TRPOK_INLINE void vec_sum_four(lane *sum, vec a, vec b, vec c, vec d)
{
    const float32x4_t ab = vaddq_f32(vzip1q_f32(a, b), vzip2q_f32(a, b));
    const float32x4_t cd = vaddq_f32(vzip1q_f32(c, d), vzip2q_f32(c, d));
    vst1q_f32(sum, vaddq_f32(vcombine_f32(vget_low_f32(ab), vget_low_f32(cd)),
                             vcombine_f32(vget_high_f32(ab), vget_high_f32(cd))));
}
#endif

TRPOK_INLINE vec vec_load_some(const lane *p, int n)
{
    lane some[LANES] = {0};
    for (int i = 0; i < n; i++) some[i] = p[i];
    return vec_load(some);
}
TRPOK_INLINE void vec_store_some(lane *p, vec x, int n)
{
    lane some[LANES];
    vec_store(some, x);
    for (int i = 0; i < n; i++) p[i] = some[i];
}

#endif
