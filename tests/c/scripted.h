/* Environments for tests, whose simulator misbehaves as the action says. */
#ifndef TRPO_TESTS_SCRIPTED_H
#define TRPO_TESTS_SCRIPTED_H

#include "check.h"

#include "../../csrc/include/trpo_env.h"

/* ---- a simulator controlled by its actions --------------------------------------------------- */

enum { GO = 0, END = 1, FAIL = 2, BAD_OBS = 3, BAD_REW = 4, DOOM = 5, N_CHOICES = 6 };

/* Thirteen bytes, so that there is padding between states. */
typedef struct scripted {
    char steps, episode, doomed;
    unsigned char rest[10];
} scripted;

static inline int scripted_observe(const void *config, const void *state, double *obs)
{
    const scripted *s = (const scripted *)state;
    (void)config;
    obs[0] = s->episode;
    obs[1] = s->steps;
    obs[2] = s->rest[8];
    return 0;
}

static inline int scripted_reset(const void *config, void *state, double *obs,
                                 trpo_env_random *random)
{
    scripted *s = (scripted *)state;
    if (s->doomed) return 9;
    s->steps = 0;
    s->episode++;
    s->rest[8] = (unsigned char)trpo_env_uniform(random, 0, 256);
    return scripted_observe(config, state, obs);
}

static inline int scripted_step(const void *config, void *state, const double *act, double *obs,
                                double *rew, uint8_t *term, trpo_env_random *random)
{
    scripted *s = (scripted *)state;
    const int order = (int)act[0];
    (void)random;
    s->steps++;
    s->doomed = order == DOOM;
    *rew = order == BAD_REW ? NAN : s->steps;
    *term = order == END || order == DOOM;
    scripted_observe(config, state, obs);
    if (order == BAD_OBS) obs[1] = INFINITY;
    return order == FAIL ? 7 : 0;
}

static inline trpo_env scripted_env(int limit)
{
    static const int choices[] = {N_CHOICES, 2};
    trpo_env env;
    memset(&env, 0, sizeof env);
    env.version = TRPO_ENV_VERSION;
    env.struct_size = (int)sizeof env;
    env.name = "Scripted";
    env.state_bytes = sizeof(scripted);
    env.obs_size = 3;
    env.n_actions = 2;
    env.choices = choices;
    env.max_episode_steps = limit;
    env.reset = scripted_reset;
    env.step = scripted_step;
    env.observe = scripted_observe;
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

/* In memory of exactly trpo_envs_bytes, at an odd address. */
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
    w->env = scripted_env(limit);
    world_place(w, 1);
    CHECK(trpo_envs_reset(w->envs, NULL, &w->failure) == TRPO_ENV_OK);
}

static inline void world_end(world *w) { free(w->memory); }

/* Steps all environments with GO, but environment e with `order`. */
static inline int world_step(world *w, int e, int order, int autoreset)
{
    for (int i = 0; i < E; i++) w->act[2 * i] = i == e ? order : GO;
    return trpo_envs_step(w->envs, w->act, autoreset, 0, E, &w->failure);
}

static inline double obs_at(const world *w, int e, int i) { return w->out.obs[e * 3 + i]; }
static inline double final_at(const world *w, int e, int i) { return w->out.final_obs[e * 3 + i]; }

/* A hash of the environments' complete state. */
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
