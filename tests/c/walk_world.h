/* An agent in simulators that fail on demand, and an executor that runs tasks in random order. */
#ifndef TRPO_TESTS_WALK_WORLD_H
#define TRPO_TESTS_WALK_WORLD_H

#include "check.h"

#include "../../csrc/include/trpo_env.h"

/* ---- a simulator that fails on demand -------------------------------------------------------- */

enum { NOTHING, FAIL, BAD_OBS, BAD_REW, BAD_RESET, TOO_LARGE, TOO_LARGE_AT_RESET, BAD_MASK };

/* Environment `env` fails in its step `at`, counted over all episodes. */
typedef struct trouble {
    int what, env, at;
} trouble;

typedef struct plan {
    trouble first, second;
    int has_masks;
    const trpo_settings *set; /* the choices of its masks */
} plan;

typedef struct walk {
    double place;
    int steps, shut;
} walk;

static inline int is_due(const void *config, const walk *s, const trpo_env_random *random, int what)
{
    const plan *p = (const plan *)config;
    const trouble troubles[] = {p->first, p->second};
    int due = 0;
    for (int i = 0; i < 2; i++)
        due |= troubles[i].what == what && troubles[i].env == (int)random->env &&
               troubles[i].at == s->steps;
    return due;
}

static inline void walk_observe(const walk *s, double *obs)
{
    for (int i = 0; i < OBS; i++) obs[i] = trpo_sin((i + 1) * s->place);
}

static inline int walk_reset(const void *config, void *state, double *obs, trpo_env_random *random)
{
    walk *s = (walk *)state;
    if (is_due(config, s, random, BAD_RESET)) return 9;
    s->place = trpo_env_uniform(random, -1, 1);
    s->shut = is_due(config, s, random, BAD_MASK);
    walk_observe(s, obs);
    if (is_due(config, s, random, TOO_LARGE_AT_RESET)) obs[1] = 1e300;
    return 0;
}

static inline int walk_step(const void *config, void *state, const double *act, double *obs,
                            double *rew, uint8_t *term, trpo_env_random *random)
{
    walk *s = (walk *)state;
    s->steps++;
    *rew = cos(s->place - act[0]);
    s->place = 0.9 * s->place + 0.3 * act[0] + trpo_env_uniform(random, -0.3, 0.3);
    *term = trpo_env_uniform(random, 0, 1) > 0.9 || is_due(config, s, random, BAD_RESET) ||
            is_due(config, s, random, TOO_LARGE_AT_RESET);
    walk_observe(s, obs);
    if (is_due(config, s, random, BAD_OBS)) obs[2] = NAN;
    if (is_due(config, s, random, BAD_REW)) *rew = INFINITY;
    if (is_due(config, s, random, TOO_LARGE)) obs[1] = -1e300;
    s->shut = is_due(config, s, random, BAD_MASK);
    return is_due(config, s, random, FAIL) ? 7 : 0;
}

/* Allows half of the choices or more, depending on the place. */
static inline int walk_mask(const void *config, const void *state, uint8_t *mask)
{
    const walk *s = (const walk *)state;
    const trpo_settings *set = ((const plan *)config)->set;
    const int salt = (int)(1000 * (s->place + 10));
    for (int d = 0; d < set->n_parts; d++)
        for (int k = 0; k < set->parts[d]; k++)
            *mask++ = !s->shut && (k == (salt + d) % set->parts[d] || (salt >> (k + d)) % 2 == 0);
    return 0;
}

/* An environment for a space of check.h; real actions are bounded. */
static inline trpo_env walk_env(const trpo_settings *set, const plan *p)
{
    static const double low[] = {-0.7, -0.1}, high[] = {0.7, 0.1};
    static const int zero_or_one[] = {2, 2};
    const int choosing = set->distribution != TRPO_GAUSSIAN;
    trpo_env env;
    memset(&env, 0, sizeof env);
    env.version = TRPO_ENV_VERSION;
    env.struct_size = (int)sizeof env;
    env.name = "Walk";
    env.state_bytes = sizeof(walk);
    env.obs_size = OBS;
    env.n_actions = set->n_parts;
    env.choices = choosing ? set->parts : NULL;
    if (set->distribution == TRPO_BERNOULLI) env.choices = zero_or_one;
    env.act_low = choosing ? NULL : low;
    env.act_high = choosing ? NULL : high;
    env.max_episode_steps = 7;
    env.config = p;
    env.reset = walk_reset;
    env.step = walk_step;
    env.mask = p->has_masks ? walk_mask : NULL;
    return env;
}

/* ---- an agent in its environments ------------------------------------------------------------ */

static const plan no_trouble = {{NOTHING, 0, 0}, {NOTHING, 0, 0}, 0, NULL};

typedef struct world {
    trpo_settings set;
    plan trouble;
    trpo_env env;
    void *memory, *env_memory;
    trpo_agent *agent;
    trpo_envs *envs;
    trpo_env_failure failure;
    double total[MAX_ENVS];  /* of the running episodes, counted step by step */
    int64_t length[MAX_ENVS];
    trpo_episode episodes[4096];
    int n_episodes;
} world;

static inline void world_start(world *w, const trpo_settings *set, const trpo_executor *executor,
                        const plan *trouble)
{
    memset(w, 0, sizeof *w);
    w->set = *set;
    w->trouble = *trouble;
    w->trouble.set = &w->set;
    w->env = walk_env(set, &w->trouble);
    const size_t bytes = trpo_bytes(set, executor);
    const size_t env_bytes = trpo_envs_bytes(&w->env, set->n_envs);
    w->memory = take(bytes);
    w->env_memory = take(env_bytes);
    CHECK(trpo_init(&w->agent, set, executor, w->memory, bytes) == TRPO_OK);
    CHECK(trpo_envs_init(&w->envs, &w->env, set->n_envs, 3, w->env_memory, env_bytes) == 0);
    CHECK(trpo_envs_reset(w->envs, NULL, NULL) == TRPO_ENV_OK);
}

static inline void world_end(world *w)
{
    free(w->memory);
    free(w->env_memory);
}

static inline int collect(world *w, int n_rows)
{
    return trpo_collect(w->agent, w->envs, n_rows, 0, &w->failure);
}

static inline uint64_t env_bits(const world *w)
{
    const size_t bytes = trpo_envs_save_bytes(w->envs);
    unsigned char *buffer = (unsigned char *)take(bytes);
    uint64_t hash = 14695981039346656037u;
    CHECK(trpo_envs_save(w->envs, buffer, bytes) == TRPO_ENV_OK);
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ buffer[i]) * 1099511628211u;
    free(buffer);
    return hash;
}

/* ---- an executor ----------------------------------------------------------------------------- */

typedef struct dealer {
    toy random;
    int n_workers;
} dealer;

static inline int pick(dealer *d, int n) { return (int)((toy_random(&d->random) + 1) / 2 * n) % n; }

/* Any order and any worker, as a thread pool may choose. */
static inline void run_shuffled(void *ctx, int n_tasks,
                                void (*task)(void *arg, int index, int worker), void *arg)
{
    dealer *d = (dealer *)ctx;
    int order[256];
    if (!CHECK(n_tasks <= 256)) return;
    for (int i = 0; i < n_tasks; i++) order[i] = i;
    for (int i = 0; i < n_tasks; i++) {
        const int j = i + pick(d, n_tasks - i), chosen = order[j];
        order[j] = order[i];
        task(arg, chosen, pick(d, d->n_workers));
    }
}

#endif
