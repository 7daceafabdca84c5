/* Dense layers and elementary functions for AVX-512. The code is in dense_simd.h, math_simd.h. */
#include "layer.h"

#ifdef TRPOK_X86

#include "simd_avx512.h"

#include "math_simd.h"

#define ROWS 8
#define COLS 2
#define SHORT_LAYER trpok_short_avx2

#include "dense_simd.h"
#include "table_simd.h"

const trpok_table *trpok_avx512(void)
{
    static const trpok_table table = TRPOK_TABLE("avx512", &trpok_wide_avx2);
    return &table;
}

#else

const trpok_table *trpok_avx512(void) { return NULL; }

#endif
