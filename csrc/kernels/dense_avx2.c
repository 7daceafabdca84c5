/* Dense layers for AVX2 with fused multiply-add. All that is to be read stands in dense_simd.h. */
#include "kernels.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include "simd_avx2.h"

#include "dense_simd.h"

const trpok_table *trpok_avx2(void)
{
    static const trpok_table table = {
        "avx2",        PANEL,        pack, dense_forward, dense_tangent, dense_adjoint_input,
        dense_adjoint_weight};
    return &table;
}

#else

const trpok_table *trpok_avx2(void) { return NULL; }

#endif
