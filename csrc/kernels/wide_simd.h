/* Kernels in double: small matrices and advantage estimation, for all instruction sets (portable C
 * by simd_scalar.h). Sums run in index order by vec_fma, so their bits do not depend on the vector
 * width. Contracts: trpok_wide in kernels.h. */
#include "rows_simd.h"

/* ---- out = a b ------------------------------------------------------------------------------- */

/* Tiles of out stay in registers while BLOCK rows of b are processed: a panel of them, copied to
 * contiguous memory to avoid conflicts in L1 cache. */
enum { TILE_ROWS = 4, TILE_COLS = 2, TILE_WIDTH = TILE_COLS * LANES, BLOCK = 72 };

/* out (R rows, `left` columns) += a (R x count) panel (count x TILE_WIDTH); rows of a are K apart,
 * those of out C */
TRPOK_INLINE void multiply_tile(double *out, const double *a, const double *panel, int count, int K,
                                int C, int left, int R)
{
    vec sum[TILE_ROWS][TILE_COLS];
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int c = 0; c < TILE_COLS; c++)
            sum[r][c] = row_load(out + (ptrdiff_t)r * C, c, left);
    for (int k = 0; k < count; k++, panel += TILE_WIDTH)
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
            const vec ar = vec_all(a[(ptrdiff_t)r * K + k]);
#pragma GCC unroll 2
            for (int c = 0; c < TILE_COLS; c++)
                sum[r][c] = vec_fma(ar, vec_load(panel + c * LANES), sum[r][c]);
        }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int c = 0; c < TILE_COLS; c++)
            row_store(out + (ptrdiff_t)r * C, sum[r][c], c, left);
}

/* out (R x left) += a (R x count) b (count x left) */
TRPOK_INLINE void multiply_panel(double *out, const double *a, const double *b, int R, int count,
                                 int K, int C, int left)
{
    double panel[BLOCK * TILE_WIDTH];
    int r = 0;
    for (int k = 0; k < count; k++)
        for (int c = 0; c < TILE_COLS; c++)
            vec_store(panel + k * TILE_WIDTH + c * LANES,
                      row_load(b + (ptrdiff_t)k * C, c, left));
    for (; r + TILE_ROWS <= R; r += TILE_ROWS)
        multiply_tile(out + (ptrdiff_t)r * C, a + (ptrdiff_t)r * K, panel, count, K, C, left,
                      TILE_ROWS);
    for (; r < R; r++)
        multiply_tile(out + (ptrdiff_t)r * C, a + (ptrdiff_t)r * K, panel, count, K, C, left, 1);
}

TRPOK_TARGET static void multiply(double *out, const double *a, const double *b, int R, int K,
                                  int C)
{
    for (ptrdiff_t i = 0; i < (ptrdiff_t)R * C; i++) out[i] = 0;
    for (int k = 0; k < K; k += BLOCK) {
        const int count = K - k < BLOCK ? K - k : BLOCK;
        const double *rows = b + (ptrdiff_t)k * C;
        int c = 0;
        for (; c + TILE_WIDTH <= C; c += TILE_WIDTH)
            multiply_panel(out + c, a + k, rows + c, R, count, K, C, TILE_WIDTH);
        if (c < C) multiply_panel(out + c, a + k, rows + c, R, count, K, C, C - c);
    }
}

/* ---- Cholesky -------------------------------------------------------------------------------- */

/* y (count) -= a x */
TRPOK_INLINE void subtract(double *y, double a, const double *x, int count)
{
    int i = 0;
    for (; i + LANES <= count; i += LANES)
        vec_store(y + i, vec_fma(vec_all(-a), vec_load(x + i), vec_load(y + i)));
    if (i < count)
        vec_store_some(y + i,
                       vec_fma(vec_all(-a), vec_load_some(x + i, count - i),
                               vec_load_some(y + i, count - i)),
                       count - i);
}

static double largest_diagonal(const double *C, int S)
{
    double top = 0;
    for (int i = 0; i < S; i++) top = C[(ptrdiff_t)i * S + i] > top ? C[(ptrdiff_t)i * S + i] : top;
    return top;
}

/* Divides column j of L by its pivot, and copies it to row j of L'. */
static void finish_column(double *C, double pivot, int j, int S)
{
    const double inverse = pivot > 0 ? 1 / pivot : 0;
    C[(ptrdiff_t)j * S + j] = pivot;
    for (int i = j + 1; i < S; i++)
        C[(ptrdiff_t)j * S + i] = C[(ptrdiff_t)i * S + j] *= inverse;
}

/* Column by column: L_jj = sqrt(C_jj), L_ij = C_ij / L_jj, and C_ik -= L_ij L_kj for j < k <= i. */
TRPOK_TARGET static void cholesky(double *C, double shift, int S)
{
    for (int i = 0; i < S; i++) C[(ptrdiff_t)i * S + i] += shift;
    const double least = 1e-14 * largest_diagonal(C, S);
    for (int j = 0; j < S; j++) {
        const double *column = C + (ptrdiff_t)j * S;
        const double pivot = column[j];
        finish_column(C, pivot > least ? sqrt(pivot) : 0, j, S);
        for (int i = j + 1; i < S; i++)
            subtract(C + (ptrdiff_t)i * S + j + 1, column[i], column + j + 1, i - j);
    }
}

/* Columns solved together, with their sums in registers. */
enum { SOLVE_COLS = LANES > 4 ? 4 : 8, SOLVE_WIDTH = SOLVE_COLS * LANES };

/* x_i = (x_i - sum_j l_j x_j) / l_ii over `count` rows j from `first` on; l is a row of L or L' */
TRPOK_INLINE void solve_row(double *X, const double *l, int i, int first, int count, int M,
                            int left)
{
    vec sum[SOLVE_COLS];
    double *row = X + (ptrdiff_t)i * M;
    const double inverse = l[i] > 0 ? 1 / l[i] : 0;
#pragma GCC unroll 8
    for (int c = 0; c < SOLVE_COLS; c++) sum[c] = row_load(row, c, left);
    for (int j = first; j < first + count; j++) {
        const vec lj = vec_all(-l[j]);
#pragma GCC unroll 8
        for (int c = 0; c < SOLVE_COLS; c++)
            sum[c] = vec_fma(lj, row_load(X + (ptrdiff_t)j * M, c, left), sum[c]);
    }
#pragma GCC unroll 8
    for (int c = 0; c < SOLVE_COLS; c++)
        row_store(row, vec_mul(sum[c], vec_all(inverse)), c, left);
}

TRPOK_INLINE void solve_panel(double *X, const double *L, int S, int M, int left)
{
    for (int i = 0; i < S; i++) solve_row(X, L + (ptrdiff_t)i * S, i, 0, i, M, left);
    for (int i = S - 1; i >= 0; i--)
        solve_row(X, L + (ptrdiff_t)i * S, i, i + 1, S - 1 - i, M, left);
}

TRPOK_TARGET static void cholesky_solve(double *X, const double *L, int S, int M)
{
    int m = 0;
    for (; m + SOLVE_WIDTH <= M; m += SOLVE_WIDTH) solve_panel(X + m, L, S, M, SOLVE_WIDTH);
    if (m < M) solve_panel(X + m, L, S, M, M - m);
}

/* ---- generalised advantage estimation -------------------------------------------------------- */

typedef struct gae_task {
    double *adv, *ret;
    const double *rew;
    const real *val, *boot;
    const uint8_t *done, *skip;
    double gamma, decay; /* gamma lambda */
    int T, E;
} gae_task;

enum { GAE_VECS = 4 };

/* What a step passes to the one before it, LANES environments per vector. */
typedef struct gae_carry {
    vec adv, val; /* 0 for skipped rows */
} gae_carry;

TRPOK_INLINE vec zero_if(vec x, vec flag)
{
    return vec_where_positive(x, vec_sub(vec_all(1), flag));
}

/* LANES entries of adv and ret from n on; nothing carries over an episode's end. */
TRPOK_INLINE gae_carry gae_step(const gae_task *y, gae_carry after, ptrdiff_t n, int is_last)
{
    const vec ends = is_last ? vec_all(1) : vec_load_flags(y->done + n);
    const vec skip = vec_load_flags(y->skip + n), val = vec_load_real(y->val + n);
    const vec boot = vec_where_positive(vec_load_real(y->boot + n), ends);
    const vec next = vec_add(zero_if(after.val, ends), boot);
    const vec delta = vec_sub(vec_fma(vec_all(y->gamma), next, vec_load(y->rew + n)), val);
    const vec adv = vec_fma(vec_all(y->decay), zero_if(after.adv, ends), delta);
    const gae_carry now = {zero_if(adv, skip), zero_if(val, skip)};
    vec_store(y->adv + n, now.adv);
    vec_store(y->ret + n, vec_add(now.adv, now.val));
    return now;
}

/* n_vecs vectors of environments from e on. */
TRPOK_INLINE void gae_columns(const gae_task *y, int e, int n_vecs)
{
    gae_carry carry[GAE_VECS];
#pragma GCC unroll 4
    for (int i = 0; i < n_vecs; i++) carry[i].adv = carry[i].val = vec_all(0);
    for (int t = y->T - 1; t >= 0; t--)
#pragma GCC unroll 4
        for (int i = 0; i < n_vecs; i++)
            carry[i] = gae_step(y, carry[i], (ptrdiff_t)t * y->E + e + i * LANES, t == y->T - 1);
}

/* One environment, when fewer than LANES are left. */
TRPOK_TARGET static void gae_column(const gae_task *y, int e)
{
    double adv = 0, val = 0;
    for (int t = y->T - 1; t >= 0; t--) {
        const ptrdiff_t n = (ptrdiff_t)t * y->E + e;
        const int ends = y->done[n] || t == y->T - 1;
        const double next = ends ? (double)y->boot[n] : val;
        const double delta = lane_fma(y->gamma, next, y->rew[n]) - (double)y->val[n];
        adv = ends ? delta : lane_fma(y->decay, adv, delta);
        val = (double)y->val[n];
        if (y->skip[n]) adv = val = 0;
        y->adv[n] = adv;
        y->ret[n] = adv + val;
    }
}

TRPOK_TARGET static void gae(double *adv, double *ret, const double *rew, const real *val,
                             const real *boot, const uint8_t *done, const uint8_t *skip,
                             double gamma, double lambda, int T, int E)
{
    const gae_task y = {adv, ret, rew, val, boot, done, skip, gamma, gamma * lambda, T, E};
    const int stride = GAE_VECS * (int)LANES;
    int e = 0;
    for (; e + stride <= E; e += stride) gae_columns(&y, e, GAE_VECS);
    for (; e + LANES <= E; e += LANES) gae_columns(&y, e, 1);
    for (; e < E; e++) gae_column(&y, e);
}
