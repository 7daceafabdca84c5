/* Dense layers for all instruction sets with vectors and fused multiply-add.
 *
 * A file per instruction set (dense_avx2.c, ...) includes its vectors (simd_*.h), defines how large
 * a tile its registers hold (ROWS, COLS), and includes this one.
 *
 * The work is done in register tiles: up to ROWS rows by COLS vectors of sums stay in registers
 * during a complete sum over k (or over rows, for weights). Each sum runs in index order by fused
 * multiply-adds, so its bits depend neither on the tile nor on the vector width.
 *
 * Packed matrices are panels of PANEL columns, stored row by row and padded with zeros. Bias and
 * derivative are applied while a tile is in registers, the activation while it is in L1 cache.
 * Layers of at most SHORT_MOST outputs would leave most of a panel empty: short_simd.h handles
 * them, with another packing and another order of sums.
 *
 * The functions below take the tile's shape as R and C, which are compile-time constants after
 * inlining: hence TRPOK_INLINE and the unroll pragmas. */
#include "rows_simd.h"

ARRAY_FUNCTION(array_exp, vec_exp)
ARRAY_FUNCTION(array_expm1, vec_expm1)
ARRAY_FUNCTION(array_tanh, vec_tanh)
ARRAY_FUNCTION(array_sin, vec_sin)

enum { PANEL = COLS * LANES, MAX_ROWS = 8, BESIDE = COLS > 2 ? 3 : 4 };

/* sum (R x C vectors) += x (R x K, row stride K) times one panel (K x PANEL) */
TRPOK_INLINE void add_products(vec sum[MAX_ROWS][COLS], const real *x, const real *panel, int K,
                               int R, int C)
{
    for (int k = 0; k < K; k++, panel += PANEL) {
        vec w[COLS];
#pragma GCC unroll 4
        for (int c = 0; c < C; c++) w[c] = vec_load(panel + c * LANES);
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) {
            const vec xr = vec_all(x[(ptrdiff_t)r * K + k]);
#pragma GCC unroll 4
            for (int c = 0; c < C; c++) sum[r][c] = vec_fma(xr, w[c], sum[r][c]);
        }
    }
}

TRPOK_INLINE vec times_derivative(vec x, vec h, int activation)
{
    if (activation == TRPO_TANH) return vec_mul(x, vec_sub(vec_all(1), vec_mul(h, h)));
    if (activation == TRPO_RELU) return vec_where_positive(x, h);
    return x;
}

TRPOK_INLINE vec activated(vec z, int activation)
{
    return activation == TRPO_TANH ? vec_tanh(z) : vec_where_positive(z, z);
}

/* z (R x C vectors, row stride M) = activation(z); not inlined, to have its code only once. */
TRPOK_TARGET static void activate_tile(real *z, int activation, int left, int R, int C, int M)
{
    for (int r = 0; r < R; r++, z += M)
        for (int c = 0; c < C; c++)
            row_store(z, activated(row_load(z, c, left), activation), c, left);
}

/* Rows n..n+R-1, columns m.. of  z = activation( act'(h) * ([x 1] V + tx W) ) */
TRPOK_INLINE void layer_tile(const trpok_layer *y, const real *V, const real *W, int n, int m,
                             int left, int R, int C)
{
    vec sum[MAX_ROWS][COLS];
    const ptrdiff_t in = (ptrdiff_t)n * y->K, out = (ptrdiff_t)n * y->M + m;
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int c = 0; c < C; c++)
            sum[r][c] = y->bias ? vec_load(V + (ptrdiff_t)y->K * PANEL + c * LANES) : vec_all(0);
    add_products(sum, y->x + in, V, y->K, R, C);
    if (y->tx != NULL) add_products(sum, y->tx + in, W, y->K, R, C);
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int c = 0; c < C; c++) {
            const ptrdiff_t row = out + (ptrdiff_t)r * y->M;
            vec z = sum[r][c];
            if (y->h != NULL)
                z = times_derivative(z, row_load(y->h + row, c, left), y->derivative);
            row_store(y->z + row, z, c, left);
        }
    if (y->activation != TRPO_IDENTITY)
        activate_tile(y->z + out, y->activation, left, R, C, y->M);
}

TRPOK_INLINE void layer_panel(const trpok_layer *y, const real *V, const real *W, int N, int m,
                              int left, int C)
{
    int n = 0;
    for (; n + ROWS <= N; n += ROWS) layer_tile(y, V, W, n, m, left, ROWS, C);
    for (; n + 4 <= N; n += 4) layer_tile(y, V, W, n, m, left, 4, C);
    for (; n + 2 <= N; n += 2) layer_tile(y, V, W, n, m, left, 2, C);
    if (n < N) layer_tile(y, V, W, n, m, left, 1, C);
}

/* One row, columns m.. of BESIDE full panels, of  z = activation([x 1] V). In one panel a row has
 * too few sums to hide the latency of their additions. */
TRPOK_INLINE void row_of_panels(const trpok_layer *y, const real *V, ptrdiff_t panel, int m)
{
    vec sum[BESIDE][COLS];
#pragma GCC unroll 8
    for (int p = 0; p < BESIDE; p++)
#pragma GCC unroll 4
        for (int c = 0; c < COLS; c++)
            sum[p][c] = vec_load(V + p * panel + (ptrdiff_t)y->K * PANEL + c * LANES);
    for (int k = 0; k < y->K; k++) {
        const vec x = vec_all(y->x[k]);
#pragma GCC unroll 8
        for (int p = 0; p < BESIDE; p++)
#pragma GCC unroll 4
            for (int c = 0; c < COLS; c++) {
                const real *w = V + p * panel + (ptrdiff_t)k * PANEL + c * LANES;
                sum[p][c] = vec_fma(x, vec_load(w), sum[p][c]);
            }
    }
#pragma GCC unroll 8
    for (int p = 0; p < BESIDE; p++)
#pragma GCC unroll 4
        for (int c = 0; c < COLS; c++) vec_store(y->z + m + p * PANEL + c * LANES, sum[p][c]);
    if (y->activation != TRPO_IDENTITY)
        activate_tile(y->z + m, y->activation, BESIDE * PANEL, 1, BESIDE * COLS, y->M);
}

TRPOK_TARGET static void run_layer(const trpok_layer *y, int N)
{
    const real *V = y->V, *W = y->W;
    const ptrdiff_t panel = (ptrdiff_t)(y->K + y->bias) * PANEL;
    const int is_one_row = N == 1 && y->tx == NULL && y->h == NULL && y->bias;
    int m = 0;
    for (; is_one_row && m + BESIDE * PANEL <= y->M; m += BESIDE * PANEL, V += BESIDE * panel)
        row_of_panels(y, V, panel, m);
    for (; m < y->M; m += PANEL, V += panel, W += panel) {
        const int left = y->M - m;
        if (left >= PANEL)
            layer_panel(y, V, W, N, m, PANEL, COLS);
        else if (left > LANES)
            layer_panel(y, V, W, N, m, left, COLS);
        else
            layer_panel(y, V, W, N, m, left, 1);
    }
}

/* forward: z = activation([x 1] W) */
static void dense_forward(real *z, const real *x, const real *W, int activation, int N, int K,
                          int M)
{
    const trpok_layer y = {z, x, W, NULL, W, NULL, 1, TRPO_IDENTITY, activation, K, M};
    (M <= SHORT_MOST ? SHORT_LAYER : run_layer)(&y, N);
}

/* forward: h = activation([x 1] W), so along (tx, V): tz = act'(h) ([x 1] V + tx W) */
static void dense_tangent(real *tz, const real *tx, const real *x, const real *h, const real *V,
                          const real *W, int activation, int N, int K, int M)
{
    const trpok_layer y = {tz, x, V, tx, W, h, 1, activation, TRPO_IDENTITY, K, M};
    (M <= SHORT_MOST ? SHORT_LAYER : run_layer)(&y, N);
}

/* forward: x = activation(z before), z = [x 1] W, so d(z before) = act'(x) (dz W') */
static void dense_adjoint_input(real *dx, const real *dz, const real *h, const real *W_t,
                                int activation, int N, int K, int M)
{
    const trpok_layer y = {dx, dz, W_t, NULL, W_t, h, 0, activation, TRPO_IDENTITY, M, K};
    (K <= SHORT_MOST ? SHORT_LAYER : run_layer)(&y, N);
}

/* ---- packing --------------------------------------------------------------------------------- */

static int round_up(int count, int unit) { return (count + unit - 1) / unit * unit; }

static ptrdiff_t packed_size(int rows, int M)
{
    if (M <= SHORT_MOST) return trpo_times(M, round_up(rows, SHORT_LANES));
    return trpo_times(rows, round_up(M, PANEL));
}

/* A short layer's matrix: blocks of SHORT_LANES rows, stored by columns. */
static void pack_blocks(real *packed, const real *W, int rows, int M)
{
    for (int k = 0; k < rows; k += SHORT_LANES)
        for (int m = 0; m < M; m++)
            for (int i = 0; i < SHORT_LANES; i++)
                *packed++ = k + i < rows ? W[(ptrdiff_t)(k + i) * M + m] : 0;
}

static void pack_panels(real *packed, const real *W, int rows, int M)
{
    for (int m = 0; m < M; m += PANEL)
        for (int r = 0; r < rows; r++)
            for (int i = 0; i < PANEL; i++)
                *packed++ = m + i < M ? W[(ptrdiff_t)r * M + m + i] : 0;
}

static void pack(real *packed, const real *W, int rows, int M)
{
    (M <= SHORT_MOST ? pack_blocks : pack_panels)(packed, W, rows, M);
}

/* ---- weights --------------------------------------------------------------------------------- */

/* Shared by the tiles of dW += [x 1]' dz. Strides: x (K), dz (M), dW (S). */
typedef struct outer {
    real *dW;
    const real *x, *dz;
    int N, K, M, S;
} outer;

/* Rows k..k+R-1 of one panel; with `bias` the last of them is the bias row, whose x is 1. */
TRPOK_INLINE void outer_tile(const outer *y, int k, int m, int left, int bias, int R, int C)
{
    vec sum[MAX_ROWS][COLS];
    real *dW = y->dW + (ptrdiff_t)k * y->S + m;
    const real *x = y->x + k, *dz = y->dz + m;
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int c = 0; c < C; c++)
            sum[r][c] = row_load(dW + (ptrdiff_t)r * y->S, c, left);
    for (int n = 0; n < y->N; n++, x += y->K, dz += y->M) {
        vec d[COLS];
#pragma GCC unroll 4
        for (int c = 0; c < C; c++) d[c] = row_load(dz, c, left);
#pragma GCC unroll 8
        for (int r = 0; r < R; r++) {
            const vec xr = vec_all(bias && r == R - 1 ? 1 : x[r]);
#pragma GCC unroll 4
            for (int c = 0; c < C; c++) sum[r][c] = vec_fma(xr, d[c], sum[r][c]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int c = 0; c < C; c++) row_store(dW + (ptrdiff_t)r * y->S, sum[r][c], c, left);
}

/* K rows of weights and a bias row, which is part of the last tile. */
TRPOK_INLINE void outer_panel(const outer *y, int m, int left, int C)
{
    int k = 0;
    for (; k + ROWS < y->K + 1; k += ROWS) outer_tile(y, k, m, left, 0, ROWS, C);
    switch (y->K + 1 - k) {
#define LAST_TILE(R) case R: outer_tile(y, k, m, left, 1, R, C); break;
        LAST_TILE(1) LAST_TILE(2) LAST_TILE(3) LAST_TILE(4) LAST_TILE(5)
#if ROWS > 6
        LAST_TILE(6) LAST_TILE(7)
#endif
#undef LAST_TILE
    default: outer_tile(y, k, m, left, 1, ROWS, C); break;
    }
}

TRPOK_TARGET static void run_outer(const outer *y)
{
    for (int m = 0; m < y->M; m += PANEL) {
        const int left = y->M - m;
        if (left >= PANEL)
            outer_panel(y, m, PANEL, COLS);
        else if (left > LANES)
            outer_panel(y, m, left, COLS);
        else
            outer_panel(y, m, left, 1);
    }
}

/* The same for R = M <= SHORT_MOST, as dW' += dz' [x 1]: vectors run along k. */
TRPOK_INLINE void short_outer_tile(const outer *y, int k, int left, int R, int C)
{
    real T[MAX_ROWS * PANEL] = {0};
    const outer swapped = {T, y->dz, y->x + k, y->N, y->M, y->K, PANEL};
    real *dW = y->dW + (ptrdiff_t)k * R;
    for (int i = 0; i < left; i++)
        for (int r = 0; r < R; r++) T[r * PANEL + i] = dW[i * R + r];
    outer_tile(&swapped, 0, 0, left, 0, R, C);
    for (int i = 0; i < left; i++)
        for (int r = 0; r < R; r++) dW[i * R + r] = T[r * PANEL + i];
}

TRPOK_INLINE void short_outer(const outer *y, int R, int C)
{
    int k = 0;
    for (; k + C * LANES <= y->K; k += C * LANES) short_outer_tile(y, k, C * LANES, R, C);
    if (k < y->K) short_outer_tile(y, k, y->K - k, R, C);
    real *bias = y->dW + (ptrdiff_t)y->K * R;
    for (int n = 0; n < y->N; n++)
        for (int r = 0; r < R; r++) bias[r] += y->dz[(ptrdiff_t)n * R + r];
}

TRPOK_TARGET static void run_short_outer(const outer *y)
{
    switch (y->M) {
#define OUTPUTS(R) case R: short_outer(y, R, R <= ROWS ? COLS : 1); break;
        OUTPUTS(1) OUTPUTS(2) OUTPUTS(3) OUTPUTS(4) OUTPUTS(5) OUTPUTS(6) OUTPUTS(7) OUTPUTS(8)
#undef OUTPUTS
    default: break;
    }
}

/* forward: z = [x 1] W, so dW = [x 1]' dz */
static void dense_adjoint_weight(real *dW, const real *x, const real *dz, int N, int K, int M)
{
    const outer y = {dW, x, dz, N, K, M, M};
    (M <= SHORT_MOST ? run_short_outer : run_outer)(&y);
}
