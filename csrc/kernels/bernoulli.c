/* A product of independent Bernoullis: each component is 0 or 1, with its own logit z.
 *
 * With p = 1/(1 + exp(-z)) the probability of 1, q = 1 - p, and softplus x = log(1 + exp x):
 *     logp     = -softplus(z - 2 a z)
 *     d logp   = (a - p) dz
 *     Fisher   = diag(p q)
 *     KL(o||n) = p f(u) + q f(v),  f(d) = expm1(d) - d >= 0,  u = log p' - log p, v = log q' -
 *                log q:  equal to -p u - q v because p expm1(u) + q expm1(v) = 0, but with no
 *                term below 0
 *     entropy  = softplus(-|z|) + |z| min(p, q),    d entropy = -z p q dz
 * summed over components. Here parts are all 1 and D = A. Everything is computed from e =
 * exp(-|z|), which never overflows: min(p, q) = e/(1 + e), so neither p nor q is a difference. For
 * a small step dz, u = -log1p(q expm1(-dz)) and v = -log1p(p expm1(dz)), and f by its Taylor
 * series, keep full precision. Proved by tests/test_distributions.py. */
#include "kernels.h"

/* e (count) = exp(-|z|) */
static void exponentials(const trpok_table *k, real *e, const real *z, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++) e[i] = z[i] > 0 ? -z[i] : z[i];
    k->exp(e, e, count);
}

/* The probability of 1 for s = z, of 0 for s = -z; e = exp(-|z|). */
static real probability(real s, real e) { return (s > 0 ? 1 : e) / (1 + e); }

static real softplus(real x, real e) { return (x > 0 ? x : 0) + trpok_log1p(e); }

static int n_choices(int outputs) { return 2 * outputs; }

static void sample(const trpok_table *k, real *act, const real *out, const double *log_std,
                   const double *noise, real *work, const int *parts, int N, int A, int D)
{
    const ptrdiff_t count = (ptrdiff_t)N * A;
    (void)log_std, (void)parts, (void)D;
    exponentials(k, work, out, count);
    for (ptrdiff_t i = 0; i < count; i++)
        act[i] = noise[i] >= (double)probability(-out[i], work[i]);
}

static int illegal(const real *act, const int *parts, int D)
{
    (void)parts;
    for (int d = 0; d < D; d++)
        if (!(act[d] == 0 || act[d] == 1)) return d;
    return -1;
}

static void mode(real *act, const real *out, const double *log_std, const int *parts, int N, int A,
                 int D)
{
    (void)log_std, (void)parts, (void)D;
    for (ptrdiff_t i = 0; i < (ptrdiff_t)N * A; i++) act[i] = out[i] > 0;
}

static void logp(const trpok_table *k, real *logp, const real *out, const double *log_std,
                 const real *act, real *work, const int *parts, int N, int A, int D)
{
    (void)log_std, (void)parts, (void)D;
    exponentials(k, work, out, (ptrdiff_t)N * A);
    for (int n = 0; n < N; n++, act += A, out += A, work += A) {
        logp[n] = 0;
        for (int i = 0; i < A; i++) logp[n] -= softplus(act[i] > 0 ? -out[i] : out[i], work[i]);
    }
}

static void adjoint(const trpok_table *k, real *dout, real *dlog_std, const real *out,
                    const double *log_std, const real *act, const real *w, real *work,
                    const int *parts, int N, int A, int D)
{
    (void)dlog_std, (void)log_std, (void)parts, (void)D;
    exponentials(k, work, out, (ptrdiff_t)N * A);
    for (int n = 0; n < N; n++, act += A, dout += A, out += A, work += A)
        for (int i = 0; i < A; i++) {
            const real p = probability(out[i], work[i]), q = probability(-out[i], work[i]);
            dout[i] = w[n] * (act[i] > 0 ? q : -p);
        }
}

/* p q */
static real variance(real e) { return e / ((1 + e) * (1 + e)); }

static void metric(const trpok_table *k, real *dout, const real *tout, const real *out,
                   const double *log_std, real *work, const int *parts, int N, int A, int D)
{
    const ptrdiff_t count = (ptrdiff_t)N * A;
    (void)log_std, (void)parts, (void)D;
    exponentials(k, work, out, count);
    for (ptrdiff_t i = 0; i < count; i++) dout[i] = variance(work[i]) * tout[i];
}

/* f(d) = expm1(d) - d for |d| <= 1: d^2/2 (1 + d/3 (1 + d/4 (...))) */
static real excess(real d)
{
    real sum = 1;
    for (int k = sizeof(real) == 4 ? 11 : 19; k > 2; k--) sum = 1 + d * sum / (real)k;
    return (real)0.5 * d * d * sum;
}

/* KL for |dz| <= 1; m = expm1(dz), and so -m/(1 + m) = expm1(-dz). */
static real small_divergence(real p, real q, real m)
{
    return p * excess(-trpok_log1p(-q * m / (1 + m))) + q * excess(-trpok_log1p(p * m));
}

/* KL for larger steps, where differences of logarithms are precise. e of z, e_new of z_new. */
static real large_divergence(real p, real q, real z, real z_new, real e, real e_new)
{
    const real u = softplus(-z, e) - softplus(-z_new, e_new);
    const real v = softplus(z, e) - softplus(z_new, e_new);
    return -p * u - q * v;
}

static void kl(const trpok_table *k, real *kl, const real *out_old, const real *out_new,
               const double *log_std_old, const double *log_std_new, real *work, const int *parts,
               int N, int A, int D)
{
    const ptrdiff_t count = (ptrdiff_t)N * A;
    real *e = work, *e_new = e + count, *m = e_new + count;
    (void)log_std_old, (void)log_std_new, (void)parts, (void)D;
    exponentials(k, e, out_old, count);
    exponentials(k, e_new, out_new, count);
    for (ptrdiff_t i = 0; i < count; i++) m[i] = out_new[i] - out_old[i];
    k->expm1(m, m, count);
    for (int n = 0; n < N; n++) {
        kl[n] = 0;
        for (int i = 0; i < A; i++, e++, e_new++, m++, out_old++, out_new++) {
            const real dz = *out_new - *out_old;
            const real p = probability(*out_old, *e), q = probability(-*out_old, *e);
            kl[n] += dz >= -1 && dz <= 1 ? small_divergence(p, q, *m)
                                         : large_divergence(p, q, *out_old, *out_new, *e, *e_new);
        }
    }
}

static void entropy(const trpok_table *k, real *entropy, const real *out, const double *log_std,
                    real *work, const int *parts, int N, int A, int D)
{
    (void)log_std, (void)parts, (void)D;
    exponentials(k, work, out, (ptrdiff_t)N * A);
    for (int n = 0; n < N; n++, out += A, work += A) {
        entropy[n] = 0;
        for (int i = 0; i < A; i++) {
            const real size = out[i] > 0 ? out[i] : -out[i];
            entropy[n] += trpok_log1p(work[i]) + size * probability(-size, work[i]);
        }
    }
}

static void entropy_adjoint(const trpok_table *k, real *dout, real *dlog_std, real c,
                            const real *out, const double *log_std, real *work, const int *parts,
                            int N, int A, int D)
{
    const ptrdiff_t count = (ptrdiff_t)N * A;
    (void)dlog_std, (void)log_std, (void)parts, (void)D;
    exponentials(k, work, out, count);
    for (ptrdiff_t i = 0; i < count; i++) dout[i] -= c * out[i] * variance(work[i]);
}

const trpok_dist trpok_bernoulli = {
    "bernoulli", 1,    0,       0,      0,  n_choices, sample,          illegal,
    mode,        logp, adjoint, metric, kl, entropy,   entropy_adjoint, NULL};
