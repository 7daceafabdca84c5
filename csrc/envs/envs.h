/* What the files of this folder share: environments side by side, and the list of built-in ones. */
#ifndef TRPO_ENVS_H
#define TRPO_ENVS_H

#include "../include/trpo_env.h"
#include "../memory/arena.h"

/* Where an environment stands. */
enum { TRPO_ENV_NEW = 0, TRPO_ENV_BROKEN = 1, TRPO_ENV_RUNNING = 2, TRPO_ENV_ENDED = 3 };

struct trpo_envs {
    const trpo_env *env;
    int E;
    size_t A;                  /* bytes of a mask; 0: the environment has none */
    size_t stride;             /* bytes from one state to the next */
    char *saved;               /* where that begins which save and load copy, and its bytes: */
    size_t saved_bytes;
    char *state;               /* (E x stride) */
    trpo_env_random *random;   /* (E) */
    trpo_env_outcome out;      /* (E x O), (E) */
    uint8_t *phase;            /* (E) */
    /* not saved: */
    double *act;               /* (E x D) actions within their bounds */
    char *spare_state;         /* (stride) what is being loaded, looked at by `mask` */
    uint8_t *spare_mask;       /* (A) what it says */
};

/* Whether a struct is of this version, and of a size that it has or had: it ended once where `mask`
 * begins. Of any other nothing more is read. */
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

static inline double trpo_env_within(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

#ifdef __cplusplus
extern "C" {
#endif

/* batch.c: the first component of mask (A) that leaves no choice or is not of 0 and 1, else D */
int trpo_env_bad_component(const trpo_env *env, const uint8_t *mask);

extern const trpo_env trpo_env_cartpole, trpo_env_acrobot, trpo_env_mountain_car,
    trpo_env_mountain_car_continuous, trpo_env_pendulum;

#ifdef __cplusplus
}
#endif
#endif
