/* Dense layers of few outputs (M <= SHORT_MOST), for all instruction sets with vectors: a policy's
 * head of 1 to 8 outputs, a critic's value.
 *
 * Vectors along M would be mostly empty, so they run along k:
 *
 *     z[n, m] = tree over SHORT_LANES lanes of (sum x[n, k] V[k, m] + sum tx[n, k] W[k, m]) + bias
 *
 * where lane i sums k = i, i + SHORT_LANES, ... in index order, and the bias is in lane
 * K % SHORT_LANES. SHORT_LANES, and hence the bits, are the same for every instruction set,
 * whatever its vector width. Several rows are processed together, to have enough independent sums.
 *
 * Packed: blocks of SHORT_LANES rows of the matrix, stored by columns and padded with 0. */
#include "rows_simd.h"

enum { HALVES = SHORT_LANES / (int)LANES, MAX_SUMS = 12 };

/* sum (R x M) += lanes of x (R x K, row stride K) times one block */
TRPOK_INLINE void add_block(vec sum[MAX_SUMS][HALVES], const real *x, const real *block, int left,
                            int K, int R, int M)
{
#pragma GCC unroll 2
    for (int half = 0; half < HALVES; half++) {
        vec xr[SHORT_MOST];
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) xr[r] = row_load(x + (ptrdiff_t)r * K, half, left);
#pragma GCC unroll 8
        for (int m = 0; m < M; m++) {
            const vec w = vec_load(block + m * SHORT_LANES + half * LANES);
#pragma GCC unroll 8
            for (int r = 0; r < R; r++)
                sum[r * M + m][half] = vec_fma(xr[r], w, sum[r * M + m][half]);
        }
    }
}

TRPOK_INLINE void add_blocks(vec sum[MAX_SUMS][HALVES], const real *x, const real *W, int K, int R,
                             int M)
{
    int k = 0;
    for (; k + SHORT_LANES <= K; k += SHORT_LANES)
        add_block(sum, x + k, W + (ptrdiff_t)k * M, SHORT_LANES, K, R, M);
    if (k < K) add_block(sum, x + k, W + (ptrdiff_t)k * M, K - k, K, R, M);
}

/* Starts sums with the bias in lane K % SHORT_LANES, where `one` is 1, and 0 in the others. */
TRPOK_INLINE void start_sums(vec sum[MAX_SUMS][HALVES], const trpok_layer *y,
                             const vec one[HALVES], int R, int M)
{
    const real *block = y->V + (ptrdiff_t)(y->K / SHORT_LANES) * SHORT_LANES * M;
#pragma GCC unroll 16
    for (int i = 0; i < R * M; i++)
#pragma GCC unroll 2
        for (int half = 0; half < HALVES; half++)
            sum[i][half] = y->bias ? vec_mul(one[half], vec_load(block + i % M * SHORT_LANES +
                                                                 half * LANES))
                                   : vec_all(0);
}

/* total (count, rounded up to 4) = the sums over lanes. Halves are added first, then lanes: the
 * same tree for one vector as for two. */
TRPOK_INLINE void add_up(real *total, vec sum[MAX_SUMS][HALVES], int count)
{
#pragma GCC unroll 3
    for (int i = 0; i < count; i += 4) {
        vec combined[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            const vec *halves = sum[i + j < count ? i + j : i];
            combined[j] = HALVES > 1 ? vec_add(halves[0], halves[HALVES - 1]) : halves[0];
        }
        vec_sum_four(total + i, combined[0], combined[1], combined[2], combined[3]);
    }
}

static void scale(real *z, const real *h, int activation, int count)
{
    for (int i = 0; i < count; i++) {
        if (activation == TRPO_TANH) z[i] = z[i] * (1 - h[i] * h[i]);
        if (activation == TRPO_RELU) z[i] = h[i] > 0 ? z[i] : 0;
    }
}

/* Rows n..n+R-1 of  z = act'(h) * ([x 1] V + tx W) */
TRPOK_INLINE void short_tile(const trpok_layer *y, const vec one[HALVES], int n, int R, int M)
{
    vec sum[MAX_SUMS][HALVES];
    real total[MAX_SUMS];
    const ptrdiff_t in = (ptrdiff_t)n * y->K;
    real *z = y->z + (ptrdiff_t)n * M;
    start_sums(sum, y, one, R, M);
    add_blocks(sum, y->x + in, y->V, y->K, R, M);
    if (y->tx != NULL) add_blocks(sum, y->tx + in, y->W, y->K, R, M);
    add_up(R * M % 4 == 0 ? z : total, sum, R * M);
    for (int i = 0; R * M % 4 != 0 && i < R * M; i++) z[i] = total[i];
    if (y->h != NULL) scale(z, y->h + (ptrdiff_t)n * M, y->derivative, R * M);
}

TRPOK_INLINE void short_rows(const trpok_layer *y, int N, int R, int M)
{
    real lanes[SHORT_LANES] = {0};
    vec one[HALVES];
    int n = 0;
    lanes[y->K % SHORT_LANES] = 1;
    for (int half = 0; half < HALVES; half++) one[half] = vec_load(lanes + half * LANES);
    for (; n + R <= N; n += R) short_tile(y, one, n, R, M);
    for (; n < N; n++) short_tile(y, one, n, 1, M);
}

TRPOK_TARGET static void run_short_layer(const trpok_layer *y, int N)
{
    switch (y->M) {
#define OUTPUTS(M, R) case M: short_rows(y, N, R, M); break;
        OUTPUTS(1, 8) OUTPUTS(2, 4) OUTPUTS(3, 4) OUTPUTS(4, 2)
        OUTPUTS(5, 2) OUTPUTS(6, 2) OUTPUTS(7, 1) OUTPUTS(8, 1)
#undef OUTPUTS
    default: break;
    }
}

/* A complete layer: the sums, then the activation. */
static void short_layer(const trpok_layer *y, int N)
{
    const ptrdiff_t count = (ptrdiff_t)N * y->M;
    run_short_layer(y, N);
    if (y->activation == TRPO_TANH) array_tanh(y->z, y->z, count);
    for (ptrdiff_t i = 0; y->activation == TRPO_RELU && i < count; i++)
        y->z[i] = y->z[i] > 0 ? y->z[i] : 0;
}
