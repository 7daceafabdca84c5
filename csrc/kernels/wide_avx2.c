/* Kernels in double for AVX2 with fused multiply-add. The code is in wide_simd.h. */
#define TRPOK_WIDE
#include "lane.h"

#ifdef TRPOK_X86

#include "simd_avx2.h"

#include "wide_simd.h"

const trpok_wide trpok_wide_avx2 = {multiply, cholesky, cholesky_solve, gae};

#endif
