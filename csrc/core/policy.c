/* Random streams, the policy's noise, and the initial parameters of both networks. */
#include "work.h"

/* A counter as an integer; 0 if the caller wrote a number that is out of range. */
static uint64_t as_uint(double x) { return x >= 0 && x < 9007199254740992.0 ? (uint64_t)x : 0; }

trpo_rng trpo_stream(const trpo_agent *w, uint32_t stream, int counter)
{
    const double *c = w->counters;
    const trpo_rng rng = {as_uint(c[TRPO_SEED_LOW]) | as_uint(c[TRPO_SEED_HIGH]) << 32, stream,
                          as_uint(c[counter])};
    return rng;
}

void trpo_draw_noise(double *noise, const trpo_model *model, const trpo_rng *rng, int first, int N)
{
    const int normal = model->dist->normal_noise, width = normal ? model->A : model->D;
    for (int i = 0; i < N; i++, noise += width)
        (normal ? trpo_normals : trpo_uniforms)(noise, rng, (uint32_t)(first + i), width);
}

void trpo_init_parameters(trpo_agent *w)
{
    const trpo_settings *set = &w->set;
    const int is_ridge = w->critic_method->features != NULL;
    trpo_model *policy = &w->policy, *critic = &w->critic;
    if (set->ortho_init)
        trpo_net_init(policy->theta, policy->factors.temp, &policy->net, 0.01, set->seed, 0);
    else
        trpo_net_init_uniform(policy->theta, &policy->net, set->seed, 0);
    if (set->ortho_init || is_ridge)
        trpo_net_init(critic->theta, critic->factors.temp, &critic->net, is_ridge ? 0 : 1,
                      set->seed, 1000);
    else
        trpo_net_init_uniform(critic->theta, &critic->net, set->seed, 1000);
    for (int i = 0; i < policy->n_log_std; i++) policy->log_std[i] = set->log_std_init;
    *w->damping_scale = 1;
    w->counters[TRPO_SEED_LOW] = (double)(uint32_t)set->seed;
    w->counters[TRPO_SEED_HIGH] = (double)(uint32_t)(set->seed >> 32);
}
