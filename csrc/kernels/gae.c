/* Generalised advantage estimation. Derivation and shapes: kernels.h. Proved against the
 * quadratic-time definition by tests/test_advantages.py. */
#include "kernels.h"

static void gae_environment(double *adv, double *ret, const double *rew, const real *val,
                            const real *boot, const uint8_t *done, const uint8_t *skip,
                            double gamma, double lambda, int T, int E)
{
    double adv_next = 0, val_next = 0;
    for (int t = T - 1; t >= 0; t--) {
        const ptrdiff_t n = (ptrdiff_t)t * E;
        const int ends = done[n] || t == T - 1;
        const double next = ends ? (double)boot[n] : val_next;
        const double delta = rew[n] + gamma * next - (double)val[n];
        adv_next = delta + (ends ? 0 : gamma * lambda * adv_next);
        val_next = (double)val[n];
        if (skip[n]) adv_next = val_next = 0;
        adv[n] = adv_next;
        ret[n] = adv_next + val_next;
    }
}

void trpok_gae(double *adv, double *ret, const double *rew, const real *val, const real *boot,
               const uint8_t *done, const uint8_t *skip, double gamma, double lambda, int T, int E)
{
    for (int e = 0; e < E; e++)
        gae_environment(adv + e, ret + e, rew + e, val + e, boot + e, done + e, skip + e, gamma,
                        lambda, T, E);
}
