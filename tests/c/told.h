/* Environments side by side, for tests: the simulator is made of bad behaviour on demand, the
 * action says which. */
#ifndef TRPO_TESTS_TOLD_H
#define TRPO_TESTS_TOLD_H

#include "check.h"

#include "../../csrc/include/trpo_env.h"

/* ---- a simulator that does as it is told ----------------------------------------------------- */

enum { GO = 0, END = 1, FAIL = 2, BAD_OBS = 3, BAD_REW = 4, DOOM = 5, N_CHOICES = 6 };

/* Thirteen bytes, so that states stand apart. */
typedef struct told {
    char steps, episode, doomed;
    unsigned char rest[10];
} told;

static inline int told_observe(const void *config, const void *state, double *obs)
{
    const told *s = (const told *)state;
    (void)config;
    obs[0] = s->episode;
    obs[1] = s->steps;
    obs[2] = s->rest[8];
    return 0;
}

static inline int told_reset(const void *config, void *state, double *obs, trpo_env_random *random)
{
    told *s = (told *)state;
    if (s->doomed) return 9;
    s->steps = 0;
    s->episode++;
    s->rest[8] = (unsigned char)trpo_env_uniform(random, 0, 256);
    return told_observe(config, state, obs);
}

static inline int told_step(const void *config, void *state, const double *act, double *obs,
                            double *rew, uint8_t *term, trpo_env_random *random)
{
    told *s = (told *)state;
    const int order = (int)act[0];
    (void)random;
    s->steps++;
    s->doomed = order == DOOM;
    *rew = order == BAD_REW ? NAN : s->steps;
    *term = order == END || order == DOOM;
    told_observe(config, state, obs);
    if (order == BAD_OBS) obs[1] = INFINITY;
    return order == FAIL ? 7 : 0;
}

static inline trpo_env told_env(int limit)
{
    static const int choices[] = {N_CHOICES, 2};
    trpo_env env;
    memset(&env, 0, sizeof env);
    env.version = TRPO_ENV_VERSION;
    env.struct_size = (int)sizeof env;
    env.name = "Told";
    env.state_bytes = sizeof(told);
    env.obs_size = 3;
    env.n_actions = 2;
    env.choices = choices;
    env.max_episode_steps = limit;
    env.reset = told_reset;
    env.step = told_step;
    env.observe = told_observe;
    return env;
}

/* ---- environments with their memory ---------------------------------------------------------- */

enum { E = 4 };

typedef struct world {
    trpo_env env;
    char *memory;
    trpo_envs *envs;
    trpo_env_outcome out;
    trpo_env_failure failure;
    double act[E * 2];
} world;

/* In memory of exactly the bytes asked for, at an odd address. */
static inline void world_place(world *w, uint64_t seed)
{
    const size_t bytes = trpo_envs_bytes(&w->env, E);
    w->memory = (char *)take(bytes + 1);
    w->envs = NULL;
    CHECK(bytes > 0);
    CHECK(trpo_envs_init(&w->envs, &w->env, E, seed, w->memory + 1, bytes) == TRPO_ENV_OK);
    if (w->envs == NULL) exit(2);
    w->out = trpo_envs_outcome(w->envs);
    memset(w->act, 0, sizeof w->act);
}

static inline void world_start(world *w, int limit)
{
    w->env = told_env(limit);
    world_place(w, 1);
    CHECK(trpo_envs_reset(w->envs, NULL, &w->failure) == TRPO_ENV_OK);
}

static inline void world_end(world *w) { free(w->memory); }

/* All go on, but environment e does as it is told. */
static inline int world_step(world *w, int e, int order, int autoreset)
{
    for (int i = 0; i < E; i++) w->act[2 * i] = i == e ? order : GO;
    return trpo_envs_step(w->envs, w->act, autoreset, 0, E, &w->failure);
}

static inline double seen(const world *w, int e, int i) { return w->out.obs[e * 3 + i]; }
static inline double seen_last(const world *w, int e, int i) { return w->out.final_obs[e * 3 + i]; }

/* One number for what the environments are. */
static inline uint64_t bits_of(const world *w)
{
    const size_t bytes = trpo_envs_save_bytes(w->envs);
    unsigned char *buffer = (unsigned char *)take(bytes);
    CHECK(trpo_envs_save(w->envs, buffer, bytes) == TRPO_ENV_OK);
    const uint64_t bits = more_bits(NO_BITS, buffer, bytes);
    free(buffer);
    return bits;
}

#endif
