/* The list of built-in environments. To add one: its file, its name in envs.h, a line here. */
#include "envs.h"

#include <string.h>

static const trpo_env *const BUILTIN[] = {
    &trpo_env_cartpole,
    &trpo_env_acrobot,
    &trpo_env_mountain_car,
    &trpo_env_mountain_car_continuous,
    &trpo_env_pendulum,
};

enum { N_BUILTIN = sizeof BUILTIN / sizeof *BUILTIN };

const trpo_env *trpo_env_builtin(int i)
{
    return i >= 0 && i < N_BUILTIN ? BUILTIN[i] : NULL;
}

const trpo_env *trpo_env_named(const char *name)
{
    for (int i = 0; i < N_BUILTIN; i++)
        if (strcmp(BUILTIN[i]->name, name) == 0) return BUILTIN[i];
    return NULL;
}
