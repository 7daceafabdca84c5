/* Dense layers and elementary functions in portable C: forward, tangent, and both adjoints.
 *
 * All four are one loop nest, "add a weighted sum of rows to a row", which compilers vectorise over
 * the row. Terms are added in index order, so the result does not depend on the vector width.
 * Proved by tests/test_network.py against dense algebra. */
#include "simd_scalar.h"

#include "math_simd.h"
#include "table_simd.h"

ARRAY_FUNCTION(array_exp, vec_exp)
ARRAY_FUNCTION(array_expm1, vec_expm1)
ARRAY_FUNCTION(array_tanh, vec_tanh)
ARRAY_FUNCTION(array_sin, vec_sin)

/* y (M) += sum_k a[k stride] rows[k], rows (K x M). Four rows at a time keep y in registers. */
static void add_rows(real *TRPOK_RESTRICT y, const real *a, ptrdiff_t stride, const real *rows,
                     int K, int M)
{
    int k = 0;
    for (; k + 4 <= K; k += 4) {
        const real *r0 = rows + (ptrdiff_t)k * M, *r1 = r0 + M, *r2 = r1 + M, *r3 = r2 + M;
        const real *c = a + k * stride;
        const real a0 = c[0], a1 = c[stride], a2 = c[2 * stride], a3 = c[3 * stride];
        for (int m = 0; m < M; m++)
            y[m] = (((y[m] + a0 * r0[m]) + a1 * r1[m]) + a2 * r2[m]) + a3 * r3[m];
    }
    for (; k < K; k++) {
        const real *r = rows + (ptrdiff_t)k * M;
        const real a0 = a[k * stride];
        for (int m = 0; m < M; m++) y[m] += a0 * r[m];
    }
}

static void set_row(real *y, const real *x, int M)
{
    for (int m = 0; m < M; m++) y[m] = x[m];
}

static ptrdiff_t packed_size(int rows, int M) { return trpo_times(rows, M); }

static void pack(real *packed, const real *W, int rows, int M)
{
    for (int r = 0; r < rows; r++) set_row(packed + (ptrdiff_t)r * M, W + (ptrdiff_t)r * M, M);
}

/* z = [x 1] W */
static void products(real *z, const real *x, const real *W, int N, int K, int M)
{
    const real *bias = W + (ptrdiff_t)K * M;
    for (int n = 0; n < N; n++, z += M, x += K) {
        set_row(z, bias, M);
        add_rows(z, x, 1, W, K, M);
    }
}

static void activate(real *h, int activation, ptrdiff_t count)
{
    if (activation == TRPO_TANH) array_tanh(h, h, count);
    if (activation == TRPO_RELU)
        for (ptrdiff_t i = 0; i < count; i++) h[i] = h[i] > 0 ? h[i] : 0;
}

static void times_derivative(real *x, const real *h, int activation, ptrdiff_t count)
{
    if (h == NULL) return;
    if (activation == TRPO_TANH)
        for (ptrdiff_t i = 0; i < count; i++) x[i] *= 1 - h[i] * h[i];
    else if (activation == TRPO_RELU)
        for (ptrdiff_t i = 0; i < count; i++) x[i] = h[i] > 0 ? x[i] : 0;
}

static void dense_forward(real *z, const real *x, const real *W, int activation, int N, int K,
                          int M)
{
    products(z, x, W, N, K, M);
    activate(z, activation, (ptrdiff_t)N * M);
}

/* forward: h = activation([x 1] W), so along (tx, V): tz = act'(h) ([x 1] V + tx W) */
static void dense_tangent(real *tz, const real *tx, const real *x, const real *h, const real *V,
                          const real *W, int activation, int N, int K, int M)
{
    products(tz, x, V, N, K, M);
    for (int n = 0; tx != NULL && n < N; n++)
        add_rows(tz + (ptrdiff_t)n * M, tx + (ptrdiff_t)n * K, 1, W, K, M);
    times_derivative(tz, h, activation, (ptrdiff_t)N * M);
}

/* forward: x = activation(z before), z = [x 1] W, so d(z before) = act'(x) (dz W') */
static void dense_adjoint_input(real *dx, const real *dz, const real *h, const real *W_t,
                                int activation, int N, int K, int M)
{
    for (int n = 0; n < N; n++) {
        real *row = dx + (ptrdiff_t)n * K;
        for (int k = 0; k < K; k++) row[k] = 0;
        add_rows(row, dz + (ptrdiff_t)n * M, 1, W_t, M, K);
    }
    times_derivative(dx, h, activation, (ptrdiff_t)N * K);
}

/* forward: z = [x 1] W, so dW = [x 1]' dz */
static void dense_adjoint_weight(real *dW, const real *x, const real *dz, int N, int K, int M)
{
    const real one = 1;
    for (int k = 0; k < K; k++) add_rows(dW + (ptrdiff_t)k * M, x + k, K, dz, N, M);
    add_rows(dW + (ptrdiff_t)K * M, &one, 0, dz, N, M);
}

const trpok_table *trpok_baseline(void)
{
    static const trpok_table table = TRPOK_TABLE("baseline", &trpok_wide_baseline);
    return &table;
}
