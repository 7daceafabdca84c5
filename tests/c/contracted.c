/* A simulator and its host, for tests/test_contraction.py: prints the statuses of trpo_envs_init
 * and trpo_envs_reset, and the bits of the observations, made by draws and trpo_math.h. */
#include <stdio.h>
#include <stdlib.h>

#include "../../csrc/include/trpo_env.h"

enum { O = 5, N_ENVS = 200 };

static int reset(const void *config, void *state, double *obs, trpo_env_random *random)
{
    (void)config, (void)state;
    obs[0] = trpo_env_normal(random, 0.3, 1.7);
    obs[1] = trpo_env_uniform(random, -1.3, 2.9);
    obs[2] = trpo_sin(3 * obs[1]);
    obs[3] = trpo_pow(obs[1] + 1.5, 0.7);
    obs[4] = trpo_expm1(obs[0]);
    return 0;
}

static int step(const void *config, void *state, const double *act, double *obs, double *rew,
                uint8_t *term, trpo_env_random *random)
{
    (void)act;
    *rew = 0;
    *term = 0;
    return reset(config, state, obs, random);
}

static trpo_env simulator(void)
{
    trpo_env env = *trpo_env_named("CartPole-v1");
    env.name = "Draws";
    env.obs_size = O;
    env.obs_low = env.obs_high = NULL;
    env.reset = reset;
    env.step = step;
    env.observe = NULL;
    return env;
}

static unsigned long bits_of(const trpo_envs *envs, const double *obs)
{
    uint64_t hash = 14695981039346656037u;
    for (int i = 0; i < trpo_envs_count(envs) * O; i++)
        hash = (hash ^ trpo_math_bits(obs[i])) * 1099511628211u;
    return (unsigned long)(hash >> 32);
}

int main(void)
{
    const trpo_env env = simulator();
    const size_t bytes = trpo_envs_bytes(&env, N_ENVS);
    void *memory = malloc(bytes);
    trpo_envs *envs;
    const int status = trpo_envs_init(&envs, &env, N_ENVS, 7, memory, bytes);
    printf("%s\n", trpo_env_status_text(status));
    if (status == TRPO_ENV_OK) {
        printf("%s\n", trpo_env_status_text(trpo_envs_reset(envs, NULL, NULL)));
        printf("%08lx\n", bits_of(envs, trpo_envs_outcome(envs).obs));
    }
    free(memory);
    return 0;
}
