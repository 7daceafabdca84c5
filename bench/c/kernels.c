/* Time of each kernel by itself, in each instruction set that this machine runs.
 *
 *     cc -O3 -o kernels bench/c/kernels.c csrc/core/[a-z]*.c csrc/kernels/[a-z]*.c -lm && ./kernels
 *
 * A line per kernel, size and set: kernel, size, set, nanoseconds per call (the median of ROUNDS
 * short rounds, [101] or the argument, and the quartiles), floating-point operations (0: not
 * counted). Layers and distributions work on a tile of 64 rows, as the core's passes do; matrices
 * are those of K-FAC. Ends with 2 if a result is not the baseline's. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../csrc/kernels/kernels.h"

/* MOST: of any array; packed matrices are filled up to whole panels. */
enum { N = 64, MOST = 72 * 104, MOST_ROUNDS = 1000 };

/* Inputs, of which a kernel takes what it needs; packed ones and act are made for each size. */
static real x[MOST], tx[MOST], h[MOST], dz[MOST], V[MOST], W[MOST], W_t[MOST];
static real pV[MOST], pW[MOST], pW_t[MOST], act[MOST], work[MOST];
static double a[MOST], b[MOST], spd[MOST], L[MOST], noise[MOST], log_std[N];
static uint8_t flags[MOST];
static int parts[N];
static const trpok_dist *dist;
/* Outputs. */
static real out[MOST];
static double wide_out[MOST], ret[MOST];

/* ---- the kernels: on a layer of K inputs and M outputs, or what K and M say of the size ------ */

#define KERNEL(name) static void run_##name(const trpok_table *k, int K, int M)

KERNEL(dense_forward) { k->dense_forward(out, x, pW, TRPO_TANH, N, K, M); }
KERNEL(dense_tangent) { k->dense_tangent(out, tx, x, h, pV, pW, TRPO_TANH, N, K, M); }
KERNEL(dense_adjoint_input) { k->dense_adjoint_input(out, dz, h, pW_t, TRPO_TANH, N, K, M); }
KERNEL(dense_adjoint_weight) { k->dense_adjoint_weight(out, x, dz, N, K, M); }
KERNEL(pack) { k->pack(pW, W, K + 1, M); }

KERNEL(multiply) { k->wide->multiply(wide_out, a, b, K, K, M); }
KERNEL(cholesky)
{
    (void)M;
    memcpy(wide_out, spd, (size_t)K * (size_t)K * sizeof *spd); /* in its time */
    k->wide->cholesky(wide_out, 0, K);
}
KERNEL(cholesky_solve)
{
    memcpy(wide_out, b, (size_t)K * (size_t)M * sizeof *b); /* in its time */
    k->wide->cholesky_solve(wide_out, L, K, M);
}
KERNEL(gae) { k->wide->gae(wide_out, ret, a, x, h, flags, flags + 1, 0.99, 0.95, K, M); }

KERNEL(exp) { k->exp(out, x, (ptrdiff_t)K * M); }
KERNEL(expm1) { k->expm1(out, x, (ptrdiff_t)K * M); }
KERNEL(tanh) { k->tanh(out, x, (ptrdiff_t)K * M); }
KERNEL(sin) { k->sin(out, x, (ptrdiff_t)K * M); }

/* Distributions: M outputs, of K components. */
KERNEL(sample) { dist->sample(k, out, x, log_std, noise, work, parts, N, M, K); }
KERNEL(mode) { (void)k, dist->mode(out, x, log_std, parts, N, M, K); }
KERNEL(logp) { dist->logp(k, out, x, log_std, act, work, parts, N, M, K); }
KERNEL(adjoint)
{
    real dlog_std[N] = {0};
    dist->adjoint(k, out, dlog_std, x, log_std, act, dz, work, parts, N, M, K);
}
KERNEL(metric) { dist->metric(k, out, tx, x, log_std, work, parts, N, M, K); }
KERNEL(kl) { dist->kl(k, out, x, tx, log_std, log_std + 1, work, parts, N, M, K); }
KERNEL(entropy) { dist->entropy(k, out, x, log_std, work, parts, N, M, K); }
KERNEL(entropy_adjoint)
{
    dist->entropy_adjoint(k, out, NULL, (real)0.01, x, log_std, work, parts, N, M, K);
}

/* Operations: so many times N K M, K K M or K K K. */
typedef struct kernel {
    const char *name;
    void (*run)(const trpok_table *k, int K, int M);
    double NKM, KKM, KKK;
} kernel;

#define NAMED(name) #name, run_##name
static const kernel layers[] = {{NAMED(dense_forward), 2, 0, 0},
                                {NAMED(dense_tangent), 4, 0, 0},
                                {NAMED(dense_adjoint_input), 2, 0, 0},
                                {NAMED(dense_adjoint_weight), 2, 0, 0},
                                {NAMED(pack), 0, 0, 0}};
static const kernel matrices[] = {{NAMED(multiply), 0, 2, 0},
                                  {NAMED(cholesky), 0, 0, 1.0 / 3},
                                  {NAMED(cholesky_solve), 0, 2, 0}};
static const kernel steps[] = {{NAMED(gae), 0, 0, 0}};
static const kernel functions[] = {
    {NAMED(exp), 0, 0, 0}, {NAMED(expm1), 0, 0, 0}, {NAMED(tanh), 0, 0, 0}, {NAMED(sin), 0, 0, 0}};
static const kernel distributions[] = {
    {NAMED(sample), 0, 0, 0}, {NAMED(mode), 0, 0, 0}, {NAMED(logp), 0, 0, 0},
    {NAMED(adjoint), 0, 0, 0}, {NAMED(metric), 0, 0, 0}, {NAMED(kl), 0, 0, 0},
    {NAMED(entropy), 0, 0, 0}, {NAMED(entropy_adjoint), 0, 0, 0}};

/* ---- inputs ---------------------------------------------------------------------------------- */

static double uniform(void) { return (rand() + 0.5) / (RAND_MAX + 1.0); }

static void fill_inputs(void)
{
    real *const arrays[] = {x, tx, h, dz, V, W, W_t};
    for (int i = 0; i < 7; i++)
        for (int j = 0; j < MOST; j++) arrays[i][j] = (real)(2 * uniform() - 1);
    for (int j = 0; j < MOST; j++) {
        a[j] = 2 * uniform() - 1;
        b[j] = 2 * uniform() - 1;
        noise[j] = uniform();
        flags[j] = uniform() < 0.05;
    }
    for (int j = 0; j < N; j++) log_std[j] = -uniform();
}

/* What depends on the size and on the set: packed matrices; a factor; actions. */
static void prepare(const trpok_table *k, int K, int M)
{
    k->pack(pV, V, K + 1, M);
    k->pack(pW, W, K + 1, M);
    k->pack(pW_t, W_t, M, K);
    for (int i = 0; i < K; i++)
        for (int j = 0; j < K; j++) spd[i * K + j] = i == j ? 2 * K : a[i * K + j] + a[j * K + i];
    memcpy(L, spd, (size_t)K * (size_t)K * sizeof *L);
    k->wide->cholesky(L, 0, K);
    if (dist == NULL) return;
    for (int i = 0; i < K; i++) parts[i] = dist->outputs > 0 ? dist->outputs : M / K;
    dist->sample(k, act, x, log_std, noise, work, parts, N, M, K);
}

/* ---- times ----------------------------------------------------------------------------------- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int ascending(const void *left, const void *right)
{
    const double l = *(const double *)left, r = *(const double *)right;
    return (l > r) - (l < r);
}

static double round_of(const kernel *what, const trpok_table *k, int K, int M, int calls)
{
    const double start = now();
    for (int i = 0; i < calls; i++) what->run(k, K, M);
    return now() - start;
}

/* times (n_rounds), ascending, of one call; a round takes 20 us or more */
static void measure(double *times, int n_rounds, const kernel *what, const trpok_table *k, int K,
                    int M)
{
    int calls = 1;
    while (round_of(what, k, K, M, calls) < 2e4) calls *= 2;
    for (int i = 0; i < n_rounds; i++) times[i] = round_of(what, k, K, M, calls) / calls;
    qsort(times, (size_t)n_rounds, sizeof *times, ascending);
}

/* ---- a kernel in every set ------------------------------------------------------------------- */

static void run_once(const kernel *what, const trpok_table *k, int K, int M)
{
    prepare(k, K, M);
    memset(out, 0, sizeof out);
    memset(wide_out, 0, sizeof wide_out);
    what->run(k, K, M);
}

static int is_near(double found, double expected)
{
    return fabs(found - expected) <= 1e-4 * (1 + fabs(expected));
}

/* 1 if a result is not what the baseline finds */
static int time_kernel(const kernel *what, int n_rounds, int K, int M)
{
    static real expected[MOST];
    static double wide_expected[MOST];
    const char *of = dist == NULL ? "" : dist->name, *dash = dist == NULL ? "" : "-";
    const double flops = ((what->NKM * N + what->KKM * K) * M + what->KKK * K * K) * K;
    const trpok_table *k;
    run_once(what, trpok_named("baseline"), K, M);
    memcpy(expected, out, sizeof out);
    memcpy(wide_expected, wide_out, sizeof wide_out);
    for (int i = 0; (k = trpok_runnable(i)) != NULL; i++) {
        double times[MOST_ROUNDS];
        run_once(what, k, K, M);
        for (int j = 0; j < MOST; j++)
            if (!is_near((double)out[j], (double)expected[j]) ||
                !is_near(wide_out[j], wide_expected[j]))
                return 1;
        measure(times, n_rounds, what, k, K, M);
        printf("%s%s%s %dx%d %s %.1f %.1f %.1f %.0f\n", of, dash, what->name, K, M, k->name,
               times[n_rounds / 2], times[n_rounds / 4], times[3 * n_rounds / 4], flops);
    }
    return 0;
}

#define TIME_ALL(kernels, K, M)                                                                    \
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)                                  \
        if (time_kernel(&kernels[i], n_rounds, K, M)) return 2;

int main(int argc, char **argv)
{
    const int n_rounds = argc > 1 ? atoi(argv[1]) : 101;
    if (n_rounds < 1 || n_rounds > MOST_ROUNDS) return 2;
    fill_inputs();
    TIME_ALL(layers, 17, 64) /* into a hidden layer, between two, and a policy's head */
    TIME_ALL(layers, 64, 64)
    TIME_ALL(layers, 64, 6)
    TIME_ALL(matrices, 65, 64)
    TIME_ALL(steps, 64, 64)
    TIME_ALL(functions, 64, 64)
    dist = &trpok_gaussian;
    TIME_ALL(distributions, 6, 6)
    dist = &trpok_categorical;
    TIME_ALL(distributions, 1, 6)
    return 0;
}
