/* The table of fields: the agent's persistent state, named arrays of doubles, and the valid numbers
 * of each. Saving, loading and trpo_state_field read it; docs/file-format.md describes its rows. */
#include "file.h"

#include <string.h>

/* Whether not all are 0. */
static int has_numbers(const double *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (x[i] != 0) return 1;
    return 0;
}

/* Adam's moments of other critics are 0, unless the critic was changed. */
static int has_moments(const trpo_agent *w)
{
    const size_t Pv = (size_t)w->critic.P;
    return w->set.critic == TRPO_ADAM || has_numbers(w->adam_m, Pv) || has_numbers(w->adam_v, Pv);
}

/* The table, in the order of the TRPO_FIELD_ enumerators; the last row ends it. */
static const trpo_field rows[] = {
    {"theta", TRPO_ANY, TRPO_POLICY_SECTION, 0, 1, NULL, 0, 0},
    {"value_theta", TRPO_ANY, TRPO_TRAINING_SECTION, 0, 1, NULL, 0, 0},
    {"obs_count", TRPO_COUNT, TRPO_POLICY_SECTION, 0, 1, NULL, 0, 0},
    {"obs_mean", TRPO_ANY, TRPO_POLICY_SECTION, 0, 1, NULL, 0, 0},
    {"obs_m2", TRPO_NOT_NEGATIVE, TRPO_POLICY_SECTION, 0, 1, NULL, 0, 0},
    {"rew_count", TRPO_COUNT, TRPO_TRAINING_SECTION, 0, 1, NULL, 0, 0},
    {"rew_mean", TRPO_ANY, TRPO_TRAINING_SECTION, 0, 1, NULL, 0, 0},
    {"rew_m2", TRPO_NOT_NEGATIVE, TRPO_TRAINING_SECTION, 0, 1, NULL, 0, 0},
    {"rew_running", TRPO_ANY, TRPO_TRAINING_SECTION, 1, 1, NULL, 0, 0},
    {"adam_m", TRPO_ANY, TRPO_TRAINING_SECTION, 0, 0, NULL, 0, 0},
    {"adam_v", TRPO_NOT_NEGATIVE, TRPO_TRAINING_SECTION, 0, 0, NULL, 0, 0},
    {"counters", TRPO_COUNTERS, TRPO_POLICY_SECTION, 0, 1, NULL, 0, 0},
    {"damping_scale", TRPO_SCALE, TRPO_TRAINING_SECTION, 0, 1, NULL, 0, 0},
    {"drawn_features", TRPO_ANY, TRPO_POLICY_SECTION, 0, 1, NULL, 0, 0},
    {"act_low", TRPO_BOUND, TRPO_POLICY_SECTION, 0, 0, NULL, 0, 0},
    {"act_high", TRPO_BOUND, TRPO_POLICY_SECTION, 0, 0, NULL, 0, 0},
    {"act_to_env", TRPO_TO_ENV, TRPO_POLICY_SECTION, 0, 0, NULL, 0, 0},
    {NULL, TRPO_ANY, TRPO_POLICY_SECTION, 0, 0, NULL, 0, 0},
};

/* Places row i of an agent: where its numbers are, and how many. */
static void place_field(trpo_field *f, const trpo_agent *w, int i)
{
    const size_t O = (size_t)w->set.obs_size, Pv = (size_t)w->critic.P, D = (size_t)w->policy.D;
    double *const values[] = {
        w->policy.theta,   w->critic.theta,    w->obs_stat.count, w->obs_stat.mean,
        w->obs_stat.m2,    w->rew_stat.count,  w->rew_stat.mean,  w->rew_stat.m2,
        w->rew_running,    w->adam_m,          w->adam_v,         w->counters,
        w->damping_scale,  w->features,        w->act_low,        w->act_high,
        w->act_to_env};
    const size_t counts[] = {(size_t)w->policy.P, Pv, 1,  O,  O, 1, 1, 1, (size_t)w->set.n_envs,
                             Pv, Pv, TRPO_N_COUNTERS, 1, (size_t)trpo_n_drawn(&w->set), D, D, 1};
    f->value = values[i];
    f->count = counts[i];
}

trpo_field trpo_field_at(const trpo_agent *w, int i)
{
    const int last = (int)(sizeof rows / sizeof *rows) - 1, known = i >= 0 && i < last;
    trpo_field f = rows[known ? i : last];
    f.index = i;
    if (!known || w == NULL) return f;
    place_field(&f, w, i);
    if (i >= TRPO_FIELD_LOW) f.is_saved = w->has_bounds;
    if (i == TRPO_FIELD_ADAM_M || i == TRPO_FIELD_ADAM_V) f.is_saved = has_moments(w);
    if (f.count == 0) f.is_saved = 0;
    return f;
}

double *trpo_state_field(trpo_agent *w, int i, const char **name, size_t *count)
{
    const trpo_field f = trpo_field_at(w, i);
    if (f.name == NULL || i >= TRPO_N_STATE_FIELDS || f.count == 0) return NULL;
    *name = i == TRPO_FIELD_FEATURES ? "features" : f.name; /* a setting has that name in files */
    *count = f.count;
    return f.value;
}

/* ---- valid numbers --------------------------------------------------------------------------- */

static int is_count(double x, double max) { return x >= 0 && x <= max && x == floor(x); }

/* Counts are at most 2^52, more than any training reaches, so that they can still be increased. */
int trpo_is_valid_number(trpo_range range, size_t i, double x)
{
    const double max = 4503599627370496.0, word_max = 4294967295.0;
    switch (range) {
    case TRPO_NOT_NEGATIVE: return x >= 0 && isfinite(x);
    case TRPO_COUNT: return is_count(x, max);
    case TRPO_COUNTERS: return is_count(x, i <= TRPO_SEED_HIGH ? word_max : max);
    case TRPO_SCALE: return x >= TRPO_LEAST_SCALE && x <= TRPO_LARGEST_SCALE;
    case TRPO_BOUND: return !isnan(x);
    case TRPO_TO_ENV: return is_count(x, TRPO_CLIP | TRPO_SCALE_TO_BOUNDS);
    default: return isfinite(x);
    }
}

const char *trpo_invalid_field(const trpo_agent *w)
{
    trpo_field f;
    for (int k = 0; (f = trpo_field_at(w, k)).name != NULL; k++)
        for (size_t i = 0; i < f.count; i++)
            if (!trpo_is_valid_number(f.range, i, f.value[i])) return f.name;
    return NULL;
}

int trpo_refresh(trpo_agent *w)
{
    w->t = w->open = w->drawn = w->evaluated = 0;
    for (int i = 0; i < w->policy.n_log_std; i++)
        w->policy.log_std[i] =
            trpo_clamp(w->policy.log_std[i], w->set.log_std_min, w->set.log_std_max);
    trpo_net_pack(w->k, &w->policy.net, w->policy.theta);
    trpo_net_pack(w->k, &w->critic.net, w->critic.theta);
    trpo_pack_features(w);
    trpo_scale_observations(w);
    return trpo_invalid_field(w) == NULL ? TRPO_OK : TRPO_ERR_MODEL;
}

/* ---- bounds of actions ----------------------------------------------------------------------- */

static int has_finite(const double *x, int count)
{
    for (int i = 0; i < count; i++)
        if (isfinite(x[i])) return 1;
    return 0;
}

int trpo_set_bounds(trpo_agent *w, const double *low, const double *high, int to_env)
{
    const int D = w->policy.D;
    if (!trpo_is_valid_number(TRPO_TO_ENV, 0, to_env) || w->policy.n_log_std == 0)
        return TRPO_ERR_SPACES;
    for (int d = 0; d < D; d++)
        if (!trpo_are_bounds(low[d], high[d], to_env)) return TRPO_ERR_SPACES;
    memcpy(w->act_low, low, (size_t)D * sizeof *low);
    memcpy(w->act_high, high, (size_t)D * sizeof *high);
    *w->act_to_env = to_env;
    w->has_bounds = has_finite(low, D) || has_finite(high, D);
    return TRPO_OK;
}

int trpo_are_bounds(double low, double high, int to_env)
{
    const int is_scaled = (to_env & TRPO_SCALE_TO_BOUNDS) != 0;
    return low <= high && (!is_scaled || (isfinite(low) && isfinite(high)));
}
