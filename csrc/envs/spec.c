/* Validation of an environment's struct, and descriptions of statuses. */
#include "envs.h"

/* As TRPO_LARGEST_SIZE in trpo.h: sums of sizes fit in an int. */
enum { LARGEST_SIZE = 1 << 24 };
#define LARGEST_STATE ((size_t)1 << 30)

static int is_size(int size) { return size >= 1 && size <= LARGEST_SIZE; }

/* Both given or neither, low <= high, and no NaN. */
static int are_bounds(const double *low, const double *high, int count)
{
    if (low == NULL || high == NULL) return low == high;
    for (int i = 0; i < count; i++)
        if (!(low[i] <= high[i])) return 0;
    return 1;
}

static int are_choices(const int *choices, int count)
{
    for (int i = 0; choices != NULL && i < count; i++)
        if (!is_size(choices[i])) return 0;
    return 1;
}

static int are_options(const trpo_env *env)
{
    if (env->n_options == 0) return 1;
    if (!is_size(env->n_options) || env->options == NULL || env->config == NULL) return 0;
    for (int i = 0; i < env->n_options; i++)
        if (env->options[i].name == NULL) return 0;
    return 1;
}

/* The first invalid field of those that older structs do not have, or NULL. */
static const char *bad_recent_field(const trpo_env *env)
{
    if (trpo_env_has_mask(env) && env->choices == NULL) return "mask";
    if (!trpo_env_is_current(env)) return NULL;
    if (env->save_bytes > LARGEST_STATE) return "save_bytes";
    if ((env->save_bytes > 0) != (env->save != NULL)) return "save";
    return (env->save != NULL) != (env->load != NULL) ? "load" : NULL;
}

const char *trpo_env_bad_field(const trpo_env *env)
{
    if (env == NULL) return "trpo_env";
    if (env->version != TRPO_ENV_VERSION) return "version";
    if (!trpo_env_is_readable(env)) return "struct_size";
    if (env->name == NULL) return "name";
    if (env->state_bytes < 1 || env->state_bytes > LARGEST_STATE) return "state_bytes";
    if (!is_size(env->obs_size)) return "obs_size";
    if (!are_bounds(env->obs_low, env->obs_high, env->obs_size)) return "obs_low";
    if (!is_size(env->n_actions)) return "n_actions";
    if (!are_choices(env->choices, env->n_actions)) return "choices";
    if (!are_bounds(env->act_low, env->act_high, env->n_actions)) return "act_low";
    if (env->max_episode_steps < 0) return "max_episode_steps";
    if (!are_options(env)) return "options";
    if (env->reset == NULL) return "reset";
    if (env->step == NULL) return "step";
    return bad_recent_field(env);
}

const char *trpo_env_status_text(int status)
{
    switch (status) {
    case TRPO_ENV_OK: return "ok";
    case TRPO_ENV_ERR_VERSION: return "the environment was built for another version of trpo_env.h";
    case TRPO_ENV_ERR_BUILD:
        return "compiled with contraction, which changes results: omit -ffp-contract=fast";
    case TRPO_ENV_ERR_SPEC: return "a field of the environment's struct is missing or invalid";
    case TRPO_ENV_ERR_MEMORY: return "memory or buffer is NULL or too small";
    case TRPO_ENV_ERR_FAILED: return "the environment returned an error";
    case TRPO_ENV_ERR_OBS: return "an observation is not finite";
    case TRPO_ENV_ERR_REW: return "a reward is not finite";
    case TRPO_ENV_ERR_ACT: return "an action is not finite or not a valid choice";
    case TRPO_ENV_ERR_ORDER: return "no episode is running: call reset first";
    case TRPO_ENV_ERR_SAVED: return "the saved bytes are damaged, or from different environments";
    case TRPO_ENV_ERR_NONE: return "the environment does not support this call";
    case TRPO_ENV_ERR_MASK:
        return "a mask forbids every choice, has entries other than 0 and 1, or failed";
    case TRPO_ENV_ERR_OPEN: return "the environment could not be opened";
    default: return "unknown status";
    }
}
