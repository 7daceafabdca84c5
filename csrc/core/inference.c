/* A policy that only acts. It is an agent with nothing placed but what trpo_predict and
 * trpo_outputs use, so that they run it and give the same bits: packed weights, the normaliser, the
 * features' layer, and scratch for a few rows.
 *
 * The scratch shares its memory with the one that packing needs before the first row. */
#include "file.h"

#include <string.h>

struct trpo_policy {
    trpo_agent agent;
};

enum { FEW_ROWS = 8 };

/* Where a policy comes from: checked bytes. */
typedef struct source {
    trpo_span span;
    trpo_settings set;    /* without its arrays                                                */
    trpo_entry parts, hidden;
} source;

static int min_of(int a, ptrdiff_t b) { return b < a ? (int)b : a; }

static int has_sizes(source *from)
{
    const trpo_settings *s = &from->set;
    from->hidden.count = 0;
    (void)trpo_find_entry(&from->hidden, from->span, "policy_hidden");
    return s->obs_size >= 1 && s->obs_size <= TRPO_LARGEST_SIZE &&
           trpo_find_entry(&from->parts, from->span, "parts");
}

/* A: at most TRPO_LARGEST_SIZE + 1 */
static int n_outputs(const source *from)
{
    ptrdiff_t total = 0;
    for (size_t d = 0; d < from->parts.count; d++)
        total = trpo_plus(total, trpo_int_at(&from->parts, d));
    return min_of(TRPO_LARGEST_SIZE + 1, total);
}

static int width_of(const source *from, int l)
{
    const int n_hidden = (int)from->hidden.count;
    if (l == 0) return trpo_n_inputs(&from->set);
    return l <= n_hidden ? trpo_int_at(&from->hidden, (size_t)l - 1) : n_outputs(from);
}

/* Reads settings and sizes; each is in its range, but they may be impossible together. */
static int open_source(source *from, const void *saved, size_t bytes)
{
    trpo_span spans[TRPO_N_SECTIONS];
    trpo_misfit problem = trpo_check_file(saved, bytes);
    if (problem.status == TRPO_OK) problem = trpo_check_sections(spans, saved, bytes);
    if (problem.status != TRPO_OK) return problem.status;
    from->span = spans[TRPO_POLICY_SECTION];
    spans[TRPO_TRAINING_SECTION].at = NULL;
    problem = trpo_read_scalars(&from->set, spans);
    if (problem.status != TRPO_OK) return problem.status;
    if (!has_sizes(from) || n_outputs(from) > TRPO_LARGEST_SIZE) return TRPO_ERR_MODEL;
    return TRPO_OK;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void place_network(trpo_agent *w, trpo_arena *a, const source *from)
{
    trpo_net *net = &w->policy.net;
    ptrdiff_t total = 0, packed = 0;
    net->L = (int)from->hidden.count + 1;
    net->activation = w->set.activation;
    net->size = TRPO_TAKE(a, int, net->L + 1);
    net->offset = TRPO_TAKE(a, ptrdiff_t, net->L + 1);
    net->at = TRPO_TAKE(a, ptrdiff_t, net->L + 1);
    for (int l = 0; l <= net->L; l++) {
        const int K = width_of(from, l), M = l < net->L ? width_of(from, l + 1) : 0;
        if (a->base != NULL) net->size[l] = K, net->offset[l] = total, net->at[l] = packed;
        total = trpo_plus(total, trpo_times(K + 1, M));
        if (l < net->L) packed = trpo_plus(packed, w->k->packed_size(K + 1, M));
    }
    net->W = TRPO_TAKE(a, real, packed);
    w->policy.P = trpo_plus(total, w->policy.n_log_std);
}

/* What packing needs. */
typedef struct packing {
    real *layer;          /* (the largest layer)                                               */
    double *drawn;        /* (O) random numbers of a feature                                   */
} packing;

static packing place_packing(trpo_arena *a, const trpo_agent *w, const source *from)
{
    packing p;
    const int O = w->set.obs_size, F = trpo_n_inputs(&w->set);
    ptrdiff_t largest = trpo_n_drawn(&w->set) > 0 ? trpo_times(O + 1, F) : 0;
    for (int l = 0; l <= (int)from->hidden.count; l++) {
        const ptrdiff_t size = trpo_times(width_of(from, l) + 1, width_of(from, l + 1));
        if (size > largest) largest = size;
    }
    p.layer = TRPO_TAKE(a, real, largest);
    p.drawn = TRPO_TAKE(a, double, trpo_n_drawn(&w->set) > 0 ? O : 0);
    return p;
}

/* What acting needs for a few rows. */
static void place_rows(trpo_agent *w, trpo_arena *a, const source *from)
{
    const int A = w->policy.A, D = w->policy.D, tile = FEW_ROWS;
    trpo_scratch counted, *s = a->base != NULL ? w->scratch : &counted;
    ptrdiff_t widths = 0;
    s->tile = tile;
    for (int l = 0; l <= (int)from->hidden.count + 1; l++)
        widths = trpo_plus(widths, width_of(from, l));
    s->h = TRPO_TAKE(a, real *, trpo_plus((ptrdiff_t)from->hidden.count, 2));
    s->rows = TRPO_TAKE(a, real, trpo_times(tile, widths));
    s->obs = TRPO_TAKE(a, real, trpo_times(tile, w->set.obs_size));
    s->noise = TRPO_TAKE(a, double, trpo_times(tile, A > D ? A : D));
    s->work = TRPO_TAKE(a, real, trpo_times(3 * tile, A));
    w->tile_obs = TRPO_TAKE(a, real, trpo_times(tile, trpo_n_inputs(&w->set)));
}

static void place_policy_state(trpo_agent *w, trpo_arena *a)
{
    const int O = w->set.normalize_observations ? w->set.obs_size : 0, D = w->policy.D;
    w->policy.parts = TRPO_TAKE(a, int, D);
    w->policy.log_std = TRPO_TAKE(a, double, w->policy.n_log_std);
    w->obs_stat.count = TRPO_TAKE(a, double, 1);
    w->obs_stat.mean = TRPO_TAKE(a, double, O);
    w->obs_inverse = TRPO_TAKE(a, double, O);
    w->counters = TRPO_TAKE(a, double, TRPO_N_COUNTERS);
    w->act_low = TRPO_TAKE(a, double, w->has_bounds ? D : 0);
    w->act_high = TRPO_TAKE(a, double, w->has_bounds ? D : 0);
    w->act_to_env = TRPO_TAKE(a, double, 1);
    w->scratch = TRPO_TAKE(a, trpo_scratch, 1);
}

/* The list of arrays. Rows share their memory with what is returned. */
static packing place_policy(trpo_agent *w, trpo_arena *a, const source *from)
{
    const int O = w->set.obs_size, F = trpo_n_inputs(&w->set);
    trpo_arena other;
    place_policy_state(w, a);
    place_network(w, a, from);
    if (trpo_n_drawn(&w->set) > 0) w->features_W = TRPO_TAKE(a, real, w->k->packed_size(O + 1, F));
    other = *a;
    const packing p = place_packing(&other, w, from);
    place_rows(w, a, from);
    if (other.used > a->used) a->used = other.used;
    return p;
}

/* Sizes and functions; nothing that is in other memory. */
static int set_up_policy(trpo_agent *w, const source *from, const char *instruction_set)
{
    trpo_entry low;
    memset(w, 0, sizeof *w);
    w->set = from->set;
    w->k = trpok_named(instruction_set);
    if (w->k == NULL) return TRPO_ERR_SETTING;
    w->set.instruction_set = w->k->name;
    w->policy.dist = trpok_distribution(w->set.distribution);
    w->policy.A = n_outputs(from);
    w->policy.D = (int)from->parts.count;
    w->policy.n_log_std = w->policy.dist->log_std_curvature > 0 ? w->policy.A : 0;
    w->has_bounds = trpo_find_entry(&low, from->span, "act_low");
    return TRPO_OK;
}

/* Opens saved bytes, and measures the policy. Its fields have the sizes that the settings require,
 * so that damaged or hostile bytes cannot ask for more memory than their own size justifies. */
static int measure_policy(size_t *needed, trpo_agent *w, source *from, const void *saved,
                          size_t bytes, const char *instruction_set)
{
    trpo_arena a = {NULL, (ptrdiff_t)sizeof *w};
    int status = open_source(from, saved, bytes);
    if (status == TRPO_OK) status = set_up_policy(w, from, instruction_set);
    if (status != TRPO_OK) return status;
    place_policy(w, &a, from);
    *needed = trpo_arena_bytes(&a);
    return trpo_check_fields(w, &from->span, 1).status;
}

size_t trpo_policy_bytes(const void *saved, size_t bytes, const char *instruction_set)
{
    source from;
    trpo_agent counted;
    size_t needed;
    const int status = measure_policy(&needed, &counted, &from, saved, bytes, instruction_set);
    return status == TRPO_OK ? needed : 0;
}

/* ---- contents -------------------------------------------------------------------------------- */

static void read_doubles(double *to, const source *from, const char *name, size_t first,
                         size_t count)
{
    trpo_entry entry;
    if (!trpo_find_entry(&entry, from->span, name)) return;
    for (size_t i = 0; i < count; i++) to[i] = trpo_double_at(&entry, first + i);
}

/* The settings' arrays, from which the layers follow. */
static void read_sizes(trpo_agent *w, const source *from)
{
    for (int d = 0; d < w->policy.D; d++)
        w->policy.parts[d] = trpo_int_at(&from->parts, (size_t)d);
    w->set.parts = w->policy.parts;
    w->set.policy_hidden = w->policy.net.size + 1;
}

static void read_state(trpo_agent *w, const source *from)
{
    const trpo_model *m = &w->policy;
    const size_t O = (size_t)w->set.obs_size, D = (size_t)m->D;
    read_doubles(m->log_std, from, "theta", (size_t)m->net.offset[m->net.L], (size_t)m->n_log_std);
    for (int i = 0; i < m->n_log_std; i++)
        m->log_std[i] = trpo_clamp(m->log_std[i], w->set.log_std_min, w->set.log_std_max);
    read_doubles(w->counters, from, "counters", 0, TRPO_N_COUNTERS);
    read_doubles(w->obs_stat.count, from, "obs_count", 0, 1);
    read_doubles(w->act_to_env, from, "act_to_env", 0, 1);
    if (w->has_bounds) read_doubles(w->act_low, from, "act_low", 0, D);
    if (w->has_bounds) read_doubles(w->act_high, from, "act_high", 0, D);
    if (!w->set.normalize_observations) return;
    read_doubles(w->obs_stat.mean, from, "obs_mean", 0, O);
    read_doubles(w->obs_inverse, from, "obs_m2", 0, O);
    w->obs_stat.m2 = w->obs_inverse; /* replaced in place, and not needed any more */
    trpo_scale_observations(w);
}

static void pack_network(trpo_agent *w, const source *from, real *layer)
{
    trpo_net *net = &w->policy.net;
    trpo_entry theta;
    if (!trpo_find_entry(&theta, from->span, "theta")) return;
    for (int l = 0; l < net->L; l++) {
        const ptrdiff_t first = net->offset[l], size = net->offset[l + 1] - first;
        for (ptrdiff_t i = 0; i < size; i++)
            layer[i] = (real)trpo_double_at(&theta, (size_t)(first + i));
        w->k->pack(net->W + net->at[l], layer, net->size[l] + 1, net->size[l + 1]);
    }
}

static void pack_features(trpo_agent *w, const source *from, const packing *p)
{
    const int O = w->set.obs_size, F = w->policy.net.size[0];
    trpo_entry drawn;
    if (w->features_W == NULL || !trpo_find_entry(&drawn, from->span, "drawn_features")) return;
    for (int j = 0; j < F; j++) {
        const size_t first = (size_t)j * (size_t)O, phase = (size_t)F * (size_t)O + (size_t)j;
        for (int i = 0; i < O; i++) p->drawn[i] = trpo_double_at(&drawn, first + (size_t)i);
        trpo_feature_column(p->layer, &w->set, j, p->drawn,
                            phase < drawn.count ? trpo_double_at(&drawn, phase) : 0);
    }
    w->k->pack(w->features_W, p->layer, O + 1, F);
}

int trpo_policy_init(trpo_policy **policy, const void *saved, size_t bytes,
                     const char *instruction_set, void *mem, size_t room)
{
    source from;
    trpo_agent given;
    size_t needed;
    if (!trpok_is_strict()) return TRPO_ERR_BUILD;
    const int status = measure_policy(&needed, &given, &from, saved, bytes, instruction_set);
    if (status != TRPO_OK) return status;
    if (mem == NULL || needed == 0 || room < needed) return TRPO_ERR_MEMORY;
    trpo_arena a = {trpo_align(mem), (ptrdiff_t)sizeof given};
    memset(mem, 0, room);
    const packing p = place_policy(&given, &a, &from);
    trpo_policy *made = (trpo_policy *)(void *)a.base;
    made->agent = given;
    read_sizes(&made->agent, &from);
    if (trpo_bad_setting(&made->agent.set) != NULL) return TRPO_ERR_MODEL;
    read_state(&made->agent, &from);
    pack_network(&made->agent, &from, p.layer);
    pack_features(&made->agent, &from, &p);
    *policy = made;
    return TRPO_OK;
}

/* ---- acting ---------------------------------------------------------------------------------- */

int trpo_policy_act(trpo_policy *policy, real *act, const real *obs, const uint8_t *mask,
                    int deterministic, int N)
{
    return trpo_predict(&policy->agent, act, obs, mask, deterministic, N);
}

int trpo_policy_outputs(trpo_policy *policy, real *out, const real *obs, const uint8_t *mask,
                        int N)
{
    return trpo_outputs(&policy->agent, out, obs, mask, N);
}

/* An action scaled and clipped, as Python's TRPO.predict does. */
static double to_env(double act, double low, double high, int how)
{
    if (how & TRPO_SCALE_TO_BOUNDS) act = act * (high / 2 - low / 2) + (high / 2 + low / 2);
    return how & TRPO_CLIP ? trpo_clamp(act, low, high) : act;
}

void trpo_policy_to_env(const trpo_policy *policy, real *act, int N)
{
    const trpo_agent *w = &policy->agent;
    const int D = w->policy.D, how = (int)*w->act_to_env;
    for (ptrdiff_t i = 0; w->has_bounds && i < (ptrdiff_t)N * D; i++)
        act[i] = (real)to_env((double)act[i], w->act_low[i % D], w->act_high[i % D], how);
}

void trpo_policy_seed(trpo_policy *policy, uint64_t seed)
{
    double *counters = policy->agent.counters;
    counters[TRPO_SEED_LOW] = (double)(uint32_t)seed;
    counters[TRPO_SEED_HIGH] = (double)(uint32_t)(seed >> 32);
    counters[TRPO_N_PREDICTS] = 0;
}

const trpo_settings *trpo_policy_settings(const trpo_policy *policy) { return &policy->agent.set; }

void trpo_policy_culprit(const trpo_policy *policy, trpo_culprit *culprit)
{
    trpo_get_culprit(&policy->agent, culprit);
}
