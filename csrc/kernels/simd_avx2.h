/* Vectors of AVX2 with fused multiply-add, as dense_simd.h wants them. */
#ifndef TRPOK_SIMD_AVX2_H
#define TRPOK_SIMD_AVX2_H

#include <immintrin.h>

#define TRPOK_TARGET __attribute__((target("avx2,fma")))
#define TRPOK_INLINE static inline __attribute__((always_inline, target("avx2,fma")))

/* Masks whose first lanes are on: windows into ones followed by zeros. */
static const int32_t trpok_lanes_on[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

#ifdef TRPO_DOUBLE
enum { LANES = 4 };
typedef __m256d vec;
TRPOK_INLINE __m256i vec_mask(int count)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)(trpok_lanes_on + 8 - 2 * count));
}
TRPOK_INLINE vec vec_all(real x) { return _mm256_set1_pd(x); }
TRPOK_INLINE vec vec_load(const real *p) { return _mm256_loadu_pd(p); }
TRPOK_INLINE void vec_store(real *p, vec x) { _mm256_storeu_pd(p, x); }
TRPOK_INLINE vec vec_load_some(const real *p, int n) { return _mm256_maskload_pd(p, vec_mask(n)); }
TRPOK_INLINE void vec_store_some(real *p, vec x, int n) { _mm256_maskstore_pd(p, vec_mask(n), x); }
TRPOK_INLINE vec vec_fma(vec a, vec b, vec c) { return _mm256_fmadd_pd(a, b, c); }
TRPOK_INLINE vec vec_mul(vec a, vec b) { return _mm256_mul_pd(a, b); }
TRPOK_INLINE vec vec_sub(vec a, vec b) { return _mm256_sub_pd(a, b); }
/* x where h > 0, else 0 */
TRPOK_INLINE vec vec_where_positive(vec x, vec h)
{
    return _mm256_and_pd(x, _mm256_cmp_pd(h, _mm256_setzero_pd(), _CMP_GT_OQ));
}
#else
enum { LANES = 8 };
typedef __m256 vec;
TRPOK_INLINE __m256i vec_mask(int count)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)(trpok_lanes_on + 8 - count));
}
TRPOK_INLINE vec vec_all(real x) { return _mm256_set1_ps(x); }
TRPOK_INLINE vec vec_load(const real *p) { return _mm256_loadu_ps(p); }
TRPOK_INLINE void vec_store(real *p, vec x) { _mm256_storeu_ps(p, x); }
TRPOK_INLINE vec vec_load_some(const real *p, int n) { return _mm256_maskload_ps(p, vec_mask(n)); }
TRPOK_INLINE void vec_store_some(real *p, vec x, int n) { _mm256_maskstore_ps(p, vec_mask(n), x); }
TRPOK_INLINE vec vec_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
TRPOK_INLINE vec vec_mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
TRPOK_INLINE vec vec_sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
/* x where h > 0, else 0 */
TRPOK_INLINE vec vec_where_positive(vec x, vec h)
{
    return _mm256_and_ps(x, _mm256_cmp_ps(h, _mm256_setzero_ps(), _CMP_GT_OQ));
}
#endif

#endif
