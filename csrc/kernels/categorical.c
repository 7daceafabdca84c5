/* Categorical, or a product of independent categoricals: one part of the logits per component.
 *
 * For one part with logits z, p = softmax(z), chosen k:
 *     logp     = z_k - logsumexp(z)
 *     d logp   = (onehot(k) - p) dz
 *     Fisher   = diag(p) - p p',   so metric t = p * (t - p.t)
 *     KL(o||n) = sum_i p_i (expm1(d_i) - d_i),  d = logp' - logp:  equal to sum_i p_i (logp_i -
 *                logp'_i) because sum_i p_i expm1(d_i) = 0, but with no term below 0
 *     entropy  = -sum_i p_i logp_i
 * and the parts add up. Proved by tests/test_distributions.py. */
#include "kernels.h"

static real log_sum_exp(const real *z, int K)
{
    real top = z[0], sum = 0;
    for (int k = 1; k < K; k++) top = z[k] > top ? z[k] : top;
    for (int k = 0; k < K; k++) sum += trpok_exp(z[k] - top);
    return top + trpok_log(sum);
}

/* The choice whose slice of [0, 1) holds u. */
static int invert(const real *z, double u, int K)
{
    const real norm = log_sum_exp(z, K);
    double cumulated = 0;
    for (int k = 0; k < K - 1; k++) {
        cumulated += (double)trpok_exp(z[k] - norm);
        if (cumulated > u) return k;
    }
    return K - 1;
}

static void sample(real *act, const real *out, const double *log_std, const double *noise,
                   const int *parts, int N, int A, int D)
{
    (void)log_std, (void)A;
    for (ptrdiff_t i = 0; i < (ptrdiff_t)N * D; i++) {
        const int K = parts[i % D];
        act[i] = (real)invert(out, noise[i], K);
        out += K;
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

static int largest(const real *z, int K)
{
    int best = 0;
    for (int k = 1; k < K; k++)
        if (z[k] > z[best]) best = k;
    return best;
}

static void mode(real *act, const real *out, const int *parts, int N, int A, int D)
{
    (void)A;
    for (ptrdiff_t i = 0; i < (ptrdiff_t)N * D; i++) {
        const int K = parts[i % D];
        act[i] = (real)largest(out, K);
        out += K;
    }
}

static void logp(real *logp, const real *out, const double *log_std, const real *act,
                 const int *parts, int N, int A, int D)
{
    (void)log_std, (void)A;
    for (int n = 0; n < N; n++) {
        logp[n] = 0;
        for (int d = 0; d < D; d++) {
            logp[n] += out[(int)*act++] - log_sum_exp(out, parts[d]);
            out += parts[d];
        }
    }
}

static void adjoint(real *dout, real *dlog_std, const real *out, const double *log_std,
                    const real *act, const real *w, const int *parts, int N, int A, int D)
{
    (void)dlog_std, (void)log_std, (void)A;
    for (int n = 0; n < N; n++)
        for (int d = 0; d < D; d++) {
            const int K = parts[d], choice = (int)*act++;
            const real norm = log_sum_exp(out, K);
            for (int k = 0; k < K; k++)
                dout[k] = w[n] * ((real)(k == choice) - trpok_exp(out[k] - norm));
            dout += K, out += K;
        }
}

static void part_metric(real *dout, const real *tout, const real *z, int K)
{
    const real norm = log_sum_exp(z, K);
    real mean = 0;
    for (int k = 0; k < K; k++) mean += trpok_exp(z[k] - norm) * tout[k];
    for (int k = 0; k < K; k++) dout[k] = trpok_exp(z[k] - norm) * (tout[k] - mean);
}

static void metric(real *dout, const real *tout, const real *out, const double *log_std,
                   const int *parts, int N, int A, int D)
{
    (void)log_std, (void)A;
    for (ptrdiff_t i = 0; i < (ptrdiff_t)N * D; i++) {
        const int K = parts[i % D];
        part_metric(dout, tout, out, K);
        dout += K, tout += K, out += K;
    }
}

static real part_kl(const real *z_old, const real *z_new, int K)
{
    const real norm_old = log_sum_exp(z_old, K), norm_new = log_sum_exp(z_new, K);
    real sum = 0;
    for (int k = 0; k < K; k++) {
        const real logp = z_old[k] - norm_old, d = (z_new[k] - norm_new) - logp;
        sum += trpok_exp(logp) * (trpok_expm1(d) - d);
    }
    return sum;
}

static void kl(real *kl, const real *out_old, const real *out_new, const double *log_std_old,
               const double *log_std_new, const int *parts, int N, int A, int D)
{
    (void)log_std_old, (void)log_std_new, (void)A;
    for (int n = 0; n < N; n++) {
        kl[n] = 0;
        for (int d = 0; d < D; d++) {
            kl[n] += part_kl(out_old, out_new, parts[d]);
            out_old += parts[d], out_new += parts[d];
        }
    }
}

static void entropy(real *entropy, const real *out, const double *log_std, const int *parts, int N,
                    int A, int D)
{
    (void)log_std, (void)A;
    for (int n = 0; n < N; n++) {
        entropy[n] = 0;
        for (int d = 0; d < D; d++) {
            const real norm = log_sum_exp(out, parts[d]);
            for (int k = 0; k < parts[d]; k++)
                entropy[n] -= trpok_exp(out[k] - norm) * (out[k] - norm);
            out += parts[d];
        }
    }
}

const trpok_dist trpok_categorical = {"categorical", 0,       0,      sample, illegal, mode,
                                      logp,          adjoint, metric, kl,     entropy, NULL};
