/* Kernels of every instruction set that this machine supports, on any numbers in arrays of exact
 * sizes: a sampled action is valid if the outputs are finite, and always one of the choices. */
#include "../../csrc/kernels/kernels.h"
#include "input.h"

enum { MOST_N = 70, MOST_SIZE = 40 };

static real *reals(input *in, ptrdiff_t count)
{
    real *x = ROOM(real, count);
    for (ptrdiff_t i = 0; i < count; i++) x[i] = (real)next_double(in);
    return x;
}

static double *doubles(input *in, ptrdiff_t count)
{
    double *x = ROOM(double, count);
    for (ptrdiff_t i = 0; i < count; i++) x[i] = next_double(in);
    return x;
}

/* ---- layers ---------------------------------------------------------------------------------- */

static real *packed(const trpok_table *k, input *in, int rows, int M)
{
    real *W = reals(in, (ptrdiff_t)rows * M), *p = ROOM(real, k->packed_size(rows, M));
    k->pack(p, W, rows, M);
    free(W);
    return p;
}

static void try_layer(const trpok_table *k, input *in)
{
    const int N = 1 + next_of(in, MOST_N), K = 1 + next_of(in, MOST_SIZE);
    const int M = 1 + next_of(in, MOST_SIZE), activation = next_of(in, 3);
    real *x = reals(in, N * K), *z = ROOM(real, N * M), *tx = reals(in, N * K);
    real *tz = ROOM(real, N * M), *dx = ROOM(real, N * K), *dW = reals(in, (K + 1) * M);
    real *W = packed(k, in, K + 1, M), *V = packed(k, in, K + 1, M), *W_t = packed(k, in, M, K);
    k->dense_forward(z, x, W, activation, N, K, M);
    k->dense_tangent(tz, next_of(in, 2) ? tx : NULL, x, next_of(in, 2) ? z : NULL, V, W, activation,
                     N, K, M);
    k->dense_adjoint_input(dx, z, next_of(in, 2) ? x : NULL, W_t, activation, N, K, M);
    k->dense_adjoint_weight(dW, x, z, N, K, M);
    free(x), free(z), free(tx), free(tz), free(dx), free(dW), free(W), free(V), free(W_t);
}

static void try_functions(const trpok_table *k, input *in)
{
    const ptrdiff_t count = next_of(in, MOST_N);
    real *x = reals(in, count), *y = ROOM(real, count);
    k->exp(y, x, count);
    k->expm1(y, x, count);
    k->sin(y, x, count);
    k->tanh(y, x, count);
    for (ptrdiff_t i = 0; i < count; i++) MUST(isnan(x[i]) || (y[i] >= -1 && y[i] <= 1));
    free(x), free(y);
}

/* ---- distributions --------------------------------------------------------------------------- */

static int are_finite(const real *x, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        if (!isfinite(x[i])) return 0;
    return 1;
}

static void try_distribution(const trpok_table *k, input *in)
{
    static const int choices[] = {3, 1, 4}, ones[] = {1, 1, 1};
    const int kind = next_of(in, 3), N = 1 + next_of(in, MOST_N), D = 3;
    const int *parts = kind == TRPO_CATEGORICAL ? choices : ones;
    const int A = kind == TRPO_CATEGORICAL ? 8 : 3;
    const trpok_dist *dist = trpok_distribution(kind);
    real *out = reals(in, N * A), *other = reals(in, N * A), *act = ROOM(real, N * D);
    real *row = ROOM(real, N), *work = ROOM(real, 3 * N * A), *dout = ROOM(real, N * A);
    real *w = reals(in, N), *dlog_std = reals(in, A);
    double *log_std = doubles(in, A), *noise = ROOM(double, N * A);
    for (int i = 0; i < N * A; i++) noise[i] = (next_byte(in) + 0.5) / 256;
    dist->sample(k, act, out, log_std, noise, work, parts, N, A, D);
    for (int n = 0; n < N && kind != TRPO_GAUSSIAN; n++)
        MUST(dist->illegal(act + n * D, parts, D) < 0);
    dist->logp(k, row, out, log_std, act, work, parts, N, A, D);
    dist->adjoint(k, dout, dlog_std, out, log_std, act, w, work, parts, N, A, D);
    dist->metric(k, dout, other, out, log_std, work, parts, N, A, D);
    dist->kl(k, row, out, other, log_std, log_std, work, parts, N, A, D);
    dist->entropy(k, row, out, log_std, work, parts, N, A, D);
    dist->entropy_adjoint(k, dout, dlog_std, 1, out, log_std, work, parts, N, A, D);
    dist->mode(act, out, log_std, parts, N, A, D);
    for (int n = 0; n < N && are_finite(out, N * A); n++)
        MUST(dist->illegal(act + n * D, parts, D) < 0);
    act[next_of(in, N * D)] = (real)next_double(in);
    (void)dist->illegal(act, parts, D);
    free(out), free(other), free(act), free(row), free(work), free(dout), free(w), free(dlog_std);
    free(log_std), free(noise);
}

/* ---- in double ------------------------------------------------------------------------------- */

static void try_matrices(const trpok_table *k, input *in)
{
    const int S = 1 + next_of(in, 24), M = 1 + next_of(in, 12), R = 1 + next_of(in, 12);
    double *C = doubles(in, S * S), *X = doubles(in, S * M), *a = doubles(in, R * S);
    double *out = ROOM(double, R * M), *x = doubles(in, S);
    k->wide->multiply(out, a, X, R, S, M);
    k->wide->cholesky(C, next_double(in), S);
    k->wide->cholesky_solve(X, C, S, M);
    trpok_solve_vector(x, C, S);
    free(C), free(X), free(a), free(out), free(x);
}

static void try_advantages(const trpok_table *k, input *in)
{
    const int T = 1 + next_of(in, 20), E = 1 + next_of(in, 20), N = T * E;
    double *adv = ROOM(double, N), *ret = ROOM(double, N), *rew = doubles(in, N);
    real *val = reals(in, N), *boot = reals(in, N);
    uint8_t *done = ROOM(uint8_t, N), *skip = ROOM(uint8_t, N);
    for (int n = 0; n < N; n++) {
        done[n] = (uint8_t)next_of(in, 2);
        skip[n] = (uint8_t)next_of(in, 2);
    }
    k->wide->gae(adv, ret, rew, val, boot, done, skip, next_double(in), next_double(in), T, E);
    free(adv), free(ret), free(rew), free(val), free(boot), free(done), free(skip);
}

typedef void (*trial)(const trpok_table *k, input *in);
static const trial TRIALS[] = {try_layer, try_functions, try_distribution, try_matrices,
                               try_advantages};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    const trial chosen = TRIALS[next_of(&in, sizeof TRIALS / sizeof *TRIALS)];
    const trpok_table *k;
    for (int i = 0; (k = trpok_runnable(i)) != NULL; i++) {
        input again = in;
        chosen(k, &again);
    }
    return 0;
}
