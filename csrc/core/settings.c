/* Default settings, and their legal ranges. */
#include "work.h"

#include <limits.h>
#include <string.h>

/* What lies within keeps exp(-2 log_std) a float. */
static const double LOWEST_LOG_STD = -20, HIGHEST_LOG_STD = 20;

void trpo_default_settings(trpo_settings *s)
{
    memset(s, 0, sizeof *s);
    s->distribution = TRPO_GAUSSIAN;
    s->activation = TRPO_TANH;
    s->log_std_min = LOWEST_LOG_STD;
    s->log_std_max = HIGHEST_LOG_STD;
    s->n_features = 100;
    s->feature_degree = 2;
    s->n_steps = 2048;
    s->n_envs = 1;
    s->gamma = 0.99;
    s->gae_lambda = 0.95;
    s->normalize_advantage = 1;
    s->target_kl = 0.01;
    s->cg_damping = 0.1;
    s->cg_max_steps = 3;
    s->cg_tolerance = 1e-5;
    s->preconditioner = TRPO_KFAC;
    s->sub_sampling_factor = 1;
    s->line_search_shrinking_factor = 0.8;
    s->line_search_max_iter = 10;
    s->kl_slack = 1;
    s->critic = TRPO_KFAC_STEPS;
    s->n_critic_updates = 1;
    s->critic_damping = 0.01;
    s->learning_rate = 1e-3;
}

/* No size above 2^24, and no more rows than leave an int room to round up to a chunk. */
enum { LARGEST_SIZE = 1 << 24, LARGEST_N = INT_MAX - TRPO_CHUNK };

/* The preconditioner holds the square of the features' number. */
enum { LARGEST_F = 10000 };

static int is_size(int x) { return x >= 1 && x <= LARGEST_SIZE; }

static int are_sizes(const int *x, int count)
{
    if (count < 0 || count > LARGEST_SIZE || (count > 0 && x == NULL)) return 0;
    for (int i = 0; i < count; i++)
        if (!is_size(x[i])) return 0;
    return 1;
}

int trpo_n_monomials(int O, int degree)
{
    double all = 1; /* C(O + degree, degree), those of degree 0 included: whole on the way */
    for (int d = 1; d <= degree && all <= LARGEST_F + 1; d++) all = all * (O + d) / d;
    return all <= LARGEST_F + 1 ? (int)all - 1 : LARGEST_F + 1;
}

int trpo_n_inputs(const trpo_settings *s)
{
    switch (s->features) {
    case TRPO_NO_FEATURES: return s->obs_size;
    case TRPO_POLYNOMIAL: return trpo_n_monomials(s->obs_size, s->feature_degree);
    default: return s->n_features;
    }
}

ptrdiff_t trpo_n_drawn(const trpo_settings *s)
{
    const int O = s->obs_size, F = s->n_features;
    return s->features == TRPO_FOURIER ? trpo_times(F, O + 1)
                                       : s->features == TRPO_RBF ? trpo_times(F, O) : 0;
}

static int in_range(double x, double low, double high) { return x >= low && x <= high; }
static int is_positive(double x) { return x > 0 && isfinite(x); }

/* The distribution is a known one. */
static int are_parts(const trpo_settings *s)
{
    const int outputs = trpok_distribution(s->distribution)->outputs;
    double total = 0;
    if (s->n_parts < 1 || !are_sizes(s->parts, s->n_parts)) return 0;
    for (int d = 0; d < s->n_parts; d++) {
        if (outputs > 0 && s->parts[d] != outputs) return 0;
        total += s->parts[d];
    }
    return total <= (double)LARGEST_SIZE;
}

static const char *bad_network(const trpo_settings *s)
{
    if (!is_size(s->obs_size)) return "obs_size";
    if (trpok_named(s->instruction_set) == NULL) return "instruction_set";
    if (trpok_distribution(s->distribution) == NULL) return "distribution";
    if (!are_parts(s)) return "parts";
    if (!are_sizes(s->policy_hidden, s->n_policy_hidden)) return "policy_hidden";
    if (!are_sizes(s->value_hidden, s->n_value_hidden)) return "value_hidden";
    if (s->activation < TRPO_IDENTITY || s->activation > TRPO_RELU) return "activation";
    if (!in_range(s->log_std_init, LOWEST_LOG_STD, HIGHEST_LOG_STD)) return "log_std_init";
    if (!in_range(s->log_std_min, LOWEST_LOG_STD, s->log_std_init)) return "log_std_min";
    return in_range(s->log_std_max, s->log_std_init, HIGHEST_LOG_STD) ? NULL : "log_std_max";
}

static const char *bad_features(const trpo_settings *s)
{
    const int drawn = s->features == TRPO_FOURIER || s->features == TRPO_RBF;
    if (s->features < TRPO_NO_FEATURES || s->features > TRPO_POLYNOMIAL) return "features";
    if (drawn && (s->n_features < 1 || s->n_features > LARGEST_F)) return "n_features";
    if (s->feature_bandwidth != 0 && !is_positive(s->feature_bandwidth)) return "feature_bandwidth";
    if (s->features != TRPO_POLYNOMIAL) return NULL;
    return s->feature_degree >= 1 && trpo_n_inputs(s) <= LARGEST_F ? NULL : "feature_degree";
}

static const char *bad_rollout(const trpo_settings *s)
{
    if (!is_size(s->n_steps)) return "n_steps";
    if (!is_size(s->n_envs) || s->n_envs > LARGEST_N / s->n_steps) return "n_envs";
    if (!in_range(s->gamma, 0, 1)) return "gamma";
    return in_range(s->gae_lambda, 0, 1) ? NULL : "gae_lambda";
}

static const char *bad_step(const trpo_settings *s)
{
    if (!is_positive(s->target_kl)) return "target_kl";
    if (!(s->ent_coef >= 0 && isfinite(s->ent_coef))) return "ent_coef";
    if (!(s->cg_damping >= 0 && isfinite(s->cg_damping))) return "cg_damping";
    if (s->adaptive_damping && s->cg_damping == 0) return "cg_damping";
    if (s->cg_max_steps < 1) return "cg_max_steps";
    if (!(s->cg_tolerance >= 0 && s->cg_tolerance < 1)) return "cg_tolerance";
    if (s->preconditioner < TRPO_NONE || s->preconditioner > TRPO_KFAC) return "preconditioner";
    return s->sub_sampling_factor >= 1 ? NULL : "sub_sampling_factor";
}

static const char *bad_search(const trpo_settings *s)
{
    if (s->acceptance < TRPO_ACCEPT_IMPROVEMENT || s->acceptance > TRPO_ACCEPT_ALWAYS)
        return "acceptance";
    if (s->kl_direction < TRPO_FORWARD || s->kl_direction > TRPO_REVERSE) return "kl_direction";
    if (!(s->kl_slack >= 1 && isfinite(s->kl_slack))) return "kl_slack";
    if (!(s->line_search_shrinking_factor > 0 && s->line_search_shrinking_factor < 1))
        return "line_search_shrinking_factor";
    return s->line_search_max_iter >= 1 ? NULL : "line_search_max_iter";
}

static const char *bad_critic(const trpo_settings *s)
{
    if (s->critic < 0 || s->critic >= TRPO_N_CRITICS) return "critic";
    if (s->n_critic_updates < 1) return "n_critic_updates";
    if (!is_positive(s->critic_damping)) return "critic_damping";
    if (!is_positive(s->learning_rate)) return "learning_rate";
    return s->batch_size >= 0 ? NULL : "batch_size";
}

const char *trpo_bad_setting(const trpo_settings *s)
{
    const char *(*const checks[])(const trpo_settings *) = {
        bad_network, bad_features, bad_rollout, bad_step, bad_search, bad_critic};
    const char *bad = NULL;
    for (size_t i = 0; bad == NULL && i < sizeof checks / sizeof *checks; i++) bad = checks[i](s);
    return bad;
}

int trpo_set_target_kl(trpo_agent *w, double target_kl)
{
    if (!is_positive(target_kl)) return TRPO_ERR_SETTING;
    w->set.target_kl = target_kl;
    return TRPO_OK;
}

int trpo_set_learning_rate(trpo_agent *w, double learning_rate)
{
    if (!is_positive(learning_rate)) return TRPO_ERR_SETTING;
    w->set.learning_rate = learning_rate;
    return TRPO_OK;
}
