/* Diagonal Gaussian with a state-independent standard deviation, s_i = exp(log_std_i).
 *
 *     logp     = -1/2 sum_i ((a_i - mu_i) / s_i)^2 - sum_i log_std_i - A/2 log(2 pi)
 *     d logp   = (a_i - mu_i) / s_i^2 d mu_i  +  (((a_i - mu_i) / s_i)^2 - 1) d log_std_i
 *     Fisher   = diag(1 / s_i^2) for mu,  2 I for log_std,  no cross terms
 *     KL(o||n) = sum_i  dl_i + expm1(-2 dl_i)/2 + ((mu'_i - mu_i) / s'_i)^2 / 2,
 *                dl = log_std' - log_std
 *     entropy  = sum_i log_std_i + A/2 log(2 pi e),   d entropy = sum_i d log_std_i
 *
 * Here out = mu (N x A), act (N x A), and D = A. Proved by tests/test_distributions.py. */
#include "kernels.h"

#define LOG_2_PI 1.8378770664093454836

static void sample(const trpok_table *k, real *act, const real *out, const double *log_std,
                   const double *noise, real *work, const int *parts, int N, int A, int D)
{
    (void)k, (void)work, (void)parts, (void)D;
    for (int n = 0; n < N; n++, act += A, out += A, noise += A)
        for (int i = 0; i < A; i++) act[i] = out[i] + (real)(trpok_exp(log_std[i]) * noise[i]);
}

static int illegal(const real *act, const int *parts, int D)
{
    (void)parts;
    for (int d = 0; d < D; d++)
        if (!isfinite(act[d])) return d;
    return -1;
}

static void mode(real *act, const real *out, const double *log_std, const int *parts, int N, int A,
                 int D)
{
    (void)log_std, (void)parts, (void)D;
    for (ptrdiff_t i = 0; i < (ptrdiff_t)N * A; i++) act[i] = out[i];
}

static double sum_log_std(const double *log_std, int A)
{
    double sum = 0;
    for (int i = 0; i < A; i++) sum += log_std[i];
    return sum;
}

static void logp(const trpok_table *k, real *logp, const real *out, const double *log_std,
                 const real *act, real *work, const int *parts, int N, int A, int D)
{
    (void)k, (void)work, (void)parts, (void)D;
    const real constant = (real)(sum_log_std(log_std, A) + 0.5 * A * LOG_2_PI);
    for (int n = 0; n < N; n++) logp[n] = 0;
    for (int i = 0; i < A; i++) {
        const real precision = (real)trpok_exp(-log_std[i]);
        for (int n = 0; n < N; n++) {
            const real z = (act[(ptrdiff_t)n * A + i] - out[(ptrdiff_t)n * A + i]) * precision;
            logp[n] += z * z;
        }
    }
    for (int n = 0; n < N; n++) logp[n] = (real)-0.5 * logp[n] - constant;
}

static void adjoint(const trpok_table *k, real *dout, real *dlog_std, const real *out,
                    const double *log_std, const real *act, const real *w, real *work,
                    const int *parts, int N, int A, int D)
{
    (void)k, (void)work, (void)parts, (void)D;
    for (int i = 0; i < A; i++) {
        const real precision = (real)trpok_exp(-log_std[i]);
        real dl = 0;
        for (int n = 0; n < N; n++) {
            const ptrdiff_t at = (ptrdiff_t)n * A + i;
            const real z = (act[at] - out[at]) * precision;
            dout[at] = w[n] * z * precision;
            dl += w[n] * (z * z - 1);
        }
        if (dlog_std != NULL) dlog_std[i] += dl;
    }
}

static void constant_metric(double *m, const double *log_std, int A)
{
    for (int i = 0; i < A; i++) m[i] = trpok_exp(-2 * log_std[i]);
}

static void metric(const trpok_table *k, real *dout, const real *tout, const real *out,
                   const double *log_std, real *work, const int *parts, int N, int A, int D)
{
    (void)k, (void)out, (void)work, (void)parts, (void)D;
    for (int i = 0; i < A; i++) {
        const real m = (real)trpok_exp(-2 * log_std[i]);
        for (int n = 0; n < N; n++)
            dout[(ptrdiff_t)n * A + i] = m * tout[(ptrdiff_t)n * A + i];
    }
}

/* expm1 keeps the digits of the log_std terms, whose sum is of second order in dl. */
static void kl(const trpok_table *k, real *kl, const real *out_old, const real *out_new,
               const double *log_std_old, const double *log_std_new, real *work, const int *parts,
               int N, int A, int D)
{
    (void)k, (void)work, (void)parts, (void)D;
    double constant = 0;
    for (int i = 0; i < A; i++) {
        const double dl = log_std_new[i] - log_std_old[i];
        constant += dl + 0.5 * trpok_expm1(-2 * dl);
    }
    for (int n = 0; n < N; n++) kl[n] = (real)constant;
    for (int i = 0; i < A; i++) {
        const real half_m = (real)(0.5 * trpok_exp(-2 * log_std_new[i]));
        for (int n = 0; n < N; n++) {
            const real d = out_new[(ptrdiff_t)n * A + i] - out_old[(ptrdiff_t)n * A + i];
            kl[n] += half_m * d * d;
        }
    }
}

static void entropy(const trpok_table *k, real *entropy, const real *out, const double *log_std,
                    real *work, const int *parts, int N, int A, int D)
{
    (void)k, (void)out, (void)work, (void)parts, (void)D;
    const double value = sum_log_std(log_std, A) + 0.5 * A * (LOG_2_PI + 1);
    for (int n = 0; n < N; n++) entropy[n] = (real)value;
}

static void entropy_adjoint(const trpok_table *k, real *dout, real *dlog_std, real c,
                            const real *out, const double *log_std, real *work, const int *parts,
                            int N, int A, int D)
{
    (void)k, (void)dout, (void)out, (void)log_std, (void)work, (void)parts, (void)D;
    for (int i = 0; dlog_std != NULL && i < A; i++) dlog_std[i] += (real)N * c;
}

const trpok_dist trpok_gaussian = {
    "gaussian", 1,    0,       1,      2,  NULL,    sample,          illegal,
    mode,       logp, adjoint, metric, kl, entropy, entropy_adjoint, constant_metric};
