/* Environments for tests whose simulator owns memory: each holds one allocation from `open` to
 * `close`, counts the calls, and fails in the one that the test chooses. */
#ifndef TRPO_TESTS_HELD_H
#define TRPO_TESTS_HELD_H

#include "check.h"

#include "../../csrc/include/trpo_env.h"

typedef struct calls {
    int opens, closes, saves, loads;
    int bad_open, bad_save, bad_load; /* the call that fails, counting from 1; 0: none */
} calls;

static calls held_calls;

/* A point that drifts; its episode ends when it is far out. */
typedef struct point {
    double place, speed;
    double episodes; /* begun: outlives the episodes */
} point;

/* The state is a handle. */
typedef struct held {
    point *at;
} held;

static inline int held_open(const void *config, void *state)
{
    held *h = (held *)state;
    (void)config;
    CHECK(h->at == NULL); /* a zero state */
    if (++held_calls.opens == held_calls.bad_open) {
        memset(state, 0xAB, sizeof(held)); /* it may leave anything */
        return 4;
    }
    h->at = (point *)take(sizeof *h->at);
    memset(h->at, 0, sizeof *h->at);
    return 0;
}

static inline void held_close(const void *config, void *state)
{
    (void)config;
    held_calls.closes++;
    free(((held *)state)->at);
}

static inline int held_save(const void *config, const void *state, void *bytes)
{
    (void)config;
    const char *byte = (const char *)bytes;
    CHECK((uintptr_t)bytes % 16 == 0);
    for (size_t i = 0; i < sizeof(point); i++) CHECK(byte[i] == 0);
    memcpy(bytes, ((const held *)state)->at, sizeof(point));
    return ++held_calls.saves == held_calls.bad_save ? 5 : 0;
}

static inline int held_load(const void *config, void *state, const void *bytes)
{
    (void)config;
    CHECK((uintptr_t)bytes % 16 == 0);
    memcpy(((held *)state)->at, bytes, sizeof(point));
    return ++held_calls.loads == held_calls.bad_load ? 6 : 0;
}

static inline int point_observe(const point *p, double *obs)
{
    obs[0] = p->place;
    obs[1] = p->speed;
    return 0;
}

static inline int point_reset(point *p, double *obs, trpo_env_random *random)
{
    p->episodes++;
    p->place = trpo_env_uniform(random, -1, 1);
    p->speed = 0.01 * p->episodes;
    return point_observe(p, obs);
}

static inline int point_step(point *p, const double *act, double *obs, double *rew, uint8_t *term,
                             trpo_env_random *random)
{
    const double push = act[0] < -1 ? -1 : act[0] > 1 ? 1 : act[0];
    p->speed = 0.9 * p->speed + 0.1 * push + trpo_env_normal(random, 0, 0.05);
    p->place += p->speed;
    *rew = -p->place * p->place;
    *term = fabs(p->place) > 2;
    return point_observe(p, obs);
}

static inline int held_reset(const void *config, void *state, double *obs, trpo_env_random *random)
{
    (void)config;
    return point_reset(((held *)state)->at, obs, random);
}

static inline int held_step(const void *config, void *state, const double *act, double *obs,
                            double *rew, uint8_t *term, trpo_env_random *random)
{
    (void)config;
    return point_step(((held *)state)->at, act, obs, rew, term, random);
}

static inline int held_observe(const void *config, const void *state, double *obs)
{
    (void)config;
    return point_observe(((const held *)state)->at, obs);
}

/* The same simulator, with the point in the state's bytes. */
static inline int bare_reset(const void *config, void *state, double *obs, trpo_env_random *random)
{
    (void)config;
    return point_reset((point *)state, obs, random);
}

static inline int bare_step(const void *config, void *state, const double *act, double *obs,
                            double *rew, uint8_t *term, trpo_env_random *random)
{
    (void)config;
    return point_step((point *)state, act, obs, rew, term, random);
}

static inline trpo_env bare_env(int limit)
{
    trpo_env env;
    memset(&env, 0, sizeof env);
    env.version = TRPO_ENV_VERSION;
    env.struct_size = (int)sizeof env;
    env.name = "Point";
    env.state_bytes = sizeof(point);
    env.obs_size = 2;
    env.n_actions = 1;
    env.max_episode_steps = limit;
    env.reset = bare_reset;
    env.step = bare_step;
    return env;
}

static inline trpo_env held_env(int limit)
{
    trpo_env env = bare_env(limit);
    env.state_bytes = sizeof(held);
    env.reset = held_reset;
    env.step = held_step;
    env.observe = held_observe;
    env.open = held_open;
    env.close = held_close;
    env.save_bytes = sizeof(point);
    env.save = held_save;
    env.load = held_load;
    return env;
}

#endif
