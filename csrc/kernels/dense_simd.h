/* Dense layers for machines with vectors and fused multiply-add: one source for each of them.
 *
 * A file per instruction set (dense_avx2.c) includes its vectors (simd_avx2.h) and then this.
 *
 * Everything is made of register tiles: up to ROWS rows by COLS vectors of sums stay in registers
 * while a whole sum over k (or over rows, for weights) runs. Each sum runs in index order by fused
 * multiply-adds, so its bits depend neither on the tile nor on the width of a vector.
 *
 * Matrices are read packed: panels of PANEL columns, the panel's rows one after the other, filled
 * up with zeros. Bias, activation and derivative are applied before a tile leaves its registers.
 *
 * The tile's shape is known at compile time in each copy (TRPOK_INLINE, unrolled): that is what the
 * macro at the switch is for, and the only reason for it. */
enum { ROWS = 6, COLS = 2, PANEL = COLS * LANES };

/* What a layer's tiles have in common. Strides: x, tx (K), z, h (M). */
typedef struct layer {
    real *z;        /* out (N x M)                                                  */
    const real *x;  /* (N x K)                                                      */
    const real *V;  /* packed, what x is multiplied by; its row K is the bias       */
    const real *tx; /* (N x K), or NULL                                             */
    const real *W;  /* packed, what tx is multiplied by                             */
    const real *h;  /* (N x M) activations whose derivative scales z, or NULL       */
    int bias;       /* V has a bias row                                             */
    int activation;
    int K, M;
} layer;

/* sum (R x C vectors) += x (R x K, row stride K) times one panel (K x PANEL) */
TRPOK_INLINE void add_products(vec sum[ROWS][COLS], const real *x, const real *panel, int K, int R,
                               int C)
{
    for (int k = 0; k < K; k++, panel += PANEL) {
        vec w[COLS];
#pragma GCC unroll 2
        for (int c = 0; c < C; c++) w[c] = vec_load(panel + c * LANES);
#pragma GCC unroll 6
        for (int r = 0; r < R; r++) {
            const vec xr = vec_all(x[(ptrdiff_t)r * K + k]);
#pragma GCC unroll 2
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

/* Vector c of a row's panel, of which `left` columns exist. */
TRPOK_INLINE vec load_columns(const real *row, int c, int left)
{
    if (left >= (c + 1) * LANES) return vec_load(row + c * LANES);
    return vec_load_some(row + c * LANES, left - c * LANES);
}

TRPOK_INLINE void store_columns(real *row, vec x, int c, int left)
{
    if (left >= (c + 1) * LANES)
        vec_store(row + c * LANES, x);
    else
        vec_store_some(row + c * LANES, x, left - c * LANES);
}

/* Rows n..n+R-1, columns m.. of  z = act'(h) * ([x 1] V + tx W) */
TRPOK_INLINE void layer_tile(const layer *y, const real *V, const real *W, int n, int m, int left,
                             int R, int C)
{
    vec sum[ROWS][COLS];
    const ptrdiff_t in = (ptrdiff_t)n * y->K, out = (ptrdiff_t)n * y->M + m;
#pragma GCC unroll 6
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int c = 0; c < C; c++)
            sum[r][c] = y->bias ? vec_load(V + (ptrdiff_t)y->K * PANEL + c * LANES) : vec_all(0);
    add_products(sum, y->x + in, V, y->K, R, C);
    if (y->tx != NULL) add_products(sum, y->tx + in, W, y->K, R, C);
#pragma GCC unroll 6
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int c = 0; c < C; c++) {
            const ptrdiff_t row = out + (ptrdiff_t)r * y->M;
            vec z = sum[r][c];
            if (y->h != NULL)
                z = times_derivative(z, load_columns(y->h + row, c, left), y->activation);
            store_columns(y->z + row, z, c, left);
        }
}

TRPOK_INLINE void layer_panel(const layer *y, const real *V, const real *W, int N, int m, int left,
                              int C)
{
    int n = 0;
    for (; n + ROWS <= N; n += ROWS) layer_tile(y, V, W, n, m, left, ROWS, C);
    switch (N - n) {
#define TILE_OF(R) case R: layer_tile(y, V, W, n, m, left, R, C); break;
        TILE_OF(1) TILE_OF(2) TILE_OF(3) TILE_OF(4) TILE_OF(5)
#undef TILE_OF
    default: break;
    }
}

TRPOK_TARGET static void run_layer(const layer *y, int N)
{
    const real *V = y->V, *W = y->W;
    for (int m = 0; m < y->M; m += PANEL) {
        const int left = y->M - m;
        if (left >= PANEL)
            layer_panel(y, V, W, N, m, PANEL, COLS);
        else if (left > LANES)
            layer_panel(y, V, W, N, m, left, COLS);
        else
            layer_panel(y, V, W, N, m, left, 1);
        V += (ptrdiff_t)(y->K + y->bias) * PANEL;
        if (y->tx != NULL) W += (ptrdiff_t)(y->K + 1) * PANEL;
    }
}

/* forward: z = activation([x 1] W) */
TRPOK_TARGET static void dense_forward(real *z, const real *x, const real *W, int activation,
                                       int N, int K, int M)
{
    const layer y = {z, x, W, NULL, W, NULL, 1, TRPO_IDENTITY, K, M};
    run_layer(&y, N);
    trpok_activate(z, activation, (ptrdiff_t)N * M);
}

TRPOK_TARGET static void dense_tangent(real *tz, const real *tx, const real *x, const real *h,
                                       const real *V, const real *W, int activation, int N, int K,
                                       int M)
{
    const layer y = {tz, x, V, tx, W, h, 1, activation, K, M};
    run_layer(&y, N);
}

TRPOK_TARGET static void dense_adjoint_input(real *dx, const real *dz, const real *h,
                                             const real *W_t, int activation, int N, int K, int M)
{
    const layer y = {dx, dz, W_t, NULL, W_t, h, 0, activation, M, K};
    run_layer(&y, N);
}

/* Rows k..k+R-1 of one panel of dW += x' dz */
TRPOK_INLINE void weight_tile(real *dW, const real *x, const real *dz, int k, int left, int N,
                              int K, int M, int R, int C)
{
    vec sum[ROWS][COLS];
    dW += (ptrdiff_t)k * M;
#pragma GCC unroll 6
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int c = 0; c < C; c++) sum[r][c] = load_columns(dW + (ptrdiff_t)r * M, c, left);
    for (int n = 0; n < N; n++, dz += M) {
        vec d[COLS];
#pragma GCC unroll 2
        for (int c = 0; c < C; c++) d[c] = load_columns(dz, c, left);
#pragma GCC unroll 6
        for (int r = 0; r < R; r++) {
            const vec xr = vec_all(k + r < K ? x[(ptrdiff_t)n * K + k + r] : 1);
#pragma GCC unroll 2
            for (int c = 0; c < C; c++) sum[r][c] = vec_fma(xr, d[c], sum[r][c]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int c = 0; c < C; c++) store_columns(dW + (ptrdiff_t)r * M, sum[r][c], c, left);
}

TRPOK_INLINE void weight_panel(real *dW, const real *x, const real *dz, int left, int N, int K,
                               int M, int C)
{
    int k = 0; /* K rows of weights and one of biases */
    for (; k + ROWS <= K + 1; k += ROWS) weight_tile(dW, x, dz, k, left, N, K, M, ROWS, C);
    switch (K + 1 - k) {
#define TILE_OF(R) case R: weight_tile(dW, x, dz, k, left, N, K, M, R, C); break;
        TILE_OF(1) TILE_OF(2) TILE_OF(3) TILE_OF(4) TILE_OF(5)
#undef TILE_OF
    default: break;
    }
}

TRPOK_TARGET static void dense_adjoint_weight(real *dW, const real *x, const real *dz, int N, int K,
                                              int M)
{
    for (int m = 0; m < M; m += PANEL) {
        const int left = M - m;
        if (left >= PANEL)
            weight_panel(dW + m, x, dz + m, PANEL, N, K, M, COLS);
        else if (left > LANES)
            weight_panel(dW + m, x, dz + m, left, N, K, M, COLS);
        else
            weight_panel(dW + m, x, dz + m, left, N, K, M, 1);
    }
}

static void pack(real *packed, const real *W, int rows, int M)
{
    for (int m = 0; m < M; m += PANEL)
        for (int r = 0; r < rows; r++)
            for (int i = 0; i < PANEL; i++)
                *packed++ = m + i < M ? W[(ptrdiff_t)r * M + m + i] : 0;
}
