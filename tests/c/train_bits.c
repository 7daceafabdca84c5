/* Trains in each built-in environment and prints the bits of each agent, to compare builds of the
 * library: train_bits [INSTRUCTION_SET]. With TWO_FILES, of fasttrpo.h and fasttrpo.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef TWO_FILES
#include "fasttrpo.h"
#else
#include "../../csrc/include/trpo_env.h"
#include "../../csrc/include/trpo_pool.h"
#endif

enum { N_ENVS = 6, N_STEPS = 96, UPDATES = 3, SEED = 4 };

static void *take(size_t bytes)
{
    void *memory = bytes > 0 ? malloc(bytes) : NULL;
    if (memory == NULL) exit(2);
    return memory;
}

static void require(int ok)
{
    if (!ok) exit(1);
}

/* Another critic for each environment. */
static void describe(trpo_settings *s, const trpo_env *env, int critic)
{
    static const int hidden[] = {20, 9}, reals[] = {1};
    trpo_default_settings(s);
    s->obs_size = env->obs_size;
    s->distribution = env->choices != NULL ? TRPO_CATEGORICAL : TRPO_GAUSSIAN;
    s->parts = env->choices != NULL ? env->choices : reals;
    s->n_parts = env->n_actions;
    s->policy_hidden = s->value_hidden = hidden;
    s->n_policy_hidden = s->n_value_hidden = 2;
    s->n_envs = N_ENVS;
    s->n_steps = N_STEPS;
    s->normalize_observations = 1;
    s->critic = critic % TRPO_N_CRITICS;
    s->seed = SEED;
}

/* FNV-1a of the saved agent. */
static unsigned long long saved_bits(const trpo_agent *agent)
{
    unsigned long long bits = 14695981039346656037u;
    const size_t bytes = trpo_save_bytes(agent);
    unsigned char *saved = (unsigned char *)take(bytes);
    require(trpo_save(agent, saved, bytes) == TRPO_OK);
    for (size_t i = 0; i < bytes; i++) bits = (bits ^ saved[i]) * 1099511628211u;
    free(saved);
    return bits;
}

static void train(const trpo_env *env, int critic, const char *set, const trpo_executor *executor)
{
    trpo_settings s;
    trpo_agent *agent;
    trpo_envs *envs;
    describe(&s, env, critic);
    s.instruction_set = set;
    const size_t bytes = trpo_bytes(&s, executor), envs_bytes = trpo_envs_bytes(env, N_ENVS);
    void *memory = take(bytes), *envs_memory = take(envs_bytes);
    require(trpo_init(&agent, &s, executor, memory, bytes) == TRPO_OK);
    require(trpo_envs_init(&envs, env, N_ENVS, SEED, envs_memory, envs_bytes) == TRPO_ENV_OK);
    require(trpo_envs_reset(envs, NULL, NULL) == TRPO_ENV_OK);
    for (int i = 0; i < UPDATES; i++) {
        require(trpo_collect(agent, envs, N_STEPS, 0, NULL) == TRPO_OK);
        require(trpo_update(agent, NULL) >= 0);
    }
    printf("%s %016llx\n", env->name, saved_bits(agent));
    trpo_envs_close(envs);
    free(envs_memory);
    free(memory);
}

int main(int argc, char **argv)
{
    const char *set = argc > 1 ? argv[1] : NULL;
    const trpo_executor *executor = NULL;
#ifndef TRPO_NO_POOL
    trpo_pool *pool = trpo_pool_new(2);
    const trpo_executor threads = trpo_pool_executor(pool);
    executor = &threads;
#endif
    for (int i = 0; trpo_env_builtin(i) != NULL; i++) train(trpo_env_builtin(i), i, set, executor);
#ifndef TRPO_NO_POOL
    trpo_pool_free(pool);
#endif
    return 0;
}
