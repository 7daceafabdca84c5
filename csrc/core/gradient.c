/* The surrogate's gradient.
 *
 *     L(theta) = 1/N sum_n ratio_n adv_n + c H_n,   ratio_n = exp(logp_n(theta) - logp_n)
 *     dL       = 1/N sum_n ratio_n adv_n dlogp_n + c dH_n
 *                                                   with dlogp_n by the distribution's adjoint,
 *                                                   then back through the network
 *
 * H_n is the entropy of row n's distribution and c = ent_coef; if c is 0 the term is skipped.
 * The rollout recorded logp_n with the kernel that computes logp_n(theta), so the ratio is exactly
 * 1 at the parameters that took the actions. The critic's gradient is the same with weight 1:
 * maximising a unit Gaussian's log-likelihood of ret is minimising 1/2 (V - ret)^2. */
#include "work.h"

static void weight_tile(const trpo_pass *pass, trpo_scratch *s, real *sum, int first, int n)
{
    (void)sum;
    trpo_agent *w = pass->agent;
    const trpo_model *m = pass->model;
    real *weight = w->weight + first;
    m->dist->logp(w->k, weight, m->batch.h[m->net.L] + (ptrdiff_t)first * m->A, m->log_std,
                  m->batch.act + (ptrdiff_t)first * m->D, s->work, m->parts, n, m->A, m->D);
    for (int i = 0; i < n; i++) weight[i] -= w->logp[first + i];
    w->k->exp(weight, weight, n);
    for (int i = 0; i < n; i++) weight[i] *= w->adv_real[first + i];
}

static void gradient_tile(const trpo_pass *pass, trpo_scratch *s, real *sum, int first, int n)
{
    const trpo_model *m = pass->model;
    const trpok_table *k = pass->agent->k;
    const real *weight = (const real *)pass->arg;
    const double c = weight != NULL ? pass->agent->set.ent_coef : 0; /* the critic has none */
    real **h = trpo_tile_rows(s, m, pass->batch, first);
    real *dlog_std = m->n_log_std ? sum + m->net.offset[m->net.L] : NULL;
    for (int i = 0; i < n; i++) s->row1[i] = weight != NULL ? weight[first + i] : 1;
    m->dist->adjoint(k, s->a, dlog_std, h[m->net.L], m->log_std,
                     pass->batch->act + (ptrdiff_t)first * m->D, s->row1, s->work, m->parts, n,
                     m->A, m->D);
    if (c > 0)
        m->dist->entropy_adjoint(k, s->a, dlog_std, (real)c, h[m->net.L], m->log_std, s->work,
                                 m->parts, n, m->A, m->D);
    trpo_net_adjoint(k, &m->net, sum, s->a, h, s, n);
}

void trpo_gradient(trpo_agent *w, trpo_model *model, const real *weight)
{
    const trpo_pass pass = {w, model, &model->batch, gradient_tile, 0, weight};
    trpo_mean_rows(model->grad, &pass, model->batch.N, model->P);
}

/* Zeroes the gradient of each log_std that is at a bound and would cross it, not of those that
 * would move back inside. Other parameters are uncoupled from log_std in the Fisher matrix. */
static void hold_at_bounds(trpo_agent *w)
{
    const trpo_model *m = &w->policy;
    for (ptrdiff_t i = m->P - m->n_log_std; i < m->P; i++) {
        const int falls = m->theta[i] <= w->set.log_std_min && m->grad[i] < 0;
        const int rises = m->theta[i] >= w->set.log_std_max && m->grad[i] > 0;
        if (falls || rises) m->grad[i] = 0;
    }
}

void trpo_policy_gradient(trpo_agent *w)
{
    const trpo_pass pass = {w, &w->policy, &w->policy.batch, weight_tile, 0, NULL};
    trpo_mean_rows(NULL, &pass, w->N, 0);
    trpo_gradient(w, &w->policy, w->weight);
    hold_at_bounds(w);
}
