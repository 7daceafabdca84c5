/* Dense layers of few outputs for NEON on 64-bit Arm. The code is in short_simd.h. */
#include "layer.h"

#ifdef TRPOK_ARM

#include "simd_neon.h"

#include "math_simd.h"

ARRAY_FUNCTION(array_tanh, vec_tanh)

#include "short_simd.h"

void trpok_short_neon(const trpok_layer *y, int N) { short_layer(y, N); }

#endif
