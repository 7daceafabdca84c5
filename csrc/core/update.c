/* One iteration of Trust Region Policy Optimization (Schulman et al. 2015), stage by stage. */
#include "work.h"

#include <string.h>

/* 1 - var(ret - val) / var(ret), of the values that the advantages were made of */
static double explained_variance(const trpo_agent *w)
{
    double mean_ret = 0, mean_left = 0, var_ret = 0, var_left = 0;
    for (int n = 0; n < w->N; n++) {
        mean_ret += w->ret[n] / w->N;
        mean_left += (w->ret[n] - (double)w->val[n]) / w->N;
    }
    for (int n = 0; n < w->N; n++) {
        const double ret = w->ret[n] - mean_ret, left = w->ret[n] - (double)w->val[n] - mean_left;
        var_ret += ret * ret;
        var_left += left * left;
    }
    return var_ret > 0 ? 1 - var_left / var_ret : (double)NAN;
}

trpo_solution trpo_solve_policy(trpo_agent *w)
{
    const int kfac = w->set.preconditioner == TRPO_KFAC;
    const trpo_rng rng = trpo_stream(w, TRPO_STREAM_KFAC, TRPO_N_UPDATES);
    trpo_fisher_rows(&w->policy, w->set.sub_sampling_factor);
    if (kfac) trpo_factorize(w, &w->policy, &rng, w->set.cg_damping);
    return trpo_solve(w, &w->policy, w->set.cg_damping, w->set.cg_max_steps, kfac);
}

/* The surrogate at the present parameters, E[(ratio - 1) A]: 0 where they took the actions. */
static double surrogate_now(const trpo_agent *w)
{
    double sum = 0;
    for (int n = 0; n < w->N; n++) sum += (double)w->weight[n] - (double)w->adv_real[n];
    return sum / w->N;
}

static trpo_trial evaluate(void *agent, const double *theta)
{
    return trpo_evaluate((trpo_agent *)agent, theta);
}

static double distance(const double *x, const double *y, ptrdiff_t P)
{
    double sum = 0;
    for (ptrdiff_t i = 0; i < P; i++) sum += (x[i] - y[i]) * (x[i] - y[i]);
    return sqrt(sum);
}

/* Along x: beta = sqrt(2 delta / x'Hx), then backtracking. */
static int search(trpo_agent *w, const trpo_solution *solution, trpo_info *info)
{
    trpo_model *m = &w->policy;
    const double delta = w->set.target_kl, surr = surrogate_now(w);
    const double beta = sqrt(2 * delta / solution->curvature);
    const double undamped = solution->curvature - w->set.cg_damping * trpok_dot(m->x, m->x, m->P);
    info->surr_gain_predicted = beta * trpok_dot(m->grad, m->x, m->P);
    info->kl_predicted = 0.5 * beta * beta * undamped;
    const trpo_search found = trpo_line_search(
        m->trial, m->theta, m->x, beta, w->set.line_search_shrinking_factor, delta, surr, evaluate,
        w, w->set.line_search_max_iter, m->P);
    info->line_search_steps = found.trials;
    if (!found.accepted) return TRPO_REJECTED;
    info->surr_gain = found.last.surr - surr;
    info->kl = found.last.kl;
    info->entropy = found.last.entropy;
    info->step_norm = distance(m->trial, m->theta, m->P);
    memcpy(m->theta, m->trial, (size_t)m->P * sizeof(double));
    trpo_net_pack(w->k, &m->net, m->theta);
    return TRPO_OK;
}

static int policy_step(trpo_agent *w, trpo_info *info)
{
    trpo_model *m = &w->policy;
    trpo_policy_gradient(w);
    info->grad_norm = sqrt(trpok_dot(m->grad, m->grad, m->P));
    if (info->grad_norm == 0) return TRPO_ZERO_GRADIENT;
    const trpo_solution solution = trpo_solve_policy(w);
    info->cg_steps = solution.steps;
    info->cg_residual = solution.residual;
    info->curvature = solution.curvature;
    if (!(solution.curvature > 0 && isfinite(solution.curvature))) return TRPO_NO_CURVATURE;
    return search(w, &solution, info);
}

static int check_rollout(const trpo_agent *w)
{
    if (w->open) return TRPO_ERR_ORDER;
    for (int n = 0; n < w->t * w->set.n_envs; n++)
        if (!w->skip[n]) return TRPO_OK;
    return TRPO_ERR_EMPTY;
}

int trpo_update(trpo_agent *w, trpo_info *wanted)
{
    trpo_info info = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    int status = check_rollout(w);
    if (status != TRPO_OK) return status;
    trpo_advantages(w);
    info.n_samples = w->N;
    info.explained_variance = explained_variance(w);
    status = policy_step(w, &info);
    if (status != TRPO_OK) info.entropy = trpo_evaluate(w, w->policy.theta).entropy;
    trpo_fit_critic(w, &info);
    trpo_merge_statistics(w);
    w->counters[TRPO_N_UPDATES]++;
    w->t = w->drawn = 0;
    if (wanted != NULL) *wanted = info;
    return status;
}
