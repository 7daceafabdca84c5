/* Trains small policies and prints a hash of each: the table in tests/data/hashes.json, which holds
 * on every machine (tests/platforms.py).
 *
 *     hashes [SET...]     the instruction sets to train with; none: all that this machine runs
 *
 * A line is "SET PRECISION HASH NAME". Each row of `runs` is trained for 20 updates on CartPole, on
 * another built-in environment, or in the simulator below, whose arithmetic uses every function of
 * trpo_math.h. The hash is over numbers, not bytes in memory, so that byte order does not matter.
 * Of the library only its public headers are used. */
#define TRPO_STRICT_FILE /* a host's own arithmetic is contracted unless it asks for this */
#include "../../csrc/include/trpo_strict.h"

TRPO_STRICT_BEGIN

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../csrc/include/trpo.h"
#include "../../csrc/include/trpo_env.h"

enum { N_ENVS = 4, N_STEPS = 32, N_UPDATES = 20, MAX_ACTIONS = 3, MAX_OUTPUTS = 8 };

/* ---- the simulator --------------------------------------------------------------------------- */

enum { O = 6 };

typedef struct drift {
    double place, heat;
    double pull; /* of the last action, in [-1, 1] */
    int32_t closed; /* the choice that the mask forbids */
    int32_t age;
} drift;

static int observe(const void *config, const void *state, double *obs)
{
    const drift *d = (const drift *)state;
    (void)config;
    trpo_sincos(3 * d->place, &obs[0], &obs[1]);
    obs[2] = trpo_log1p(d->heat);
    obs[3] = trpo_expm1(-d->heat) + trpo_pow(d->heat + 0.25, 1.5);
    obs[4] = (double)trpo_logf((float)d->heat + 1.5F) - (double)trpo_log1pf((float)d->heat);
    obs[5] = d->pull;
    return 0;
}

static int reset(const void *config, void *state, double *obs, trpo_env_random *random)
{
    drift *d = (drift *)state;
    d->place = trpo_env_normal(random, 0, 0.5);
    d->heat = -trpo_log(trpo_env_uniform(random, 0.1, 1));
    d->pull = 0;
    d->closed = (int32_t)trpo_env_uniform(random, 0, 4);
    d->age = 0;
    return observe(config, state, obs);
}

/* The mean of the actions, scaled to [-1, 1]; config: (D) the number of choices, 0 if real. */
static double pull_of(const int *choices, const double *act)
{
    double sum = 0;
    int D = 0;
    for (; choices[D] >= 0; D++)
        sum += choices[D] > 0 ? 2 * act[D] / (choices[D] - 1) - 1 : act[D];
    return sum / D;
}

static int step(const void *config, void *state, const double *act, double *obs, double *rew,
                uint8_t *term, trpo_env_random *random)
{
    drift *d = (drift *)state;
    d->pull = pull_of((const int *)config, act);
    d->place = 0.8 * d->place + 0.3 * d->pull + trpo_env_normal(random, 0, 0.1);
    d->heat = 0.9 * d->heat + d->place * d->place * trpo_exp(-fabs(d->pull));
    d->closed = (int32_t)trpo_env_uniform(random, 0, 4);
    *rew = trpo_cos(d->place) - 0.1 * d->heat + 0.2 * trpo_sin(d->pull * d->age);
    *term = ++d->age > 5 && trpo_env_uniform(random, 0, 1) < 0.1;
    return observe(config, state, obs);
}

static int open_choices(const void *config, const void *state, uint8_t *mask)
{
    (void)config;
    for (int i = 0; i < 4; i++) mask[i] = i != ((const drift *)state)->closed;
    return 0;
}

static const double LOW[] = {-1, -1, -1}, HIGH[] = {1, 1, 1};

/* Each list of choices ends with -1. */
static const int REAL[] = {0, 0, -1}, ONE[] = {3, -1}, SEVERAL[] = {3, 2, 3, -1}, FOUR[] = {4, -1},
                 COINS[] = {2, 2, 2, -1};

static trpo_env simulator(const int *choices)
{
    trpo_env env;
    memset(&env, 0, sizeof env);
    env.version = TRPO_ENV_VERSION;
    env.struct_size = (int)sizeof env;
    env.name = "Drift";
    env.state_bytes = sizeof(drift);
    env.obs_size = O;
    while (choices[env.n_actions] >= 0) env.n_actions++;
    if (choices[0] > 0) env.choices = choices;
    else env.act_low = LOW, env.act_high = HIGH;
    env.max_episode_steps = 30;
    env.config = choices;
    env.reset = reset;
    env.step = step;
    env.observe = observe;
    if (choices == FOUR) env.mask = open_choices;
    return env;
}

/* ---- the runs -------------------------------------------------------------------------------- */

typedef struct change {
    const char *setting, *word; /* word NULL: the value */
    double value;
} change;

#define SET(setting, value) {setting, NULL, value}
#define WORD(setting, word) {setting, word, 0}
#define AS_IS SET(NULL, 0)

enum { LINEAR = 0, MLP = 2, MAX_CHANGES = 3 };

typedef struct run {
    const char *name;
    const char *env;    /* a built-in environment; NULL: the one of this name, or the simulator */
    const int *choices; /* of the simulator's actions; NULL: a built-in environment */
    int n_hidden;
    change changes[MAX_CHANGES];
} run;

static const run runs[] = {
    {"CartPole-v1", NULL, NULL, MLP, {AS_IS}},
    {"Acrobot-v1", NULL, NULL, MLP, {AS_IS}},
    {"MountainCar-v0", NULL, NULL, MLP, {AS_IS}},
    {"MountainCarContinuous-v0", NULL, NULL, MLP, {AS_IS}},
    {"Pendulum-v1", NULL, NULL, MLP, {AS_IS}},

    {"gaussian", NULL, REAL, MLP, {WORD("distribution", "gaussian")}},
    {"categorical", NULL, ONE, MLP, {WORD("distribution", "categorical")}},
    {"categorical, 3 components", NULL, SEVERAL, MLP, {WORD("distribution", "categorical")}},
    {"categorical, masked", NULL, FOUR, MLP, {WORD("distribution", "categorical")}},
    {"bernoulli", NULL, COINS, MLP, {WORD("distribution", "bernoulli")}},

    {"kfac", "CartPole-v1", NULL, MLP, {WORD("critic", "kfac"), SET("n_critic_updates", 2)}},
    {"adam", "CartPole-v1", NULL, MLP, {WORD("critic", "adam"), SET("n_critic_updates", 3)}},
    {"gauss_newton", "CartPole-v1", NULL, MLP, {WORD("critic", "gauss_newton")}},
    {"ridge", "CartPole-v1", NULL, MLP, {WORD("critic", "ridge")}},

    {"fourier", NULL, REAL, LINEAR, {WORD("features", "fourier"), SET("n_features", 20)}},
    {"rbf", NULL, REAL, LINEAR, {WORD("features", "rbf"), SET("n_features", 20)}},
    {"polynomial", NULL, REAL, LINEAR, {WORD("features", "polynomial")}},

    {"observations normalised", NULL, REAL, MLP, {SET("normalize_observations", 1)}},
    {"rewards normalised", NULL, REAL, MLP, {SET("normalize_rewards", 1)}},
    {"advantages as they are", NULL, REAL, MLP, {SET("normalize_advantage", 0)}},

    {"relu", "CartPole-v1", NULL, MLP, {WORD("activation", "relu")}},
    {"linear", "CartPole-v1", NULL, LINEAR, {AS_IS}},
    {"uniform weights", NULL, REAL, MLP, {SET("ortho_init", 0), SET("log_std_init", -0.5)}},
    {"conjugate gradient alone", NULL, REAL, MLP,
     {WORD("preconditioner", "none"), SET("cg_max_steps", 10), SET("sub_sampling_factor", 2)}},
    {"entropy, adaptive damping", NULL, ONE, MLP,
     {WORD("distribution", "categorical"), SET("ent_coef", 0.01), SET("adaptive_damping", 1)}},
    {"reverse KL", NULL, REAL, MLP, {WORD("kl_direction", "reverse"), SET("kl_slack", 1.5)}},
};
enum { N_RUNS = sizeof runs / sizeof *runs };

static void stop(const char *what, const char *why)
{
    printf("%s: %s\n", what, why);
    exit(1);
}

static void apply(trpo_settings *s, const change *c)
{
    const int status = c->word != NULL ? trpo_set_word(s, c->setting, c->word)
                                       : trpo_set_setting(s, c->setting, c->value);
    if (status != TRPO_OK) stop(c->setting, trpo_status_text(status));
}

/* parts (D): network outputs per component of the actions */
static void spaces(trpo_settings *s, int *parts, const trpo_env *env, const run *r)
{
    s->obs_size = env->obs_size;
    s->n_parts = env->n_actions;
    s->parts = parts;
    s->distribution = env->choices != NULL ? TRPO_CATEGORICAL : TRPO_GAUSSIAN;
    for (int i = 0; i < MAX_CHANGES && r->changes[i].setting != NULL; i++)
        apply(s, &r->changes[i]);
    for (int d = 0; d < s->n_parts; d++)
        parts[d] = s->distribution == TRPO_CATEGORICAL ? env->choices[d] : 1;
}

static trpo_settings settings(int *parts, const trpo_env *env, const run *r, const char *set)
{
    static const int hidden[MLP] = {16, 9};
    trpo_settings s;
    trpo_default_settings(&s);
    spaces(&s, parts, env, r);
    s.policy_hidden = s.value_hidden = hidden;
    s.n_policy_hidden = s.n_value_hidden = r->n_hidden;
    s.n_envs = N_ENVS;
    s.n_steps = N_STEPS;
    s.seed = 0x123456789abcdefu;
    s.instruction_set = set;
    return s;
}

/* ---- hashes ---------------------------------------------------------------------------------- */

/* Continues an FNV-1a hash by the bits of a number, the low byte first; every NaN is the same. */
static void add(uint64_t *hash, double x)
{
    uint64_t bits = 0x7ff8000000000000u;
    if (x == x) memcpy(&bits, &x, sizeof bits);
    for (int i = 0; i < 64; i += 8) *hash = (*hash ^ (bits >> i & 255)) * 1099511628211u;
}

static void add_reals(uint64_t *hash, const trpo_real *x, int count)
{
    for (int i = 0; i < count; i++) add(hash, (double)x[i]);
}

static void add_info(uint64_t *hash, const trpo_info *info)
{
    const int counts[] = {info->n_samples, info->cg_steps, info->line_search_steps,
                          info->rejected};
    const double numbers[] = {
        info->surr_gain,       info->kl,         info->surr_gain_predicted, info->kl_predicted,
        info->kl_tried,        info->entropy,    info->surr_gain_tried,     info->std,
        info->grad_norm,       info->step_norm,  info->curvature,           info->cg_residual,
        info->value_loss,      info->explained_variance, info->value_loss_before,
        info->cg_damping};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) add(hash, counts[i]);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) add(hash, numbers[i]);
}

static void add_parameters(uint64_t *hash, trpo_agent *agent)
{
    const char *name;
    const double *x;
    size_t count;
    for (int i = 0; (x = trpo_state_field(agent, i, &name, &count)) != NULL; i++)
        if (strcmp(name, "theta") == 0 || strcmp(name, "value_theta") == 0)
            for (size_t j = 0; j < count; j++) add(hash, x[j]);
}

/* What the policy computes from the environments' last observations. */
static void add_predictions(uint64_t *hash, trpo_agent *agent, trpo_envs *envs)
{
    const trpo_env *env = trpo_envs_spec(envs);
    const trpo_env_outcome outcome = trpo_envs_outcome(envs);
    trpo_real obs[N_ENVS * O], act[N_ENVS * MAX_ACTIONS], val[N_ENVS];
    for (int i = 0; i < N_ENVS * env->obs_size; i++) {
        obs[i] = (trpo_real)outcome.obs[i];
        add(hash, outcome.obs[i]);
    }
    for (int deterministic = 0; deterministic < 2; deterministic++) {
        trpo_predict(agent, act, obs, outcome.mask, deterministic, N_ENVS);
        add_reals(hash, act, N_ENVS * env->n_actions);
    }
    trpo_value(agent, val, obs, N_ENVS);
    add_reals(hash, val, N_ENVS);
}

/* ---- training -------------------------------------------------------------------------------- */

static void *room(size_t bytes)
{
    void *memory = malloc(bytes);
    if (memory == NULL) stop("malloc", "out of memory");
    return memory;
}

static uint64_t train(trpo_agent *agent, trpo_envs *envs, const char *name)
{
    uint64_t hash = 14695981039346656037u;
    if (trpo_envs_reset(envs, NULL, NULL) != TRPO_ENV_OK) stop(name, "reset failed");
    for (int i = 0; i < N_UPDATES; i++) {
        trpo_info info;
        int status = trpo_collect(agent, envs, N_STEPS, 0, NULL);
        if (status == TRPO_OK) status = trpo_update(agent, &info);
        if (status < 0) stop(name, trpo_status_text(status));
        add_info(&hash, &info);
    }
    add_parameters(&hash, agent);
    add_predictions(&hash, agent, envs);
    return hash;
}

static uint64_t hash_of(const run *r, const char *set)
{
    int parts[MAX_OUTPUTS];
    trpo_env own;
    if (r->choices != NULL) own = simulator(r->choices);
    const trpo_env *env =
        r->choices != NULL ? &own : trpo_env_named(r->env != NULL ? r->env : r->name);
    const trpo_settings s = settings(parts, env, r, set);
    const size_t bytes = trpo_bytes(&s, NULL), envs_bytes = trpo_envs_bytes(env, N_ENVS);
    void *memory = room(bytes), *envs_memory = room(envs_bytes);
    trpo_agent *agent;
    trpo_envs *envs;
    const int status = trpo_init(&agent, &s, NULL, memory, bytes);
    if (status != TRPO_OK) stop(r->name, trpo_status_text(status));
    const int env_status = trpo_envs_init(&envs, env, N_ENVS, s.seed, envs_memory, envs_bytes);
    if (env_status != TRPO_ENV_OK) stop(r->name, trpo_env_status_text(env_status));
    const uint64_t hash = train(agent, envs, r->name);
    free(memory);
    free(envs_memory);
    return hash;
}

static int is_runnable(const char *set)
{
    int parts[MAX_OUTPUTS];
    const trpo_settings s = settings(parts, trpo_env_named("CartPole-v1"), &runs[0], set);
    return trpo_bad_setting(&s) == NULL;
}

static int is_wanted(const char *set, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], set) == 0) return 1;
    return argc <= 1;
}

int main(int argc, char **argv)
{
    static const char *const sets[] = {"baseline", "avx2", "avx512", "neon"};
    const char *precision = sizeof(trpo_real) == 4 ? "float32" : "float64";
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        for (int r = 0; r < N_RUNS && is_wanted(sets[i], argc, argv) && is_runnable(sets[i]); r++) {
            const uint64_t hash = hash_of(&runs[r], sets[i]);
            printf("%s %s %08lx%08lx %s\n", sets[i], precision, (unsigned long)(hash >> 32),
                   (unsigned long)(hash & 0xffffffffu), runs[r].name);
        }
    return 0;
}
