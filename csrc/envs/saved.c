/* Saving environments to bytes, and loading them.
 *
 *     "TENV" and the format number | name, sizes | states, streams, outcomes, masks if there are
 *     any, phases | a checksum (FNV-1a, 64 bits) of everything before it
 *
 * Format 1 has the states' bytes. Format 2 has what the environment's `save` wrote for each state,
 * zeros for those that were not open.
 *
 * Loading checks everything before it changes anything: the checksum, and that each environment's
 * row is possible. Only the states, which are opaque, are not checked; in format 2 neither are
 * their masks until they are loaded. */
#include "envs.h"

#include <math.h>
#include <string.h>

enum { FORMAT_OF_STATES = 1, FORMAT_OF_SAVE = 2, N_SIGNATURE = 6 };

/* Continues an FNV-1a hash, 64 bits, over more bytes. */
static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t count)
{
    const unsigned char *byte = (const unsigned char *)bytes;
    for (size_t i = 0; i < count; i++) hash = (hash ^ byte[i]) * 1099511628211u;
    return hash;
}

static const uint64_t FNV_OFFSET = 14695981039346656037u;

/* Bytes of an environment's state where it is saved. */
static size_t state_size(const trpo_envs *w)
{
    return trpo_env_has_save(w->env) ? w->env->save_bytes : w->env->state_bytes;
}

/* Bytes of all states, with any padding after them; SIZE_MAX if no buffer can be so large. */
static size_t states_bytes(const trpo_envs *w)
{
    if (!trpo_env_has_save(w->env)) return (size_t)((char *)w->random - w->saved);
    const ptrdiff_t bytes = trpo_times(w->E, (ptrdiff_t)w->env->save_bytes);
    return bytes < PTRDIFF_MAX ? (size_t)bytes : SIZE_MAX;
}

/* Bytes of what follows the states: the arrays from w->random on. */
static size_t rest_bytes(const trpo_envs *w)
{
    return w->saved_bytes - (size_t)((char *)w->random - w->saved);
}

/* The numbers that must match for the bytes to have the same meaning. */
static void signature(uint64_t values[N_SIGNATURE], const trpo_envs *w)
{
    const trpo_env *env = w->env;
    const uint64_t format = trpo_env_has_save(env) ? FORMAT_OF_SAVE : FORMAT_OF_STATES;
    values[0] = format << 32 | 0x564E4554u; /* "TENV" */
    values[1] = hash_bytes(FNV_OFFSET, env->name, strlen(env->name));
    values[2] = (uint64_t)w->E;
    values[3] = (uint64_t)state_size(w);
    values[4] = (uint64_t)env->obs_size;
    values[5] = (uint64_t)(states_bytes(w) + rest_bytes(w));
}

/* Records which environment failed; returns the status. */
static int fail(const trpo_envs *w, int e, int status, int code)
{
    const trpo_env_failure what = {e, 0, code, 0, status};
    *w->failure = what;
    return status;
}

void trpo_envs_get_failure(const trpo_envs *w, trpo_env_failure *failure)
{
    *failure = *w->failure;
}

/* ---- saving ---------------------------------------------------------------------------------- */

size_t trpo_envs_save_bytes(const trpo_envs *w)
{
    const size_t others = (N_SIGNATURE + 1) * sizeof(uint64_t) + rest_bytes(w);
    const int has_resources = trpo_env_has_open(w->env) || w->env->close != NULL;
    if (has_resources && !trpo_env_has_save(w->env)) return 0;
    return states_bytes(w) <= SIZE_MAX - others ? states_bytes(w) + others : 0;
}

/* Writes all states. */
static int save_states(const trpo_envs *w, char *to)
{
    const trpo_env *env = w->env;
    if (!trpo_env_has_save(env)) {
        memcpy(to, w->saved, states_bytes(w));
        return TRPO_ENV_OK;
    }
    memset(to, 0, states_bytes(w));
    for (int e = 0; e < w->E; e++, to += env->save_bytes) {
        if (w->phase[e] == TRPO_ENV_NEW) continue;
        memset(w->spare_state, 0, env->save_bytes);
        const int code = env->save(env->config, w->state + (size_t)e * w->stride, w->spare_state);
        if (code != 0) return fail(w, e, TRPO_ENV_ERR_FAILED, code);
        memcpy(to, w->spare_state, env->save_bytes);
    }
    return TRPO_ENV_OK;
}

int trpo_envs_save(const trpo_envs *w, void *buffer, size_t bytes)
{
    const size_t needed = trpo_envs_save_bytes(w), head = N_SIGNATURE * sizeof(uint64_t);
    char *to = (char *)buffer;
    uint64_t values[N_SIGNATURE], sum;
    if (needed == 0) return TRPO_ENV_ERR_NONE;
    if (buffer == NULL || bytes < needed) return TRPO_ENV_ERR_MEMORY;
    signature(values, w);
    memcpy(to, values, head);
    const int status = save_states(w, to + head);
    if (status != TRPO_ENV_OK) return status;
    memcpy(to + head + states_bytes(w), w->random, rest_bytes(w));
    sum = hash_bytes(FNV_OFFSET, buffer, needed - sizeof sum);
    memcpy(to + needed - sizeof sum, &sum, sizeof sum);
    return TRPO_ENV_OK;
}

/* ---- validation ------------------------------------------------------------------------------ */

/* More steps than any episode has, and far from the limits of a double or an int64_t. */
static const int64_t LONGEST = (int64_t)1 << 52;

/* An array's copy in the saved bytes, which start with the states. */
static const char *saved_copy(const trpo_envs *w, const char *saved, const void *array)
{
    return saved + states_bytes(w) + ((const char *)array - (const char *)w->random);
}

/* Entry i of a saved array, at any alignment. */
static double number(const trpo_envs *w, const char *saved, const double *array, size_t i)
{
    double x;
    memcpy(&x, saved_copy(w, saved, array) + i * sizeof x, sizeof x);
    return x;
}

static int64_t saved_length(const trpo_envs *w, const char *saved, int e)
{
    int64_t length;
    memcpy(&length, saved_copy(w, saved, &w->out.episode_length[e]), sizeof length);
    return length;
}

/* Whether obs and final_obs are finite, as they are during an episode. */
static int has_finite_obs(const trpo_envs *w, const char *saved, int e)
{
    const size_t O = (size_t)w->env->obs_size, first = (size_t)e * O;
    for (size_t i = first; i < first + O; i++)
        if (!isfinite(number(w, saved, w->out.obs, i)) ||
            !isfinite(number(w, saved, w->out.final_obs, i)))
            return 0;
    return 1;
}

/* Whether the mask is valid, and the one that the environment computes for the state. */
static int has_valid_mask(trpo_envs *w, const char *saved, int e, const void *state)
{
    const trpo_env *env = w->env;
    const int phase = *saved_copy(w, saved, &w->phase[e]);
    const char *mask = saved_copy(w, saved, w->out.mask) + (size_t)e * w->A;
    memset(w->spare_mask, phase == TRPO_ENV_ENDED, w->A);
    if (phase == TRPO_ENV_RUNNING && env->mask(env->config, state, w->spare_mask) != 0) return 0;
    return memcmp(mask, w->spare_mask, w->A) == 0 &&
           trpo_env_bad_component(env, w->spare_mask) == env->n_actions;
}

/* The same of a state's saved bytes, which may be unaligned. */
static int has_mask_of_bytes(trpo_envs *w, const char *saved, int e)
{
    memcpy(w->spare_state, saved + (size_t)e * w->stride, w->stride);
    return has_valid_mask(w, saved, e, w->spare_state);
}

/* Whether environment e's row is possible. Without an episode its observations are arbitrary. */
static int is_valid_row(trpo_envs *w, const char *saved, int e)
{
    const int term = *saved_copy(w, saved, &w->out.term[e]);
    const int trunc = *saved_copy(w, saved, &w->out.trunc[e]);
    const int phase = *saved_copy(w, saved, &w->phase[e]), over = term | trunc;
    const int64_t length = saved_length(w, saved, e);
    if ((term | 1) != 1 || (trunc | 1) != 1 || length < 0 || length > LONGEST) return 0;
    if (!isfinite(number(w, saved, w->out.rew, (size_t)e))) return 0;
    if (isnan(number(w, saved, w->out.episode_return, (size_t)e))) return 0; /* may be infinite */
    if (phase == TRPO_ENV_NEW || phase == TRPO_ENV_BROKEN) return 1;
    if (phase != TRPO_ENV_RUNNING && phase != TRPO_ENV_ENDED) return 0;
    if ((phase == TRPO_ENV_ENDED && !over) || (over && length == 0)) return 0;
    if (!has_finite_obs(w, saved, e)) return 0;
    return w->A == 0 || trpo_env_has_save(w->env) || has_mask_of_bytes(w, saved, e);
}

/* ---- loading --------------------------------------------------------------------------------- */

/* Makes environment e what it was when saved: not open, or open in its saved state. */
static int load_state(trpo_envs *w, const char *saved, int e)
{
    const trpo_env *env = w->env;
    const int phase = *saved_copy(w, saved, &w->phase[e]);
    void *state = trpo_envs_state(w, e);
    if (phase == TRPO_ENV_NEW) {
        trpo_envs_close_one(w, e);
        return TRPO_ENV_OK;
    }
    const int status = trpo_envs_open(w, e, w->failure);
    if (status != TRPO_ENV_OK) return status;
    memcpy(w->spare_state, saved + (size_t)e * env->save_bytes, env->save_bytes);
    const int code = env->load(env->config, state, w->spare_state);
    if (code != 0) return fail(w, e, TRPO_ENV_ERR_FAILED, code);
    const int has_masks = w->A > 0 && phase != TRPO_ENV_BROKEN;
    return has_masks && !has_valid_mask(w, saved, e, state) ? TRPO_ENV_ERR_SAVED : TRPO_ENV_OK;
}

/* Loads all states. If one fails, ends all episodes. */
static int load_states(trpo_envs *w, const char *saved)
{
    int status = TRPO_ENV_OK;
    for (int e = 0; e < w->E && status == TRPO_ENV_OK; e++) status = load_state(w, saved, e);
    for (int e = 0; e < w->E && status != TRPO_ENV_OK; e++)
        if (w->phase[e] != TRPO_ENV_NEW) w->phase[e] = TRPO_ENV_BROKEN;
    return status;
}

/* Whether the bytes are of these environments, undamaged, and possible. */
static int is_valid(trpo_envs *w, const char *from, size_t bytes)
{
    const size_t head = N_SIGNATURE * sizeof(uint64_t);
    uint64_t values[N_SIGNATURE], sum;
    signature(values, w);
    memcpy(&sum, from + bytes - sizeof sum, sizeof sum);
    if (memcmp(from, values, head) != 0) return 0;
    if (sum != hash_bytes(FNV_OFFSET, from, bytes - sizeof sum)) return 0;
    for (int e = 0; e < w->E; e++)
        if (!is_valid_row(w, from + head, e)) return 0;
    return 1;
}

int trpo_envs_load(trpo_envs *w, const void *buffer, size_t bytes)
{
    const size_t needed = trpo_envs_save_bytes(w);
    const char *from = (const char *)buffer;
    if (needed == 0) return TRPO_ENV_ERR_NONE;
    if (buffer == NULL) return TRPO_ENV_ERR_MEMORY;
    if (bytes != needed || !is_valid(w, from, bytes)) return TRPO_ENV_ERR_SAVED;
    const char *saved = from + N_SIGNATURE * sizeof(uint64_t);
    if (trpo_env_has_save(w->env)) {
        const int status = load_states(w, saved);
        if (status != TRPO_ENV_OK) return status;
    } else {
        memcpy(w->saved, saved, states_bytes(w));
    }
    memcpy(w->random, saved + states_bytes(w), rest_bytes(w));
    return TRPO_ENV_OK;
}
