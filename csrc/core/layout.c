/* Memory layout: one list of arrays, run once to count bytes and once to place them. All sizes are
 * computed by trpo_plus and trpo_times, which saturate. */
#include "work.h"

#include <string.h>

static ptrdiff_t larger(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

static void run_sequentially(void *ctx, int n_tasks, void (*task)(void *arg, int index, int worker),
                             void *arg)
{
    (void)ctx;
    for (int i = 0; i < n_tasks; i++) task(arg, i, 0);
}

/* ---- sizes, from the settings alone: counting needs no memory -------------------------------- */

typedef struct shape {
    int inputs, n_hidden, A, D;
    const int *hidden;
    int has_factors; /* its steps use K-FAC */
} shape;

static int size_of(const shape *s, int l)
{
    return l == 0 ? s->inputs : l <= s->n_hidden ? s->hidden[l - 1] : s->A;
}

static ptrdiff_t layer_size(const shape *s, int l)
{
    return trpo_times(size_of(s, l) + 1, size_of(s, l + 1));
}

static int sum_of_parts(const int *parts, int count)
{
    int sum = 0;
    for (int d = 0; d < count; d++) sum += trpo_part(parts, d);
    return sum;
}

static shape policy_shape(const trpo_settings *s)
{
    const shape policy = {trpo_n_inputs(s), s->n_policy_hidden, sum_of_parts(s->parts, s->n_parts),
                          s->n_parts, s->policy_hidden, s->preconditioner == TRPO_KFAC};
    return policy;
}

static shape critic_shape(const trpo_settings *s)
{
    const trpo_critic_method *method = &trpo_critics[s->critic];
    const shape critic = {method->n_features * trpo_n_inputs(s),
                          method->features == NULL ? s->n_value_hidden : 0, 1, 1, s->value_hidden,
                          method->has_factors};
    return critic;
}

/* ---- a network, its rows, its factors -------------------------------------------------------- */

static void place_packed(trpo_net *net, trpo_arena *a, const shape *s, const trpok_table *k)
{
    ptrdiff_t total = 0, total_t = 0, largest = 0;
    net->at = TRPO_TAKE(a, ptrdiff_t, net->L + 1);
    net->at_t = TRPO_TAKE(a, ptrdiff_t, net->L + 1);
    for (int l = 0; l <= net->L; l++) {
        if (a->base != NULL) net->at[l] = total, net->at_t[l] = total_t;
        if (l == net->L) break;
        total = trpo_plus(total, k->packed_size(size_of(s, l) + 1, size_of(s, l + 1)));
        total_t = trpo_plus(total_t, k->packed_size(size_of(s, l + 1), size_of(s, l)));
        largest = larger(largest, layer_size(s, l));
    }
    net->W = TRPO_TAKE(a, real, total);
    net->W_t = TRPO_TAKE(a, real, total_t);
    net->V = TRPO_TAKE(a, real, total);
    net->unpacked = TRPO_TAKE(a, real, trpo_times(2, largest));
}

static void place_net(trpo_net *net, trpo_arena *a, const shape *s, const trpok_table *k)
{
    ptrdiff_t total = 0;
    net->L = s->n_hidden + 1;
    net->size = TRPO_TAKE(a, int, net->L + 1);
    net->offset = TRPO_TAKE(a, ptrdiff_t, net->L + 1);
    net->width = size_of(s, 0);
    for (int l = 0; l <= net->L; l++) {
        if (a->base != NULL) net->size[l] = size_of(s, l), net->offset[l] = total;
        net->width = (int)larger(net->width, size_of(s, l));
        if (l < net->L) total = trpo_plus(total, layer_size(s, l));
    }
    place_packed(net, a, s, k);
}

/* Activations from layer `first` on; with first = 1 the inputs belong to another batch. */
static void place_batch(trpo_batch *batch, trpo_arena *a, const shape *s, int first, int N)
{
    batch->h = TRPO_TAKE(a, real *, s->n_hidden + 2);
    for (int l = first; l <= s->n_hidden + 1; l++) {
        real *h = TRPO_TAKE(a, real, trpo_times(N, size_of(s, l)));
        if (a->base != NULL) batch->h[l] = h;
    }
}

static ptrdiff_t net_parameters(const shape *s)
{
    ptrdiff_t total = 0;
    for (int l = 0; l <= s->n_hidden; l++) total = trpo_plus(total, layer_size(s, l));
    return total;
}

/* The size of layer l's sum for G. Like A's it has a bias row, which goes unused. */
static ptrdiff_t G_size(const shape *s, int l)
{
    return trpo_times(size_of(s, l + 1), size_of(s, l + 1) + 1);
}

/* Without factors, whose size is quadratic in O, only `temp` is needed. */
static void place_factors(trpo_factors *f, trpo_arena *a, const shape *s, const trpok_dist *dist)
{
    const int L = s->n_hidden + 1, S = size_of(s, L - 1) + 1;
    ptrdiff_t total = 0;
    f->temp = TRPO_TAKE(a, double, net_parameters(s));
    if (!s->has_factors) return;
    f->exact_head = dist->constant_metric != NULL;
    f->at = TRPO_TAKE(a, ptrdiff_t, 2 * L + 1);
    for (int l = 0; l < L; l++) {
        const int has_G = !(l == L - 1 && f->exact_head);
        const ptrdiff_t at_G = trpo_plus(total, trpo_square(size_of(s, l) + 1));
        if (a->base != NULL) f->at[2 * l] = total, f->at[2 * l + 1] = at_G;
        total = has_G ? trpo_plus(at_G, G_size(s, l)) : at_G;
    }
    if (a->base != NULL) f->at[2 * L] = total;
    f->mean = TRPO_TAKE(a, double, total);
    f->inverse = TRPO_TAKE(a, double, total);
    f->head = TRPO_TAKE(a, double, f->exact_head ? trpo_times(s->A, trpo_square(S)) : 0);
    f->metric = TRPO_TAKE(a, double, s->A);
    f->split = TRPO_TAKE(a, double, L);
}

static void place_parameters(trpo_model *m, trpo_arena *a, const shape *s)
{
    const ptrdiff_t P_net = net_parameters(s);
    m->P = trpo_plus(P_net, m->n_log_std);
    m->theta = TRPO_TAKE(a, double, m->P);
    double *zeros = TRPO_TAKE(a, double, s->A);
    if (a->base != NULL) m->log_std = m->n_log_std ? m->theta + P_net : zeros;
}

static void place_model(trpo_model *m, trpo_arena *a, const shape *s, const trpok_table *k,
                        const int *parts)
{
    m->A = s->A;
    m->D = s->D;
    m->parts = TRPO_TAKE(a, int, s->D);
    for (int d = 0; a->base != NULL && d < s->D; d++) m->parts[d] = trpo_part(parts, d);
    place_parameters(m, a, s);
    place_net(&m->net, a, s, k);
    place_factors(&m->factors, a, s, m->dist);
    m->grad = TRPO_TAKE(a, double, m->P);
    m->x = TRPO_TAKE(a, double, m->P);
    m->trial = TRPO_TAKE(a, double, m->P);
}

void trpo_place_solver(trpo_model *m, trpo_arena *a)
{
    double **vectors[] = {&m->r, &m->z, &m->p, &m->q};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        *vectors[i] = TRPO_TAKE(a, double, m->P);
}

static void place_policy(trpo_agent *w, trpo_arena *a, const shape *s, int N)
{
    const int k = w->set.sub_sampling_factor;
    trpo_model *m = &w->policy;
    m->dist = trpok_distribution(w->set.distribution);
    m->n_log_std = m->dist->log_std_curvature > 0 ? s->A : 0;
    m->net.activation = w->set.activation;
    place_model(m, a, s, w->k, w->set.parts);
    trpo_place_solver(m, a);
    place_batch(&m->batch, a, s, 0, N);
    m->batch.act = TRPO_TAKE(a, real, trpo_times(N, s->D));
    m->batch.mask = TRPO_TAKE(a, uint8_t, m->dist->takes_masks ? trpo_times(N, s->A) : 0);
    m->fisher = m->batch;
    if (k > 1) place_batch(&m->fisher, a, s, 0, N / k + 1);
    if (k > 1) m->fisher.act = TRPO_TAKE(a, real, trpo_times(N / k + 1, s->D));
}

/* Copies the caller's array, which a linear critic does not use but a saved agent contains. */
static void place_value_hidden(trpo_agent *w, trpo_arena *a)
{
    int *hidden = TRPO_TAKE(a, int, w->set.n_value_hidden);
    if (a->base == NULL) return;
    for (int l = 0; l < w->set.n_value_hidden; l++) hidden[l] = w->set.value_hidden[l];
    w->set.value_hidden = hidden;
}

/* A unit Gaussian with mean V; its "action" is the return. */
static void place_critic(trpo_agent *w, trpo_arena *a, const shape *s, int N)
{
    const trpo_critic_method *method = w->critic_method;
    const int one = 1, own_inputs = method->features != NULL;
    trpo_model *m = &w->critic;
    m->dist = &trpok_gaussian;
    m->n_log_std = 0;
    m->net.activation = w->set.activation;
    place_model(m, a, s, w->k, &one);
    place_batch(&m->batch, a, s, !own_inputs, N);
    if (a->base != NULL && !own_inputs) m->batch.h[0] = w->policy.batch.h[0];
    if (method->minibatch != NULL) {
        const int rows = trpo_minibatch(&w->set, N);
        place_batch(&w->minibatch, a, s, 0, rows);
        w->minibatch.act = TRPO_TAKE(a, real, rows);
    }
    if (method->place != NULL) method->place(w, a);
    m->fisher = m->batch;
}

/* An upper bound: an exact head needs less. */
static ptrdiff_t factors_size(const shape *s)
{
    ptrdiff_t total = 0;
    for (int l = 0; s->has_factors && l <= s->n_hidden; l++)
        total = trpo_plus(total, trpo_plus(trpo_square(size_of(s, l) + 1),
                                           trpo_square(size_of(s, l + 1) + 1)));
    return total;
}

/* ---- the rest of the agent ------------------------------------------------------------------- */

static ptrdiff_t rows_size(const shape *s)
{
    ptrdiff_t total = 0;
    for (int l = 0; l <= s->n_hidden + 1; l++) total = trpo_plus(total, size_of(s, l));
    return trpo_times(TRPO_TILE, total);
}

static void place_worker(trpo_scratch *s, trpo_arena *a, const trpo_agent *w, const shape *policy,
                         const shape *critic, ptrdiff_t sum)
{
    const ptrdiff_t width = larger(w->policy.net.width, w->critic.net.width);
    s->tile = TRPO_TILE;
    s->sum = TRPO_TAKE(a, real, sum);
    s->h = TRPO_TAKE(a, real *, larger(policy->n_hidden, critic->n_hidden) + 2);
    s->rows = TRPO_TAKE(a, real, larger(rows_size(policy), rows_size(critic)));
    s->a = TRPO_TAKE(a, real, trpo_times(TRPO_TILE, width));
    s->b = TRPO_TAKE(a, real, trpo_times(TRPO_TILE, width));
    s->obs = TRPO_TAKE(a, real, trpo_times(TRPO_TILE, w->set.obs_size));
    s->act = TRPO_TAKE(a, real, trpo_times(TRPO_TILE, policy->D));
    s->noise = TRPO_TAKE(a, double, trpo_times(TRPO_TILE, larger(policy->A, policy->D)));
    s->work = TRPO_TAKE(a, real, trpo_times(3 * TRPO_TILE, policy->A));
    s->row1 = TRPO_TAKE(a, real, TRPO_TILE);
}

/* One piece of equal size per worker, counted once for all. */
static void place_scratch(trpo_agent *w, trpo_arena *a, const shape *policy, const shape *critic,
                          ptrdiff_t sum)
{
    const int n_workers = w->exec.n_workers;
    trpo_scratch counted;
    trpo_arena one = {NULL, 0};
    place_worker(&counted, &one, w, policy, critic, sum);
    const ptrdiff_t bytes = trpo_round_up(one.used, TRPO_ALIGNMENT);
    w->scratch = TRPO_TAKE(a, trpo_scratch, n_workers);
    char *room = TRPO_TAKE(a, char, trpo_times(n_workers, bytes));
    for (int i = 0; a->base != NULL && i < n_workers; i++) {
        trpo_arena own = {room + i * bytes, 0};
        place_worker(&w->scratch[i], &own, w, policy, critic, sum);
    }
}

static void place_rollout(trpo_agent *w, trpo_arena *a, int N)
{
    const int E = w->set.n_envs, O = w->set.obs_size, F = trpo_n_inputs(&w->set);
    w->raw_obs = w->set.normalize_observations ? TRPO_TAKE(a, real, trpo_times(N, O)) : NULL;
    w->logp = TRPO_TAKE(a, real, N);
    w->val = TRPO_TAKE(a, real, N);
    w->rew = TRPO_TAKE(a, double, N);
    w->done = TRPO_TAKE(a, uint8_t, N);
    w->skip = TRPO_TAKE(a, uint8_t, N);
    w->boot = TRPO_TAKE(a, real, N);
    w->last_obs = TRPO_TAKE(a, real, trpo_times(E, F));
    w->episode_return = TRPO_TAKE(a, double, N);
    w->episode_length = TRPO_TAKE(a, int64_t, N);
    w->env_act = TRPO_TAKE(a, double, trpo_times(E, w->policy.D));
    w->tile_obs = TRPO_TAKE(a, real, trpo_times(TRPO_TILE, F));
    w->last_val = TRPO_TAKE(a, real, E);
    w->adv = TRPO_TAKE(a, double, N);
    w->ret = TRPO_TAKE(a, double, N);
    w->adv_real = TRPO_TAKE(a, real, N);
    w->ret_real = TRPO_TAKE(a, real, N);
    w->weight = TRPO_TAKE(a, real, N);
    w->perm = TRPO_TAKE(a, int32_t, N);
    w->rew_returns = TRPO_TAKE(a, double, N);
    w->critic.batch.act = w->critic.fisher.act = w->ret_real;
}

static void place_moments(trpo_moments *m, trpo_arena *a, int size)
{
    m->count = TRPO_TAKE(a, double, 1);
    m->mean = TRPO_TAKE(a, double, size);
    m->m2 = TRPO_TAKE(a, double, size);
}

static void place_features(trpo_agent *w, trpo_arena *a)
{
    const int O = w->set.obs_size, F = trpo_n_inputs(&w->set);
    if (trpo_n_drawn(&w->set) == 0) return;
    w->features = TRPO_TAKE(a, double, trpo_n_drawn(&w->set));
    w->features_W = TRPO_TAKE(a, real, w->k->packed_size(O + 1, F));
    w->features_unpacked = TRPO_TAKE(a, real, trpo_times(O + 1, F));
}

static void place_state(trpo_agent *w, trpo_arena *a)
{
    place_moments(&w->obs_stat, a, w->set.obs_size);
    w->obs_inverse = TRPO_TAKE(a, double, w->set.obs_size);
    place_moments(&w->rew_stat, a, 1);
    w->rew_running = TRPO_TAKE(a, double, w->set.n_envs);
    w->adam_m = TRPO_TAKE(a, double, w->critic.P);
    w->adam_v = TRPO_TAKE(a, double, w->critic.P);
    w->counters = TRPO_TAKE(a, double, TRPO_N_COUNTERS);
    w->damping_scale = TRPO_TAKE(a, double, 1);
    w->act_low = TRPO_TAKE(a, double, w->policy.D);
    w->act_high = TRPO_TAKE(a, double, w->policy.D);
    w->act_to_env = TRPO_TAKE(a, double, 1);
}

/* The list of all arrays; with base NULL only `w` is written. */
static trpo_arena place(trpo_agent *w, char *base)
{
    trpo_arena a = {base, (ptrdiff_t)sizeof *w};
    const shape policy = policy_shape(&w->set), critic = critic_shape(&w->set);
    const int N = w->set.n_steps * w->set.n_envs;
    const ptrdiff_t sum =
        larger(larger(trpo_plus(net_parameters(&policy), policy.A), net_parameters(&critic)),
               larger(factors_size(&policy), factors_size(&critic)));
    place_policy(w, &a, &policy, N);
    place_critic(w, &a, &critic, N);
    place_value_hidden(w, &a);
    place_scratch(w, &a, &policy, &critic, sum);
    w->partial = TRPO_TAKE(&a, double, trpo_times(sum, trpo_max_blocks(N)));
    place_rollout(w, &a, N);
    place_features(w, &a);
    place_state(w, &a);
    return a;
}

/* ---- trpo.h ---------------------------------------------------------------------------------- */

static void set_up(trpo_agent *w, const trpo_settings *settings, const trpo_executor *executor)
{
    memset(w, 0, sizeof *w);
    w->set = *settings;
    w->exec.ctx = executor != NULL ? executor->ctx : NULL;
    w->exec.n_workers = executor != NULL ? executor->n_workers : 1;
    w->exec.run = executor != NULL ? executor->run : run_sequentially;
    w->k = trpok_named(settings->instruction_set);
    w->critic_method = &trpo_critics[settings->critic];
}

int trpo_useful_workers(const trpo_settings *settings)
{
    if (trpo_bad_setting(settings) != NULL) return 0;
    return trpo_max_blocks(settings->n_steps * settings->n_envs);
}

static int has_workers(const trpo_executor *executor)
{
    return executor == NULL || executor->n_workers >= 1;
}

size_t trpo_bytes(const trpo_settings *settings, const trpo_executor *executor)
{
    trpo_agent counted;
    if (trpo_bad_setting(settings) != NULL || !has_workers(executor)) return 0;
    set_up(&counted, settings, executor);
    const trpo_arena a = place(&counted, NULL);
    return trpo_arena_bytes(&a);
}

int trpo_init(trpo_agent **agent, const trpo_settings *settings, const trpo_executor *executor,
              void *mem, size_t bytes)
{
    if (trpo_bad_setting(settings) != NULL || !has_workers(executor)) return TRPO_ERR_SETTING;
    if (!trpok_is_strict()) return TRPO_ERR_BUILD;
    const size_t needed = trpo_bytes(settings, executor);
    if (mem == NULL || needed == 0 || bytes < needed) return TRPO_ERR_MEMORY;
    char *base = trpo_align(mem);
    memset(mem, 0, bytes);
    trpo_agent *w = (trpo_agent *)(void *)base;
    set_up(w, settings, executor);
    place(w, base);
    w->set.parts = w->policy.parts;
    w->set.instruction_set = w->k->name;
    w->set.policy_hidden = w->policy.net.size + 1;
    trpo_init_parameters(w);
    trpo_draw_features(w);
    trpo_refresh(w);
    *agent = w;
    return TRPO_OK;
}
