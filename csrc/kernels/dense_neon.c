/* Dense layers and elementary functions for NEON on 64-bit Arm. The code is in dense_simd.h and
 * math_simd.h. */
#include "layer.h"

#ifdef TRPOK_ARM

#include "simd_neon.h"

#include "math_simd.h"

#define ROWS 6
#define COLS 4
#define SHORT_LAYER trpok_short_neon

#include "dense_simd.h"
#include "table_simd.h"

const trpok_table *trpok_neon(void)
{
    static const trpok_table table = TRPOK_TABLE("neon", &trpok_wide_neon);
    return &table;
}

#else

const trpok_table *trpok_neon(void) { return NULL; }

#endif
