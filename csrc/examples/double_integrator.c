/* Training in C with an environment of your own: continuous actions, and saving and loading.
 *
 *     cc -O3 -o integrator csrc/examples/double_integrator.c csrc/core/[a-z]*.c \
 *         csrc/envs/[a-z]*.c csrc/kernels/[a-z]*.c -lm
 *     ./integrator [seed]
 *
 * A mass is to come to rest at 0, pushed by a force u in [-1, 1]: x'' = u, with the reward
 * -(x^2 + 0.1 x'^2 + 0.01 u^2) every 0.1 s. Halfway, agent and environments are saved to a file;
 * another agent continues from it. Exits with 0 if the policy has learnt, and the continuation has
 * the bits of the training that was not interrupted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../include/trpo.h"
#include "../include/trpo_env.h"

enum { N_ENVS = 16, N_STEPS = 100, UPDATES = 50, MOST_EPISODES = N_ENVS * N_STEPS };
static const double ENOUGH = -12; /* mean return; of random forces -1600, of the best -4.8 */
static const char *const FILE_NAME = "integrator.bin";

/* ---- the environment ------------------------------------------------------------------------- */

typedef struct mass {
    double x, v;
} mass;

static int observe(const void *config, const void *state, double *obs)
{
    const mass *m = (const mass *)state;
    (void)config;
    obs[0] = m->x;
    obs[1] = m->v;
    return 0;
}

static int reset(const void *config, void *state, double *obs, trpo_env_random *random)
{
    mass *m = (mass *)state;
    m->x = trpo_env_uniform(random, -1, 1);
    m->v = trpo_env_uniform(random, -1, 1);
    return observe(config, state, obs);
}

static int step(const void *config, void *state, const double *act, double *obs, double *rew,
                uint8_t *term, trpo_env_random *random)
{
    const double dt = 0.1, u = act[0];
    mass *m = (mass *)state;
    (void)random;
    m->x += dt * m->v;
    m->v += dt * u;
    *rew = -(m->x * m->x + 0.1 * m->v * m->v + 0.01 * u * u);
    if (m->x * m->x > 100) *term = TRPO_ENV_TRUNCATED; /* lost: no more to be learnt out here */
    return observe(config, state, obs);
}

static const double ACT_LOW[] = {-1}, ACT_HIGH[] = {1};

static const trpo_env INTEGRATOR = {
    TRPO_ENV_VERSION, sizeof(trpo_env), "Integrator", sizeof(mass),
    2, NULL, NULL,              /* observation: size, bounds (none)                   */
    1, NULL, ACT_LOW, ACT_HIGH, /* action: size, choices (none: real numbers), bounds */
    100, -12, NULL, 0, NULL,    /* step limit, return that counts as solved, options  */
    reset, step, observe,
    NULL, NULL,                 /* close and mask (none)                              */
    NULL, 0, NULL, NULL,        /* open, save_bytes, save, load (none)                */
};

/* ---- an agent in its environments ------------------------------------------------------------ */

typedef struct trainer {
    trpo_agent *agent;
    trpo_envs *envs;
    void *memory, *env_memory;
} trainer;

static int start(trainer *t, uint64_t seed)
{
    static const int hidden[] = {64, 64};
    trpo_settings s;
    trpo_default_settings(&s);
    trpo_settings_for_env(&s, &INTEGRATOR);
    s.policy_hidden = s.value_hidden = hidden;
    s.n_policy_hidden = s.n_value_hidden = 2;
    s.n_envs = N_ENVS;
    s.n_steps = N_STEPS;
    s.seed = seed;
    const size_t bytes = trpo_bytes(&s, NULL), env_bytes = trpo_envs_bytes(&INTEGRATOR, N_ENVS);
    t->memory = malloc(bytes);
    t->env_memory = malloc(env_bytes);
    return trpo_init(&t->agent, &s, NULL, t->memory, bytes) == TRPO_OK &&
           trpo_envs_init(&t->envs, &INTEGRATOR, N_ENVS, seed, t->env_memory, env_bytes) == 0 &&
           trpo_envs_reset(t->envs, NULL, NULL) == TRPO_ENV_OK;
}

static void end(trainer *t)
{
    free(t->memory);
    free(t->env_memory);
}

/* The mean return of the rollout's episodes; 0 if there are none. */
static double mean_return(const trpo_agent *agent)
{
    static trpo_episode episodes[MOST_EPISODES];
    const int count = trpo_episodes(agent, episodes, 0, MOST_EPISODES);
    double total = 0;
    for (int i = 0; i < count; i++) total += episodes[i].total;
    return count > 0 ? total / count : 0;
}

/* Some updates; the mean return before the last one, or a huge loss if one fails. */
static double train(trainer *t, int updates)
{
    double mean = 0;
    for (int i = 1; i <= updates; i++) {
        trpo_info info;
        if (trpo_collect(t->agent, t->envs, N_STEPS, 0, NULL) != TRPO_OK) return -1e9;
        mean = mean_return(t->agent);
        if (trpo_update(t->agent, &info) < 0) return -1e9;
        if (i % 5 > 0) continue;
        printf("%6d steps  return %8.2f  kl %.4f\n", i * N_STEPS * N_ENVS, mean, info.kl);
    }
    return mean;
}

/* ---- saving and loading ---------------------------------------------------------------------- */

/* The agent's bytes, then those of the environments. */
static int save(const trainer *t, const char *path)
{
    const size_t agent = trpo_save_bytes(t->agent), envs = trpo_envs_save_bytes(t->envs);
    char *bytes = (char *)malloc(agent + envs);
    FILE *file = fopen(path, "wb");
    const int ok = bytes != NULL && file != NULL &&
                   trpo_save(t->agent, bytes, agent) == TRPO_OK &&
                   trpo_envs_save(t->envs, bytes + agent, envs) == TRPO_ENV_OK &&
                   fwrite(bytes, 1, agent + envs, file) == agent + envs;
    free(bytes);
    return (file == NULL || fclose(file) == 0) && ok;
}

/* Into a trainer with the same settings and environments. */
static int load(trainer *t, const char *path)
{
    const size_t agent = trpo_save_bytes(t->agent), envs = trpo_envs_save_bytes(t->envs);
    char *bytes = (char *)malloc(agent + envs);
    FILE *file = fopen(path, "rb");
    const int ok = bytes != NULL && file != NULL &&
                   fread(bytes, 1, agent + envs, file) == agent + envs &&
                   trpo_load(t->agent, bytes, agent) == TRPO_OK &&
                   trpo_envs_load(t->envs, bytes + agent, envs) == TRPO_ENV_OK;
    free(bytes);
    return (file == NULL || fclose(file) == 0) && ok;
}

/* Whether two agents have the same state. */
static int are_equal(const trpo_agent *a, const trpo_agent *b)
{
    const size_t bytes = trpo_save_bytes(a);
    char *saved = (char *)malloc(2 * bytes);
    const int same = saved != NULL && trpo_save(a, saved, bytes) == TRPO_OK &&
                     trpo_save(b, saved + bytes, bytes) == TRPO_OK &&
                     memcmp(saved, saved + bytes, bytes) == 0;
    free(saved);
    return same;
}

int main(int argc, char **argv)
{
    const uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    trainer whole, resumed;
    if (!start(&whole, seed) || !start(&resumed, seed + 1)) return 2;
    train(&whole, UPDATES / 2);
    if (!save(&whole, FILE_NAME) || !load(&resumed, FILE_NAME)) return 2;
    const double mean = train(&whole, UPDATES / 2);
    printf("the same from %s:\n", FILE_NAME);
    train(&resumed, UPDATES / 2);
    const int same = are_equal(whole.agent, resumed.agent);
    printf("%s: mean return %.2f; the continuation %s\n", mean >= ENOUGH ? "learnt" : "not learnt",
           mean, same ? "has the same bits" : "differs");
    end(&whole);
    end(&resumed);
    return mean >= ENOUGH && same ? 0 : 1;
}
