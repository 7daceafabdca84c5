/* Shared by the files of this folder: the batch of environments, and the built-in ones. */
#ifndef TRPO_ENVS_H
#define TRPO_ENVS_H

#include "../memory/strict.h" /* first */

#include "../include/trpo_env.h"
#include "../memory/arena.h"
#include "../memory/batch_calls.h"

/* An environment's phase: not open; open without an episode; in an episode; after its end. */
enum { TRPO_ENV_NEW = 0, TRPO_ENV_BROKEN = 1, TRPO_ENV_RUNNING = 2, TRPO_ENV_ENDED = 3 };

struct trpo_envs {
    const trpo_batch_calls *calls; /* first: trpo_collect calls these */
    const trpo_env *env;
    int E;
    size_t A;                  /* bytes of a mask; 0: the environment has no masks */
    size_t stride;             /* bytes from one state to the next */
    char *saved;               /* start of the memory that save and load copy: states first */
    size_t saved_bytes;        /* its size */
    char *state;               /* (E x stride) */
    trpo_env_random *random;   /* (E) */
    trpo_env_outcome out;      /* (E x O), (E) */
    uint8_t *phase;            /* (E) */
    /* not saved: */
    double *act;               /* (E x D) clipped actions */
    char *spare_state;         /* (save_bytes) the argument of `save` and `load`; without these */
                               /*     (stride) a state being loaded, as an argument of `mask`   */
    uint8_t *spare_mask;       /* (A) its result */
    trpo_env_failure *failure; /* (1) of the last save or load */
};

/* ---- older structs: of these no field beyond their size is read ------------------------------ */

typedef struct trpo_env_aligned {
    char first;
    trpo_env env;
} trpo_env_aligned;

/* The size that the struct had when it ended before the field at `offset`, with its padding. */
static inline int trpo_env_size_before(size_t offset)
{
    const size_t unit = offsetof(trpo_env_aligned, env); /* its alignment */
    return (int)((offset + unit - 1) / unit * unit);
}

/* Whether a struct has this version, and its current size or an older one. */
static inline int trpo_env_is_readable(const trpo_env *env)
{
    return env != NULL && env->version == TRPO_ENV_VERSION &&
           (env->struct_size == (int)sizeof(trpo_env) ||
            env->struct_size == trpo_env_size_before(offsetof(trpo_env, open)) ||
            env->struct_size == trpo_env_size_before(offsetof(trpo_env, mask)));
}

static inline int trpo_env_has_mask(const trpo_env *env)
{
    return env->struct_size >= trpo_env_size_before(offsetof(trpo_env, open)) && env->mask != NULL;
}

static inline int trpo_env_is_current(const trpo_env *env)
{
    return env->struct_size == (int)sizeof(trpo_env);
}

static inline int trpo_env_has_open(const trpo_env *env)
{
    return trpo_env_is_current(env) && env->open != NULL;
}

static inline int trpo_env_has_save(const trpo_env *env)
{
    return trpo_env_is_current(env) && env->save != NULL;
}

/* How a step ended: 0, TRPO_ENV_TERMINATED or TRPO_ENV_TRUNCATED. Structs from before the latter
 * terminate with any number. */
static inline int trpo_env_end(const trpo_env *env, uint8_t term)
{
    if (term == TRPO_ENV_TRUNCATED && trpo_env_is_current(env)) return TRPO_ENV_TRUNCATED;
    return term != 0 ? TRPO_ENV_TERMINATED : 0;
}

static inline double trpo_env_clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

#ifdef __cplusplus
extern "C" {
#endif

/* batch.c: the first component of mask (A) without an allowed choice, or with entries other than 0
 * and 1; else D */
int trpo_env_bad_component(const trpo_env *env, const uint8_t *mask);

/* batch.c: opens environment e, unless it is open; returns the status */
int trpo_envs_open(trpo_envs *envs, int e, trpo_env_failure *failure);

/* batch.c: closes environment e, if it is open */
void trpo_envs_close_one(trpo_envs *envs, int e);

extern const trpo_env trpo_env_cartpole, trpo_env_acrobot, trpo_env_mountain_car,
    trpo_env_mountain_car_continuous, trpo_env_pendulum;

#ifdef __cplusplus
}
#endif
#endif
