/* Kernels in double in portable C. The code is in wide_simd.h. */
#define TRPOK_WIDE
#include "simd_scalar.h"

#include "wide_simd.h"

const trpok_wide trpok_wide_baseline = {multiply, cholesky, cholesky_solve, gae};
