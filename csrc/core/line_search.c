/* Backtracking line search: accepts the first of theta' = theta + scale shrink^j dir, j = 0, 1, ...
 * with KL(old || new) <= target_kl and an improved surrogate; trpo_acceptance has other rules. A
 * trial that is not finite is never accepted. log_std is clamped to its bounds before a trial is
 * evaluated, so that KL and surrogate are those of the policy that is accepted.
 *
 * A trial needs one pass over the batch, for three means at once:
 *     surr = E[(ratio - 1) A] + ent_coef entropy,   kl = E[KL(old || new)],   entropy
 * The outputs at the old parameters are those cached by the rollout. */
#include "work.h"

/* The first test that a trial fails, as a trpo_rejection. */
static int find_rejection(const double *theta, const trpo_trial *trial, const trpo_rule *rule,
                          ptrdiff_t P)
{
    if (!isfinite(trial->kl) || !isfinite(trial->surr) || !trpok_finite(theta, P))
        return TRPO_REJECTED_NOT_FINITE;
    if (rule->acceptance == TRPO_ACCEPT_ALWAYS) return TRPO_NOT_REJECTED;
    if (!(trial->kl <= rule->kl_limit)) return TRPO_REJECTED_KL;
    if (rule->acceptance == TRPO_ACCEPT_KL) return TRPO_NOT_REJECTED;
    return trial->surr > rule->surr_old ? TRPO_NOT_REJECTED : TRPO_REJECTED_IMPROVEMENT;
}

static void make_trial(double *theta_new, const double *theta, const double *dir, double scale,
                       const trpo_rule *rule, ptrdiff_t P)
{
    for (ptrdiff_t i = 0; i < P; i++) theta_new[i] = theta[i] + scale * dir[i];
    for (ptrdiff_t i = rule->bounded; i < P; i++)
        theta_new[i] = trpo_clamp(theta_new[i], rule->low, rule->high);
}

trpo_search trpo_line_search(double *theta_new, const double *theta, const double *dir,
                             double scale, const trpo_rule *rule, trpo_evaluate_fn evaluate,
                             void *ctx, ptrdiff_t P)
{
    const int max_trials = rule->acceptance == TRPO_ACCEPT_ALWAYS ? 1 : rule->max_trials;
    trpo_search search = {0, 0, {0, 0, 0}};
    while (search.trials < max_trials) {
        make_trial(theta_new, theta, dir, scale, rule, P);
        search.last = evaluate(ctx, theta_new);
        search.trials++;
        search.rejected = find_rejection(theta_new, &search.last, rule, P);
        if (search.rejected == TRPO_NOT_REJECTED) break;
        scale *= rule->shrink;
    }
    return search;
}

enum { SURR, KL, ENTROPY, N_MEANS };

static real total(const real *x, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)x[i];
    return (real)sum;
}

/* kl (n) = KL(old || new), or KL(new || old), from current and trial outputs */
static void divergence(const trpo_agent *w, real *kl, const real *out, const real *out_trial,
                       const double *log_std_trial, real *work, int n)
{
    const trpo_model *m = &w->policy;
    if (w->set.kl_direction == TRPO_FORWARD)
        m->dist->kl(w->k, kl, out, out_trial, m->log_std, log_std_trial, work, m->parts, n, m->A,
                    m->D);
    else
        m->dist->kl(w->k, kl, out_trial, out, log_std_trial, m->log_std, work, m->parts, n, m->A,
                    m->D);
}

static void evaluate_tile(const trpo_pass *pass, trpo_scratch *s, real *sum, int first, int n)
{
    const trpo_agent *w = pass->agent;
    const trpo_model *m = pass->model;
    const int L = m->net.L;
    const double *log_std = (const double *)pass->arg;
    const real *out_old = m->batch.h[L] + (ptrdiff_t)first * m->A;
    real **h = trpo_tile_inputs(s, m, m->batch.h[0] + (ptrdiff_t)first * m->net.size[0]);
    real *row = s->row1;
    trpo_net_forward(w->k, &m->net, h, n);
    trpo_mask_rows(m, h[L], first, n);
    m->dist->logp(w->k, row, h[L], log_std, m->batch.act + (ptrdiff_t)first * m->D, s->work,
                  m->parts, n, m->A, m->D);
    for (int i = 0; i < n; i++) row[i] -= w->logp[first + i];
    w->k->expm1(row, row, n);
    for (int i = 0; i < n; i++) row[i] *= w->adv_real[first + i];
    sum[SURR] += total(row, n);
    divergence(w, row, out_old, h[L], log_std, s->work, n);
    sum[KL] += total(row, n);
    m->dist->entropy(w->k, row, h[L], log_std, s->work, m->parts, n, m->A, m->D);
    sum[ENTROPY] += total(row, n);
}

trpo_trial trpo_evaluate(trpo_agent *w, const double *theta)
{
    trpo_model *m = &w->policy;
    const double *log_std = m->n_log_std ? theta + m->net.offset[m->net.L] : NULL;
    const trpo_pass pass = {w, m, &m->batch, evaluate_tile, 0, log_std};
    double mean[N_MEANS];
    trpo_net_pack(w->k, &m->net, theta);
    trpo_mean_rows(mean, &pass, m->batch.N, N_MEANS);
    trpo_net_pack(w->k, &m->net, m->theta);
    trpo_trial trial = {mean[SURR], mean[KL], mean[ENTROPY]};
    if (w->set.ent_coef > 0) trial.surr += w->set.ent_coef * trial.entropy;
    return trial;
}
