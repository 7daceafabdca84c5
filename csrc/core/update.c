/* One iteration of Trust Region Policy Optimization (Schulman et al. 2015), stage by stage. */
#include "work.h"

#include <string.h>

/* 1 - var(ret - val) / var(ret), with the values that the advantages were computed from */
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
    if (kfac) trpo_factorize(w, &w->policy, &rng, trpo_damping(w));
    return trpo_solve(w, &w->policy, trpo_damping(w), w->set.cg_max_steps, kfac);
}

double trpo_damping(const trpo_agent *w)
{
    return w->set.adaptive_damping ? w->set.cg_damping * *w->damping_scale : w->set.cg_damping;
}

/* Levenberg and Marquardt's rule, with the constants of Martens 2010, section 4.1: increase the
 * damping if the gain is below a quarter of the prediction, decrease it if above three quarters.
 * The prediction is beta g'x, that of the full step, so a step that was shortened or rejected
 * counts against the quadratic model. */
static void adapt_damping(trpo_agent *w, int status, const trpo_info *info)
{
    const double predicted = info->surr_gain_predicted;
    const double ratio = predicted > 0 ? info->surr_gain / predicted : 0;
    double scale = *w->damping_scale;
    if (!w->set.adaptive_damping || status == TRPO_ZERO_GRADIENT) return;
    if (ratio < 0.25) scale *= 1.5;
    if (ratio > 0.75) scale /= 1.5;
    *w->damping_scale = fmin(fmax(scale, TRPO_LEAST_SCALE), TRPO_LARGEST_SCALE);
}

/* Adds the time since the last call to a stage, if there is a clock. */
static void end_stage(trpo_agent *w, trpo_info *info, int stage)
{
    if (w->set.clock == NULL) return;
    const double now = w->set.clock();
    info->seconds[stage] += now - w->stage_started;
    w->stage_started = now;
}

/* The surrogate at the current parameters, E[(ratio - 1) A] + ent_coef entropy. The first term is 0
 * if these parameters took the actions. */
static double current_surrogate(trpo_agent *w)
{
    double sum = 0;
    for (int n = 0; n < w->N; n++) sum += (double)w->weight[n] - (double)w->adv_real[n];
    sum /= w->N;
    if (w->set.ent_coef > 0) sum += w->set.ent_coef * trpo_evaluate(w, w->policy.theta).entropy;
    return sum;
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

static trpo_rule search_rule(const trpo_agent *w, double surr)
{
    const trpo_settings *s = &w->set;
    const trpo_rule rule = {s->acceptance,
                            s->kl_slack * s->target_kl,
                            surr,
                            s->line_search_shrinking_factor,
                            s->line_search_max_iter,
                            s->log_std_min,
                            s->log_std_max,
                            w->policy.P - w->policy.n_log_std};
    return rule;
}

/* Searches along x: beta = sqrt(2 delta / x'Hx), then backtracking. */
static int search(trpo_agent *w, const trpo_solution *solution, trpo_info *info)
{
    trpo_model *m = &w->policy;
    const double delta = w->set.target_kl, surr = current_surrogate(w);
    const double beta = sqrt(2 * delta / solution->curvature);
    const double undamped = solution->curvature - trpo_damping(w) * trpok_dot(m->x, m->x, m->P);
    info->surr_gain_predicted = beta * trpok_dot(m->grad, m->x, m->P);
    info->kl_predicted = 0.5 * beta * beta * undamped;
    const trpo_rule rule = search_rule(w, surr);
    const trpo_search found =
        trpo_line_search(m->trial, m->theta, m->x, beta, &rule, evaluate, w, m->P);
    info->line_search_steps = found.trials;
    info->rejected = found.rejected;
    info->surr_gain_tried = found.last.surr - surr;
    info->kl_tried = found.last.kl;
    if (found.rejected != TRPO_NOT_REJECTED) return TRPO_REJECTED;
    info->surr_gain = info->surr_gain_tried;
    info->kl = info->kl_tried;
    info->entropy = found.last.entropy;
    info->step_norm = distance(m->trial, m->theta, m->P);
    memcpy(m->theta, m->trial, (size_t)m->P * sizeof(double));
    trpo_net_pack(w->k, &m->net, m->theta);
    return TRPO_OK;
}

/* Computes gradient and direction; TRPO_OK if a step length is defined. */
static int find_direction(trpo_agent *w, trpo_solution *solution, trpo_info *info)
{
    trpo_model *m = &w->policy;
    trpo_policy_gradient(w);
    end_stage(w, info, TRPO_STAGE_GRADIENT);
    info->grad_norm = sqrt(trpok_dot(m->grad, m->grad, m->P));
    if (info->grad_norm == 0) return TRPO_ZERO_GRADIENT;
    *solution = trpo_solve_policy(w);
    end_stage(w, info, TRPO_STAGE_SOLVE);
    info->cg_steps = solution->steps;
    info->cg_residual = solution->residual;
    info->curvature = solution->curvature;
    return solution->curvature > 0 && isfinite(solution->curvature) ? TRPO_OK : TRPO_NO_CURVATURE;
}

/* The mean of exp(log_std); NaN if there is none. */
static double mean_std(const trpo_model *m)
{
    double sum = 0;
    for (int i = 0; i < m->n_log_std; i++) sum += trpok_exp(m->log_std[i]);
    return m->n_log_std > 0 ? sum / m->n_log_std : (double)NAN;
}

static int policy_step(trpo_agent *w, trpo_info *info)
{
    trpo_solution solution;
    info->target_kl = w->set.target_kl;
    info->cg_damping = trpo_damping(w);
    int status = find_direction(w, &solution, info);
    if (status == TRPO_ZERO_GRADIENT) info->rejected = TRPO_REJECTED_ZERO_GRADIENT;
    if (status == TRPO_NO_CURVATURE) info->rejected = TRPO_REJECTED_NO_CURVATURE;
    if (status == TRPO_OK) status = search(w, &solution, info);
    if (status != TRPO_OK) info->entropy = trpo_evaluate(w, w->policy.theta).entropy;
    info->std = mean_std(&w->policy);
    adapt_damping(w, status, info);
    end_stage(w, info, TRPO_STAGE_LINE_SEARCH);
    return status;
}

static int check_rollout(const trpo_agent *w)
{
    if (w->open) return TRPO_ERR_ORDER;
    for (int n = 0; n < w->t * w->set.n_envs; n++)
        if (!w->skip[n]) return TRPO_OK;
    return TRPO_ERR_EMPTY;
}

int trpo_update(trpo_agent *w, trpo_info *result)
{
    trpo_info info;
    int status = check_rollout(w);
    if (status != TRPO_OK) return status;
    memset(&info, 0, sizeof info);
    if (w->set.clock != NULL) w->stage_started = w->set.clock();
    trpo_evaluate_recorded(w, w->t);
    trpo_advantages(w);
    info.n_samples = w->N;
    info.explained_variance = explained_variance(w);
    end_stage(w, &info, TRPO_STAGE_ADVANTAGES);
    status = policy_step(w, &info);
    trpo_fit_critic(w, &info);
    trpo_merge_statistics(w);
    end_stage(w, &info, TRPO_STAGE_CRITIC);
    w->counters[TRPO_N_UPDATES]++;
    w->t = w->drawn = w->evaluated = 0;
    if (result != NULL) *result = info;
    return status;
}
