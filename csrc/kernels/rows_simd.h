/* Loads and stores a row's vectors, of which the last may be partial, for the tiles of
 * dense_simd.h, short_simd.h and wide_simd.h. */
#ifndef TRPOK_ROWS_SIMD_H
#define TRPOK_ROWS_SIMD_H

/* Vector `index` of a row, of which `left` numbers exist. */
TRPOK_INLINE vec row_load(const lane *row, int index, int left)
{
    const int some = left - index * LANES;
    if (some >= LANES) return vec_load(row + index * LANES);
    return vec_load_some(row + index * LANES, some > 0 ? some : 0);
}

TRPOK_INLINE void row_store(lane *row, vec x, int index, int left)
{
    const int some = left - index * LANES;
    if (some >= LANES)
        vec_store(row + index * LANES, x);
    else
        vec_store_some(row + index * LANES, x, some > 0 ? some : 0);
}

#endif
