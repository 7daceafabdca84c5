/* Every function of a kernel table on pseudo-random arrays: test_kernels.c compares them with plain
 * loops, set_bits.c between machines. A case's arrays remain until the next case. */
#ifndef TRPO_TESTS_KERNEL_CASES_H
#define TRPO_TESTS_KERNEL_CASES_H

#include "arrays.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* ---- dense layers ---------------------------------------------------------------------------- */

/* Around SHORT_MOST, around vectors of 2 to 16 numbers, and around panels of several vectors. */
static const int layer_widths[] = {1,  2,  3,  4,  5,  6,  7,  8,  9, 15,
                                   16, 17, 31, 32, 33, 63, 64, 65, 100};
/* Around tiles of up to 8 rows, and around the core's tiles of 64. */
static const int layer_rows[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 63, 64, 65, 66};

typedef struct dense_case {
    int N, K, M, activation;
    int has_tx, has_h;
    real *x, *tx, *h, *dz, *hx, *V, *W, *W_t; /* inputs; x is an activation of hx */
    real *pV, *pW, *pW_t;                     /* packed */
    real *dW_before, *z, *tz, *dx, *dW;       /* outputs */
} dense_case;

enum { AT_X, AT_TX, AT_H, AT_DZ, AT_HX, AT_V, AT_W, AT_W_T, AT_PV, AT_PW, AT_PW_T };
enum { AT_DW_BEFORE = 11, AT_Z, AT_TZ, AT_DX, AT_DW };

/* Variant `number` of the case: all activations, with and without a tangent and a derivative. */
static inline dense_case dense_variant(int N, int K, int M, int number)
{
    dense_case c;
    memset(&c, 0, sizeof c);
    c.N = N, c.K = K, c.M = M;
    c.activation = number % 3;
    c.has_tx = number / 3 % 2;
    c.has_h = number / 6 % 2;
    return c;
}

/* Activations, of which every fifth is 0, where relu has no slope. */
static inline real *place_activations(int place, ptrdiff_t count, uint64_t *random)
{
    real *h = place_reals(place, count, 1, random);
    for (ptrdiff_t i = 0; i < count; i += 5) h[i] = 0;
    return h;
}

/* NaN, to detect what a kernel leaves out. */
static inline real *place_nans(int place, ptrdiff_t count)
{
    real *x = (real *)place_array(place, (size_t)count * sizeof *x);
    for (ptrdiff_t i = 0; i < count; i++) x[i] = (real)NAN;
    return x;
}

static inline void dense_fill(dense_case *c, uint64_t seed)
{
    const ptrdiff_t in = (ptrdiff_t)c->N * c->K, out = (ptrdiff_t)c->N * c->M;
    const ptrdiff_t weights = (ptrdiff_t)(c->K + 1) * c->M;
    c->x = place_reals(AT_X, in, 1, &seed);
    c->tx = place_reals(AT_TX, in, 1, &seed);
    c->h = place_activations(AT_H, out, &seed);
    c->dz = place_reals(AT_DZ, out, 1, &seed);
    c->hx = place_activations(AT_HX, in, &seed);
    c->V = place_reals(AT_V, weights, 0.5, &seed);
    c->W = place_reals(AT_W, weights, 0.5, &seed);
    c->W_t = place_reals(AT_W_T, (ptrdiff_t)c->M * c->K, 0.5, &seed);
    c->dW_before = place_reals(AT_DW_BEFORE, weights, 1, &seed);
    c->z = place_nans(AT_Z, out);
    c->tz = place_nans(AT_TZ, out);
    c->dx = place_nans(AT_DX, in);
    c->dW = place_nans(AT_DW, weights);
    memcpy(c->dW, c->dW_before, (size_t)weights * sizeof *c->dW);
}

static inline real *place_packed(int place, const trpok_table *k, const real *W, int rows, int M)
{
    real *packed = place_nans(place, k->packed_size(rows, M));
    k->pack(packed, W, rows, M);
    return packed;
}

static inline void dense_run(dense_case *c, const trpok_table *k, uint64_t seed)
{
    const int N = c->N, K = c->K, M = c->M, act = c->activation;
    dense_fill(c, seed);
    c->pV = place_packed(AT_PV, k, c->V, K + 1, M);
    c->pW = place_packed(AT_PW, k, c->W, K + 1, M);
    c->pW_t = place_packed(AT_PW_T, k, c->W_t, M, K);
    k->dense_forward(c->z, c->x, c->pW, act, N, K, M);
    k->dense_tangent(c->tz, c->has_tx ? c->tx : NULL, c->x, c->has_h ? c->h : NULL, c->pV, c->pW,
                     act, N, K, M);
    k->dense_adjoint_input(c->dx, c->dz, c->has_h ? c->hx : NULL, c->pW_t, act, N, K, M);
    k->dense_adjoint_weight(c->dW, c->x, c->dz, N, K, M);
}

static inline uint64_t dense_bits(uint64_t hash)
{
    for (int place = AT_Z; place <= AT_DW; place++) hash = place_bits(hash, place);
    return hash;
}

/* ---- exp, expm1, tanh, sin ------------------------------------------------------------------- */

enum { AT_ARGUMENT, AT_VALUE, N_FUNCTIONS = 4, MAX_ARGUMENTS = 70 };

typedef void (*array_function)(real *y, const real *x, ptrdiff_t count);

static inline array_function function_of(const trpok_table *k, int function)
{
    const array_function functions[N_FUNCTIONS] = {k->exp, k->expm1, k->tanh, k->sin};
    return functions[function];
}

/* Arguments from very small ones to some beyond the range of exp. */
static inline void function_run(real **y, real **x, const trpok_table *k, int function, int count,
                                uint64_t seed)
{
    *x = place_reals(AT_ARGUMENT, count, 1, &seed);
    for (int i = 0; i < count; i++) {
        const double wide = 1024 * next_number(&seed), narrow = 4 * next_number(&seed);
        (*x)[i] = (real)(i % 4 == 0 ? wide : i % 4 == 1 ? (double)(*x)[i] / 4096 : narrow);
    }
    *y = place_nans(AT_VALUE, count);
    function_of(k, function)(*y, *x, count);
}

/* ---- kernels in double ----------------------------------------------------------------------- */

static const int wide_sizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33};

enum { AT_A, AT_B, AT_OUT };

typedef struct multiply_case {
    int R, K, C;
    double *a, *b, *out;
} multiply_case;

static inline void multiply_run(multiply_case *c, const trpok_table *k, uint64_t seed)
{
    c->a = place_doubles(AT_A, (ptrdiff_t)c->R * c->K, 1, &seed);
    c->b = place_doubles(AT_B, (ptrdiff_t)c->K * c->C, 1, &seed);
    c->out = place_doubles(AT_OUT, (ptrdiff_t)c->R * c->C, NAN, &seed);
    k->wide->multiply(c->out, c->a, c->b, c->R, c->K, c->C);
}

/* A = B B' for an integer matrix B. If singular, its rows 1, 4, 7, ... equal the rows before them,
 * and row 3 is 0. */
typedef struct cholesky_case {
    int S, M, singular;
    double shift;
    double *A, *X_before, *L, *X;
} cholesky_case;

enum { AT_B_ROWS = 3, AT_L, AT_X_BEFORE, AT_SOLUTION };

static inline double *place_factor(int S, int singular, uint64_t *random)
{
    double *B = place_doubles(AT_B_ROWS, (ptrdiff_t)S * S, 1, random);
    for (int i = 0; i < S; i++)
        for (int j = 0; j < S; j++) {
            double *b = B + (ptrdiff_t)i * S + j;
            *b = floor(8 * *b) + (i == j ? 16 : 0);
            if (singular && i % 3 == 1) *b = B[(ptrdiff_t)(i - 1) * S + j];
            if (singular && i == 3) *b = 0;
        }
    return B;
}

static inline void cholesky_fill(cholesky_case *c, uint64_t seed)
{
    const int S = c->S;
    const double *B = place_factor(S, c->singular, &seed);
    c->A = place_doubles(AT_A, (ptrdiff_t)S * S, 0, &seed);
    for (int i = 0; i < S; i++)
        for (int j = 0; j < S; j++)
            for (int k = 0; k < S; k++)
                c->A[(ptrdiff_t)i * S + j] += B[(ptrdiff_t)i * S + k] * B[(ptrdiff_t)j * S + k];
    c->L = place_doubles(AT_L, (ptrdiff_t)S * S, NAN, &seed);
    for (int i = 0; i < S; i++)
        for (int j = 0; j <= i; j++) c->L[(ptrdiff_t)i * S + j] = c->A[(ptrdiff_t)i * S + j];
    c->X_before = place_doubles(AT_X_BEFORE, (ptrdiff_t)S * c->M, 1, &seed);
    c->X = place_doubles(AT_SOLUTION, (ptrdiff_t)S * c->M, 0, &seed);
    memcpy(c->X, c->X_before, (size_t)S * (size_t)c->M * sizeof *c->X);
}

static inline void cholesky_run(cholesky_case *c, const trpok_table *k, uint64_t seed)
{
    cholesky_fill(c, seed);
    k->wide->cholesky(c->L, c->shift, c->S);
    k->wide->cholesky_solve(c->X, c->L, c->S, c->M);
}

/* ---- advantages ------------------------------------------------------------------------------ */

static const int gae_envs[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33};
static const int gae_steps[] = {1, 2, 50};

typedef struct gae_case {
    int T, E;
    double gamma, lambda;
    double *rew, *adv, *ret;
    real *val, *boot;
    uint8_t *done, *skip;
} gae_case;

enum { AT_REW, AT_VAL, AT_BOOT, AT_DONE, AT_SKIP, AT_ADV, AT_RET };

/* Entries that must be ignored are NaN. */
static inline void gae_run(gae_case *c, const trpok_table *k, uint64_t seed)
{
    const ptrdiff_t N = (ptrdiff_t)c->T * c->E;
    c->gamma = 0.99, c->lambda = 0.95;
    c->rew = place_doubles(AT_REW, N, 1, &seed);
    c->val = place_reals(AT_VAL, N, 4, &seed);
    c->boot = place_reals(AT_BOOT, N, 4, &seed);
    c->done = place_flags(AT_DONE, N, 0.1, &seed);
    c->skip = place_flags(AT_SKIP, N, 0.1, &seed);
    c->adv = place_doubles(AT_ADV, N, NAN, &seed);
    c->ret = place_doubles(AT_RET, N, NAN, &seed);
    for (ptrdiff_t n = 0; n < N; n++) {
        if (c->skip[n]) c->rew[n] = NAN;
        if (!c->done[n] && n < N - c->E) c->boot[n] = (real)NAN;
    }
    k->wide->gae(c->adv, c->ret, c->rew, c->val, c->boot, c->done, c->skip, c->gamma, c->lambda,
                 c->T, c->E);
}

#endif
