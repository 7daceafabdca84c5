/* Dense layers of few outputs for AVX2 with fused multiply-add. The code is in short_simd.h. */
#include "layer.h"

#ifdef TRPOK_X86

#include "simd_avx2.h"

#include "math_simd.h"

ARRAY_FUNCTION(array_tanh, vec_tanh)

#include "short_simd.h"

void trpok_short_avx2(const trpok_layer *y, int N) { short_layer(y, N); }

#endif
