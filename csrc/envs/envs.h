/* Shared by the files of this folder: the batch of environments, and the built-in ones. */
#ifndef TRPO_ENVS_H
#define TRPO_ENVS_H

#include "../memory/strict.h" /* first */

#include "../include/trpo_env.h"
#include "../memory/arena.h"
#include "../memory/batch_calls.h"

/* An environment's phase. */
enum { TRPO_ENV_NEW = 0, TRPO_ENV_BROKEN = 1, TRPO_ENV_RUNNING = 2, TRPO_ENV_ENDED = 3 };

struct trpo_envs {
    const trpo_batch_calls *calls; /* first: trpo_collect calls these */
    const trpo_env *env;
    int E;
    size_t A;                  /* bytes of a mask; 0: the environment has no masks */
    size_t stride;             /* bytes from one state to the next */
    char *saved;               /* start of the memory that save and load copy */
    size_t saved_bytes;        /* its size */
    char *state;               /* (E x stride) */
    trpo_env_random *random;   /* (E) */
    trpo_env_outcome out;      /* (E x O), (E) */
    uint8_t *phase;            /* (E) */
    /* not saved: */
    double *act;               /* (E x D) clipped actions */
    char *spare_state;         /* (stride) a state being loaded, as an argument of `mask` */
    uint8_t *spare_mask;       /* (A) its result */
};

/* Whether a struct has this version, and its current size or the older one without `mask`. Of other
 * structs no further field is read. */
static inline int trpo_env_is_readable(const trpo_env *env)
{
    return env != NULL && env->version == TRPO_ENV_VERSION &&
           (env->struct_size == (int)sizeof(trpo_env) ||
            env->struct_size == (int)offsetof(trpo_env, mask));
}

static inline int trpo_env_has_mask(const trpo_env *env)
{
    return env->struct_size == (int)sizeof(trpo_env) && env->mask != NULL;
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

extern const trpo_env trpo_env_cartpole, trpo_env_acrobot, trpo_env_mountain_car,
    trpo_env_mountain_car_continuous, trpo_env_pendulum;

#ifdef __cplusplus
}
#endif
#endif
