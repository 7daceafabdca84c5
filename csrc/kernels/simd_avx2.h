/* The vector operations of the *_simd.h sources, in AVX2 with fused multiply-add. */
#ifndef TRPOK_SIMD_AVX2_H
#define TRPOK_SIMD_AVX2_H

#include <string.h>

#include "lane.h"
#include "simd_x86.h"

#define TRPOK_TARGET __attribute__((target("avx2,fma")))
#define TRPOK_INLINE static inline __attribute__((always_inline, target("avx2,fma")))

/* A mask of the first n lanes is a window into these ones and zeros. */
static const int32_t trpok_lanes_on[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

#ifdef TRPOK_WIDE
enum { LANES = 4 };
typedef __m256d vec;
TRPOK_INLINE __m256i vec_mask(int count)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)(trpok_lanes_on + 8 - 2 * count));
}
TRPOK_INLINE vec vec_all(lane x) { return _mm256_set1_pd(x); }
TRPOK_INLINE vec vec_load(const lane *p) { return _mm256_loadu_pd(p); }
TRPOK_INLINE void vec_store(lane *p, vec x) { _mm256_storeu_pd(p, x); }
TRPOK_INLINE vec vec_load_some(const lane *p, int n) { return _mm256_maskload_pd(p, vec_mask(n)); }
TRPOK_INLINE lane lane_fma(lane a, lane b, lane c)
{
    return _mm_cvtsd_f64(_mm_fmadd_sd(_mm_set_sd(a), _mm_set_sd(b), _mm_set_sd(c)));
}
TRPOK_INLINE vec vec_fma(vec a, vec b, vec c) { return _mm256_fmadd_pd(a, b, c); }
TRPOK_INLINE vec vec_add(vec a, vec b) { return _mm256_add_pd(a, b); }
TRPOK_INLINE vec vec_sub(vec a, vec b) { return _mm256_sub_pd(a, b); }
TRPOK_INLINE vec vec_mul(vec a, vec b) { return _mm256_mul_pd(a, b); }
TRPOK_INLINE vec vec_div(vec a, vec b) { return _mm256_div_pd(a, b); }
/* x limited by a bound; NaN stays NaN */
TRPOK_INLINE vec vec_at_least(lane bound, vec x) { return _mm256_max_pd(vec_all(bound), x); }
TRPOK_INLINE vec vec_at_most(lane bound, vec x) { return _mm256_min_pd(vec_all(bound), x); }
/* |x| with the sign of y */
TRPOK_INLINE vec vec_with_sign(vec x, vec y)
{
    const vec sign = vec_all(-0.0);
    return _mm256_or_pd(_mm256_andnot_pd(sign, x), _mm256_and_pd(sign, y));
}
/* x where h > 0, else 0 */
TRPOK_INLINE vec vec_where_positive(vec x, vec h)
{
    return _mm256_and_pd(x, _mm256_cmp_pd(h, _mm256_setzero_pd(), _CMP_GT_OQ));
}
/* 2^n, for an integer n in the range of normal numbers */
TRPOK_INLINE vec vec_power_of_2(vec n)
{
    const __m256i bits = _mm256_cvtepi32_epi64(_mm256_cvtpd_epi32(n));
    return _mm256_castsi256_pd(
        _mm256_slli_epi64(_mm256_add_epi64(bits, _mm256_set1_epi64x(1023)), 52));
}
/* `real` numbers, and flags 0 or 1, converted to lanes */
TRPOK_INLINE vec vec_load_flags(const uint8_t *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm256_cvtepi32_pd(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(four)));
}
#ifdef TRPO_DOUBLE
TRPOK_INLINE vec vec_load_real(const real *p) { return vec_load(p); }
#else
TRPOK_INLINE vec vec_load_real(const real *p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
#endif
/* sum (4): of each vector's lanes, (x0 + x2) + (x1 + x3) */
TRPOK_INLINE __m128d vec_pairs(vec x)
{
    return _mm_add_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
}
TRPOK_INLINE void vec_sum_four(lane *sum, vec a, vec b, vec c, vec d)
{
    const __m128d pa = vec_pairs(a), pb = vec_pairs(b), pc = vec_pairs(c), pd = vec_pairs(d);
    _mm_storeu_pd(sum, _mm_add_pd(_mm_unpacklo_pd(pa, pb), _mm_unpackhi_pd(pa, pb)));
    _mm_storeu_pd(sum + 2, _mm_add_pd(_mm_unpacklo_pd(pc, pd), _mm_unpackhi_pd(pc, pd)));
}
#else
enum { LANES = 8 };
typedef __m256 vec;
TRPOK_INLINE __m256i vec_mask(int count)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)(trpok_lanes_on + 8 - count));
}
TRPOK_INLINE vec vec_all(lane x) { return _mm256_set1_ps(x); }
TRPOK_INLINE vec vec_load(const lane *p) { return _mm256_loadu_ps(p); }
TRPOK_INLINE void vec_store(lane *p, vec x) { _mm256_storeu_ps(p, x); }
TRPOK_INLINE vec vec_load_some(const lane *p, int n) { return _mm256_maskload_ps(p, vec_mask(n)); }
TRPOK_INLINE vec vec_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
TRPOK_INLINE vec vec_add(vec a, vec b) { return _mm256_add_ps(a, b); }
TRPOK_INLINE vec vec_sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
TRPOK_INLINE vec vec_mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
TRPOK_INLINE vec vec_div(vec a, vec b) { return _mm256_div_ps(a, b); }
/* x limited by a bound; NaN stays NaN */
TRPOK_INLINE vec vec_at_least(lane bound, vec x) { return _mm256_max_ps(vec_all(bound), x); }
TRPOK_INLINE vec vec_at_most(lane bound, vec x) { return _mm256_min_ps(vec_all(bound), x); }
/* |x| with the sign of y */
TRPOK_INLINE vec vec_with_sign(vec x, vec y)
{
    const vec sign = vec_all(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(sign, x), _mm256_and_ps(sign, y));
}
/* x where h > 0, else 0 */
TRPOK_INLINE vec vec_where_positive(vec x, vec h)
{
    return _mm256_and_ps(x, _mm256_cmp_ps(h, _mm256_setzero_ps(), _CMP_GT_OQ));
}
/* 2^n, for an integer n in the range of normal numbers */
TRPOK_INLINE vec vec_power_of_2(vec n)
{
    const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
}
/* sum (4): of each vector's lanes, ((x0 + x4) + (x2 + x6)) + ((x1 + x5) + (x3 + x7)) */
TRPOK_INLINE __m128 vec_fours(vec x)
{
    return _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
}
TRPOK_INLINE void vec_sum_four(lane *sum, vec a, vec b, vec c, vec d)
{
    const __m128 fa = vec_fours(a), fb = vec_fours(b), fc = vec_fours(c), fd = vec_fours(d);
    const __m128 ab = _mm_add_ps(_mm_unpacklo_ps(fa, fb), _mm_unpackhi_ps(fa, fb));
    const __m128 cd = _mm_add_ps(_mm_unpacklo_ps(fc, fd), _mm_unpackhi_ps(fc, fd));
    _mm_storeu_ps(sum, _mm_add_ps(_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab)));
}
#endif

/* Through memory: masked stores are slow on some machines. */
TRPOK_INLINE void vec_store_some(lane *p, vec x, int n)
{
    lane some[LANES];
    vec_store(some, x);
    for (int i = 0; i < n; i++) p[i] = some[i];
}

#endif
