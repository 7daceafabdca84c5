/* The environment's struct as it was before `open`, `save` and `load`, for tests of libraries that
 * were built then. Never to be changed. */
#ifndef TRPO_ENV_BEFORE_OPEN_H
#define TRPO_ENV_BEFORE_OPEN_H

#include <stddef.h>
#include <stdint.h>

#define TRPO_ENV_VERSION 1

typedef struct trpo_env_random {
    uint64_t seed;
    uint64_t count;
    uint32_t env;
    uint32_t unused;
} trpo_env_random;

typedef struct trpo_env_option {
    const char *name;
    int of_reset;
} trpo_env_option;

typedef struct trpo_env {
    int version;
    int struct_size;
    const char *name;
    size_t state_bytes;

    int obs_size;
    const double *obs_low;
    const double *obs_high;

    int n_actions;
    const int *choices;
    const double *act_low;
    const double *act_high;

    int max_episode_steps;
    double reward_threshold;
    const void *config;

    int n_options;
    const trpo_env_option *options;

    int (*reset)(const void *config, void *state, double *obs, trpo_env_random *random);
    int (*step)(const void *config, void *state, const double *act, double *obs, double *rew,
                uint8_t *term, trpo_env_random *random);
    int (*observe)(const void *config, const void *state, double *obs);
    void (*close)(const void *config, void *state);
    int (*mask)(const void *config, const void *state, uint8_t *mask);
} trpo_env;

#endif
