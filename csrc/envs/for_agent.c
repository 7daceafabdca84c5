/* An agent's settings for an environment. Here rather than in core/, which links without envs/. */
#include "envs.h"

#include "../include/trpo.h"

int trpo_settings_for_env(trpo_settings *settings, const trpo_env *env)
{
    if (trpo_env_bad_field(env) != NULL)
        return trpo_env_is_readable(env) ? TRPO_ENV_ERR_SPEC : TRPO_ENV_ERR_VERSION;
    settings->obs_size = env->obs_size;
    settings->distribution = env->choices != NULL ? TRPO_CATEGORICAL : TRPO_GAUSSIAN;
    settings->parts = env->choices;
    settings->n_parts = env->n_actions;
    return TRPO_ENV_OK;
}
