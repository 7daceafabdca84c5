/* Kernels in double for NEON on 64-bit Arm. The code is in wide_simd.h. */
#define TRPOK_WIDE
#include "lane.h"

#ifdef TRPOK_ARM

#include "simd_neon.h"

#include "wide_simd.h"

const trpok_wide trpok_wide_neon = {multiply, cholesky, cholesky_solve, gae};

#endif
