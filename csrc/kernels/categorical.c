/* Categorical, or a product of independent categoricals: one part of the logits per component.
 *
 * For one part with logits z, e = exp(z - max z), p = e / sum e, norm = max z + log sum e, and the
 * chosen k:
 *     logp     = z_k - norm
 *     d logp   = (onehot(k) - p) dz
 *     Fisher   = diag(p) - p p',   so metric t = p * (t - p.t)
 *     KL(o||n) = sum_i p_i (expm1(d_i) - d_i),  d = logp' - logp:  equal to sum_i p_i (logp_i -
 *                logp'_i) because sum_i p_i expm1(d_i) = 0, but with no term below 0
 *     entropy  = H = -sum_i p_i (z_i - norm),   d H = -sum_i p_i (z_i - norm + H) dz_i
 * summed over parts. For a forbidden choice (TRPOK_FORBIDDEN) p and d, and hence its terms, are
 * exactly 0. Exponentials are computed for all rows at once, which fills vectors.
 * Proved by tests/test_distributions.py. */
#include "kernels.h"

static int largest(const real *z, int K)
{
    int best = 0;
    for (int k = 1; k < K; k++)
        if (z[k] > z[best]) best = k;
    return best;
}

static real total(const real *x, int K)
{
    real sum = 0;
    for (int k = 0; k < K; k++) sum += x[k];
    return sum;
}

/* e (N x A) = exp(z - the largest of its part) */
static void exponentials(const trpok_table *k, real *e, const real *z, const int *parts, int N,
                         int A, int D)
{
    real *to = e;
    for (ptrdiff_t i = 0; i < (ptrdiff_t)N * D; i++) {
        const int K = parts[i % D];
        const real top = z[largest(z, K)];
        for (int j = 0; j < K; j++) to[j] = z[j] - top;
        to += K, z += K;
    }
    k->exp(e, e, (ptrdiff_t)N * A);
}

/* The norm of one part, from its exponentials. */
static real norm_of(const real *z, const real *e, int K)
{
    return z[largest(z, K)] + trpok_log(total(e, K));
}

/* The choice whose interval of [0, 1) contains u; if rounding leaves none, the last one with
 * positive probability. */
static int invert(const real *e, double u, int K)
{
    const double target = u * (double)total(e, K);
    double cumulated = 0;
    for (int k = 0; k < K - 1; k++) {
        cumulated += (double)e[k];
        if (cumulated > target) return k;
    }
    while (K > 1 && !(e[K - 1] > 0)) K--;
    return K - 1;
}

static int n_choices(int outputs) { return outputs; }

static void sample(const trpok_table *k, real *act, const real *out, const double *log_std,
                   const double *noise, real *work, const int *parts, int N, int A, int D)
{
    (void)log_std;
    exponentials(k, work, out, parts, N, A, D);
    for (ptrdiff_t i = 0; i < (ptrdiff_t)N * D; i++) {
        const int K = parts[i % D];
        act[i] = (real)invert(work, noise[i], K);
        work += K;
    }
}

static int is_choice(real act, int K)
{
    return act >= 0 && act < (real)K && act == (real)(int)act;
}

static int illegal(const real *act, const int *parts, int D)
{
    for (int d = 0; d < D; d++)
        if (!is_choice(act[d], parts[d])) return d;
    return -1;
}

static void mode(real *act, const real *out, const double *log_std, const int *parts, int N, int A,
                 int D)
{
    (void)log_std, (void)A;
    for (ptrdiff_t i = 0; i < (ptrdiff_t)N * D; i++) {
        const int K = parts[i % D];
        act[i] = (real)largest(out, K);
        out += K;
    }
}

static void logp(const trpok_table *k, real *logp, const real *out, const double *log_std,
                 const real *act, real *work, const int *parts, int N, int A, int D)
{
    (void)log_std;
    exponentials(k, work, out, parts, N, A, D);
    for (int n = 0; n < N; n++) {
        logp[n] = 0;
        for (int d = 0; d < D; d++) {
            logp[n] += out[(int)*act++] - norm_of(out, work, parts[d]);
            out += parts[d], work += parts[d];
        }
    }
}

static void adjoint(const trpok_table *k, real *dout, real *dlog_std, const real *out,
                    const double *log_std, const real *act, const real *w, real *work,
                    const int *parts, int N, int A, int D)
{
    (void)dlog_std, (void)log_std;
    exponentials(k, work, out, parts, N, A, D);
    for (int n = 0; n < N; n++)
        for (int d = 0; d < D; d++) {
            const int K = parts[d], choice = (int)*act++;
            const real scale = 1 / total(work, K);
            for (int j = 0; j < K; j++) dout[j] = w[n] * ((real)(j == choice) - work[j] * scale);
            dout += K, work += K;
        }
}

static void part_metric(real *dout, const real *tout, const real *e, int K)
{
    const real scale = 1 / total(e, K);
    real mean = 0;
    for (int k = 0; k < K; k++) mean += e[k] * scale * tout[k];
    for (int k = 0; k < K; k++) dout[k] = e[k] * scale * (tout[k] - mean);
}

static void metric(const trpok_table *k, real *dout, const real *tout, const real *out,
                   const double *log_std, real *work, const int *parts, int N, int A, int D)
{
    (void)log_std;
    exponentials(k, work, out, parts, N, A, D);
    for (ptrdiff_t i = 0; i < (ptrdiff_t)N * D; i++) {
        const int K = parts[i % D];
        part_metric(dout, tout, work, K);
        dout += K, tout += K, work += K;
    }
}

/* Replaces the old exponentials by p (K) and the new ones by d (K) = logp' - logp. A choice with
 * probability 0 before and after contributes nothing: d is set to 0, since expm1(d) may be
 * infinite. */
static void part_differences(real *p, real *d, const real *z_old, const real *z_new, int K)
{
    const real norm_old = norm_of(z_old, p, K), norm_new = norm_of(z_new, d, K);
    const real scale = 1 / total(p, K);
    for (int k = 0; k < K; k++) {
        p[k] *= scale;
        const int moves = p[k] > 0 || d[k] > 0;
        d[k] = moves ? (z_new[k] - norm_new) - (z_old[k] - norm_old) : 0;
    }
}

static void kl(const trpok_table *k, real *kl, const real *out_old, const real *out_new,
               const double *log_std_old, const double *log_std_new, real *work, const int *parts,
               int N, int A, int D)
{
    const ptrdiff_t count = (ptrdiff_t)N * A;
    real *p = work, *d = p + count, *e = d + count;
    (void)log_std_old, (void)log_std_new;
    exponentials(k, p, out_old, parts, N, A, D);
    exponentials(k, d, out_new, parts, N, A, D);
    for (ptrdiff_t i = 0, at = 0; i < (ptrdiff_t)N * D; at += parts[i++ % D])
        part_differences(p + at, d + at, out_old + at, out_new + at, parts[i % D]);
    k->expm1(e, d, count);
    for (int n = 0; n < N; n++, p += A, d += A, e += A) {
        kl[n] = 0;
        for (int j = 0; j < A; j++) kl[n] += p[j] * (e[j] - d[j]);
    }
}

static void entropy(const trpok_table *k, real *entropy, const real *out, const double *log_std,
                    real *work, const int *parts, int N, int A, int D)
{
    (void)log_std;
    exponentials(k, work, out, parts, N, A, D);
    for (int n = 0; n < N; n++) {
        entropy[n] = 0;
        for (int d = 0; d < D; d++) {
            const real norm = norm_of(out, work, parts[d]), scale = 1 / total(work, parts[d]);
            for (int j = 0; j < parts[d]; j++) entropy[n] -= work[j] * scale * (out[j] - norm);
            out += parts[d], work += parts[d];
        }
    }
}

/* e: the part's exponentials. */
static void part_entropy_adjoint(real *dout, real c, const real *z, const real *e, int K)
{
    const real norm = norm_of(z, e, K), scale = 1 / total(e, K);
    real entropy = 0;
    for (int k = 0; k < K; k++) entropy -= e[k] * scale * (z[k] - norm);
    for (int k = 0; k < K; k++) dout[k] -= c * e[k] * scale * (z[k] - norm + entropy);
}

static void entropy_adjoint(const trpok_table *k, real *dout, real *dlog_std, real c,
                            const real *out, const double *log_std, real *work, const int *parts,
                            int N, int A, int D)
{
    (void)dlog_std, (void)log_std;
    exponentials(k, work, out, parts, N, A, D);
    for (ptrdiff_t i = 0; i < (ptrdiff_t)N * D; i++) {
        const int K = parts[i % D];
        part_entropy_adjoint(dout, c, out, work, K);
        dout += K, out += K, work += K;
    }
}

const trpok_dist trpok_categorical = {
    "categorical", 0,    1,       0,      0,  n_choices, sample,          illegal,
    mode,          logp, adjoint, metric, kl, entropy,   entropy_adjoint, NULL};
