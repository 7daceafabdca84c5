/* Advantages and returns of the recorded rows, and the selection of the N rows to learn from.
 *
 * Skipped rows take no part in the recursion and are dropped here, so that later stages see N plain
 * samples. Before that, row (t, e) has index t E + e; the order is kept. */
#include "work.h"

#include <string.h>

/* Bootstraps episodes that are still running in the last row; push has handled the other rows. */
static void bootstrap_last_row(trpo_agent *w)
{
    const int E = w->set.n_envs, first = (w->t - 1) * E;
    trpo_value_rows(w, w->scratch, w->last_val, w->last_obs, E);
    for (int e = 0; e < E; e++)
        if (!w->done[first + e]) w->boot[first + e] = w->last_val[e];
}

/* Moves the rows of x that are not skipped to the front; returns their number. */
static int keep_rows(void *x, size_t row_bytes, const uint8_t *skip, int N)
{
    char *row = (char *)x;
    int kept = 0;
    for (int n = 0; n < N; n++) {
        if (skip[n]) continue;
        if (kept != n)
            memmove(row + (size_t)kept * row_bytes, row + (size_t)n * row_bytes, row_bytes);
        kept++;
    }
    return kept;
}

/* Layers from `first` on: the critic's h[0] may be the policy's. */
static void keep_activations(trpo_model *m, int first, const uint8_t *skip, int N)
{
    for (int l = first; l <= m->net.L; l++)
        keep_rows(m->batch.h[l], (size_t)m->net.size[l] * sizeof(real), skip, N);
}

static void drop_skipped(trpo_agent *w)
{
    const int rows = w->t * w->set.n_envs;
    const int shared = w->critic.batch.h[0] == w->policy.batch.h[0];
    w->N = keep_rows(w->adv, sizeof *w->adv, w->skip, rows);
    if (w->N == rows) return;
    keep_rows(w->ret, sizeof *w->ret, w->skip, rows);
    keep_rows(w->logp, sizeof *w->logp, w->skip, rows);
    keep_rows(w->val, sizeof *w->val, w->skip, rows);
    keep_rows(w->rew_returns, sizeof *w->rew_returns, w->skip, rows);
    keep_rows(w->policy.batch.act, (size_t)w->policy.D * sizeof(real), w->skip, rows);
    if (w->policy.batch.has_masks)
        keep_rows(w->policy.batch.mask, (size_t)w->policy.A, w->skip, rows);
    if (w->raw_obs != NULL)
        keep_rows(w->raw_obs, (size_t)w->set.obs_size * sizeof(real), w->skip, rows);
    keep_activations(&w->policy, 0, w->skip, rows);
    keep_activations(&w->critic, shared, w->skip, rows);
}

/* A second pass removes the rounding error, which grows with N. */
static double mean_of(const double *x, int N)
{
    double first = 0, rest = 0;
    for (int n = 0; n < N; n++) first += x[n];
    first /= N;
    for (int n = 0; n < N; n++) rest += x[n] - first;
    return first + rest / N;
}

/* Sets advantages that differ only by rounding to 0, since they prefer no action. Otherwise, if
 * wanted, scales them to mean 0 and standard deviation 1. */
static void normalize(double *adv, int wanted, int N)
{
    const double mean = mean_of(adv, N);
    double variance = 0, top = 0;
    for (int n = 0; n < N; n++) {
        variance += (adv[n] - mean) * (adv[n] - mean);
        top = fabs(adv[n]) > top ? fabs(adv[n]) : top;
    }
    const double std = sqrt(variance / N);
    const int constant = N > 1 && std <= 4 * TRPOK_EPSILON * top;
    for (int n = 0; n < N; n++) {
        if (constant)
            adv[n] = 0;
        else if (wanted)
            adv[n] = (adv[n] - mean) / (std + 1e-8);
    }
}

static void finish_advantages(trpo_agent *w)
{
    w->policy.batch.N = w->critic.batch.N = w->N;
    normalize(w->adv, w->set.normalize_advantage, w->N);
    trpok_to_real(w->adv_real, w->adv, w->N);
    trpok_to_real(w->ret_real, w->ret, w->N);
}

void trpo_advantages(trpo_agent *w)
{
    bootstrap_last_row(w);
    trpo_scale_rewards(w);
    w->k->wide->gae(w->adv, w->ret, w->rew, w->val, w->boot, w->done, w->skip, w->set.gamma,
                    w->set.gae_lambda, w->t, w->set.n_envs);
    drop_skipped(w);
    finish_advantages(w);
}
