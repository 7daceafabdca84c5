/* The stages of an update one at a time, on a batch set by the caller: theory.h. */
#include "work.h"

#include <string.h>

/* ---- a batch --------------------------------------------------------------------------------- */

void trpo_theory_prepare(trpo_agent *w)
{
    trpo_fisher_rows(&w->policy, w->set.sub_sampling_factor);
    trpo_fisher_rows(&w->critic, 1);
}

void trpo_theory_refresh(trpo_agent *w)
{
    trpo_forward(w, &w->policy, 0, w->N);
    trpo_forward(w, &w->critic, 0, w->N);
    trpo_fisher_rows(&w->policy, w->set.sub_sampling_factor);
}

int trpo_theory_inputs(const trpo_agent *w) { return w->policy.net.size[0]; }
int trpo_theory_rows(const trpo_agent *w) { return w->N; }

void trpo_theory_outputs(const trpo_agent *w, real *out)
{
    const trpo_model *m = &w->policy;
    memcpy(out, m->batch.h[m->net.L], (size_t)w->N * (size_t)m->A * sizeof *out);
}

/* ---- the policy ------------------------------------------------------------------------------ */

static void copy(double *to, const double *from, ptrdiff_t count)
{
    memcpy(to, from, (size_t)count * sizeof *to);
}

void trpo_theory_gradient(trpo_agent *w, double *g)
{
    trpo_policy_gradient(w);
    copy(g, w->policy.grad, w->policy.P);
}

void trpo_theory_product(trpo_agent *w, double *out, const double *v)
{
    trpo_fisher_product(w, &w->policy, out, v);
}

void trpo_theory_factorize(trpo_agent *w)
{
    const trpo_rng rng = trpo_stream(w, TRPO_STREAM_KFAC, TRPO_N_UPDATES);
    trpo_factorize(w, &w->policy, &rng, trpo_damping(w));
}

void trpo_theory_precondition(trpo_agent *w, double *z, const double *r)
{
    trpo_precondition(w, &w->policy, z, r, trpo_damping(w));
}

trpo_solution trpo_theory_solve(trpo_agent *w, double *x)
{
    trpo_policy_gradient(w);
    const trpo_solution solution = trpo_solve_policy(w);
    copy(x, w->policy.x, w->policy.P);
    return solution;
}

/* ---- the critic ------------------------------------------------------------------------------ */

/* The critic's grad is of the log-likelihood of ret, which is minus the loss. */
void trpo_theory_value_gradient(trpo_agent *w, double *g)
{
    trpo_gradient(w, &w->critic, NULL);
    for (ptrdiff_t p = 0; p < w->critic.P; p++) g[p] = -w->critic.grad[p];
}

void trpo_theory_value_product(trpo_agent *w, double *out, const double *v)
{
    trpo_fisher_product(w, &w->critic, out, v);
}

double trpo_theory_fit_value(trpo_agent *w)
{
    trpo_info info;
    trpo_fit_critic(w, &info);
    return info.value_loss;
}

/* ---- the rollout in progress ----------------------------------------------------------------- */

int trpo_is_open(const trpo_agent *w) { return w->open; }

const real *trpo_recorded_action(const trpo_agent *w, int step, int env)
{
    return w->policy.batch.act + ((ptrdiff_t)step * w->set.n_envs + env) * w->policy.D;
}

/* ---- arrays in, arrays out ------------------------------------------------------------------- */

const char *trpo_instruction_set_at(int i)
{
    const trpok_table *k = trpok_runnable(i);
    return k != NULL ? k->name : NULL;
}

void trpo_apply(const char *instruction_set, trpo_function function, real *out, const real *x,
                ptrdiff_t N)
{
    const trpok_table *k = trpok_named(instruction_set);
    switch (function) {
    case TRPO_EXP: k->exp(out, x, N); break;
    case TRPO_EXPM1: k->expm1(out, x, N); break;
    case TRPO_TANH_OF: k->tanh(out, x, N); break;
    case TRPO_SIN: k->sin(out, x, N); break;
    }
}

void trpo_gae(const char *instruction_set, double *adv, double *ret, const double *rew,
              const real *val, const real *boot, const uint8_t *done, const uint8_t *skip,
              double gamma, double gae_lambda, int T, int E)
{
    const trpok_table *k = trpok_named(instruction_set);
    k->wide->gae(adv, ret, rew, val, boot, done, skip, gamma, gae_lambda, T, E);
}

int trpo_distribution_at(int i, trpo_distribution_facts *facts)
{
    const trpok_dist *dist = trpok_distribution(i);
    if (dist == NULL) return 0;
    facts->name = dist->name;
    facts->outputs = dist->outputs;
    facts->is_real = dist->n_choices == NULL;
    facts->n_choices_of_3 = dist->n_choices == NULL ? 0 : dist->n_choices(3);
    facts->has_log_std = dist->log_std_curvature > 0;
    facts->takes_masks = dist->takes_masks;
    return 1;
}
