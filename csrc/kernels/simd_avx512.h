/* The vector operations of the *_simd.h sources, in AVX-512 F and DQ. */
#ifndef TRPOK_SIMD_AVX512_H
#define TRPOK_SIMD_AVX512_H

#include "lane.h"
#include "simd_x86.h"

#define TRPOK_TARGET __attribute__((target("avx512f,avx512dq,avx2,fma")))
#define TRPOK_INLINE                                                                               \
    static inline __attribute__((always_inline, target("avx512f,avx512dq,avx2,fma")))

#ifdef TRPOK_WIDE
enum { LANES = 8 };
typedef __m512d vec;
TRPOK_INLINE __mmask8 vec_mask(int count) { return (__mmask8)((1u << count) - 1); }
TRPOK_INLINE vec vec_all(lane x) { return _mm512_set1_pd(x); }
TRPOK_INLINE vec vec_load(const lane *p) { return _mm512_loadu_pd(p); }
TRPOK_INLINE void vec_store(lane *p, vec x) { _mm512_storeu_pd(p, x); }
TRPOK_INLINE vec vec_load_some(const lane *p, int n)
{
    return _mm512_maskz_loadu_pd(vec_mask(n), p);
}
TRPOK_INLINE void vec_store_some(lane *p, vec x, int n)
{
    _mm512_mask_storeu_pd(p, vec_mask(n), x);
}
TRPOK_INLINE vec vec_fma(vec a, vec b, vec c) { return _mm512_fmadd_pd(a, b, c); }
TRPOK_INLINE vec vec_add(vec a, vec b) { return _mm512_add_pd(a, b); }
TRPOK_INLINE vec vec_sub(vec a, vec b) { return _mm512_sub_pd(a, b); }
TRPOK_INLINE vec vec_mul(vec a, vec b) { return _mm512_mul_pd(a, b); }
TRPOK_INLINE vec vec_div(vec a, vec b) { return _mm512_div_pd(a, b); }
/* x limited by a bound; NaN stays NaN */
TRPOK_INLINE vec vec_at_least(lane bound, vec x) { return _mm512_max_pd(vec_all(bound), x); }
TRPOK_INLINE vec vec_at_most(lane bound, vec x) { return _mm512_min_pd(vec_all(bound), x); }
/* |x| with the sign of y */
TRPOK_INLINE vec vec_with_sign(vec x, vec y)
{
    const vec sign = vec_all(-0.0);
    return _mm512_or_pd(_mm512_andnot_pd(sign, x), _mm512_and_pd(sign, y));
}
/* x where h > 0, else 0 */
TRPOK_INLINE vec vec_where_positive(vec x, vec h)
{
    return _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(h, _mm512_setzero_pd(), _CMP_GT_OQ), x);
}
/* 2^n, for an integer n in the range of normal numbers */
TRPOK_INLINE vec vec_power_of_2(vec n)
{
    const __m512i biased = _mm512_add_epi64(_mm512_cvtpd_epi64(n), _mm512_set1_epi64(1023));
    return _mm512_castsi512_pd(_mm512_slli_epi64(biased, 52));
}
#else
enum { LANES = 16 };
typedef __m512 vec;
TRPOK_INLINE __mmask16 vec_mask(int count) { return (__mmask16)((1u << count) - 1); }
TRPOK_INLINE vec vec_all(lane x) { return _mm512_set1_ps(x); }
TRPOK_INLINE vec vec_load(const lane *p) { return _mm512_loadu_ps(p); }
TRPOK_INLINE void vec_store(lane *p, vec x) { _mm512_storeu_ps(p, x); }
TRPOK_INLINE vec vec_load_some(const lane *p, int n)
{
    return _mm512_maskz_loadu_ps(vec_mask(n), p);
}
TRPOK_INLINE void vec_store_some(lane *p, vec x, int n)
{
    _mm512_mask_storeu_ps(p, vec_mask(n), x);
}
TRPOK_INLINE vec vec_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
TRPOK_INLINE vec vec_add(vec a, vec b) { return _mm512_add_ps(a, b); }
TRPOK_INLINE vec vec_sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
TRPOK_INLINE vec vec_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
TRPOK_INLINE vec vec_div(vec a, vec b) { return _mm512_div_ps(a, b); }
/* x limited by a bound; NaN stays NaN */
TRPOK_INLINE vec vec_at_least(lane bound, vec x) { return _mm512_max_ps(vec_all(bound), x); }
TRPOK_INLINE vec vec_at_most(lane bound, vec x) { return _mm512_min_ps(vec_all(bound), x); }
/* |x| with the sign of y */
TRPOK_INLINE vec vec_with_sign(vec x, vec y)
{
    const vec sign = vec_all(-0.0f);
    return _mm512_or_ps(_mm512_andnot_ps(sign, x), _mm512_and_ps(sign, y));
}
/* x where h > 0, else 0 */
TRPOK_INLINE vec vec_where_positive(vec x, vec h)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(h, _mm512_setzero_ps(), _CMP_GT_OQ), x);
}
/* 2^n, for an integer n in the range of normal numbers */
TRPOK_INLINE vec vec_power_of_2(vec n)
{
    const __m512i biased = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(biased, 23));
}
#endif

#endif
