/* Dense layers and elementary functions for AVX2 with fused multiply-add. The code is in
 * dense_simd.h and math_simd.h. */
#include "layer.h"

#ifdef TRPOK_X86

#include "simd_avx2.h"

#include "math_simd.h"

#define ROWS 6
#define COLS 2
#define SHORT_LAYER trpok_short_avx2

#include "dense_simd.h"
#include "table_simd.h"

const trpok_table *trpok_avx2(void)
{
    static const trpok_table table = TRPOK_TABLE("avx2", &trpok_wide_avx2);
    return &table;
}

#else

const trpok_table *trpok_avx2(void) { return NULL; }

#endif
