/* How trpo_collect reaches a batch of environments (include/trpo_env.h): the batch begins with a
 * pointer to these functions. So core/ links without envs/ in programs that have no such batch. */
#ifndef TRPO_BATCH_CALLS_H
#define TRPO_BATCH_CALLS_H

#include "../include/trpo_env.h"

typedef struct trpo_batch_calls {
    int (*count)(const trpo_envs *envs);
    const trpo_env *(*spec)(const trpo_envs *envs);
    trpo_env_outcome (*outcome)(trpo_envs *envs);
    int (*step)(trpo_envs *envs, const double *act, int autoreset, int first, int n,
                trpo_env_failure *failure);
} trpo_batch_calls;

static inline const trpo_batch_calls *trpo_calls_of(const trpo_envs *envs)
{
    return *(const trpo_batch_calls *const *)(const void *)envs;
}

#endif
