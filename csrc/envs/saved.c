/* Saving environments to bytes, and loading them.
 *
 *     "TENV" and the format number | name, sizes | states, streams, outcomes, masks if there are
 *     any, phases | a checksum (FNV-1a, 64 bits) of everything before it
 *
 * Loading checks everything before it changes anything: the checksum, and that each environment's
 * row is possible. Only the states, which are opaque, are not checked. */
#include "envs.h"

#include <math.h>
#include <string.h>

enum { FORMAT = 1, N_SIGNATURE = 6 };

/* Continues an FNV-1a hash, 64 bits, over more bytes. */
static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t count)
{
    const unsigned char *byte = (const unsigned char *)bytes;
    for (size_t i = 0; i < count; i++) hash = (hash ^ byte[i]) * 1099511628211u;
    return hash;
}

static const uint64_t FNV_OFFSET = 14695981039346656037u;

/* The numbers that must match for the bytes to have the same meaning. */
static void signature(uint64_t values[N_SIGNATURE], const trpo_envs *w)
{
    const trpo_env *env = w->env;
    values[0] = (uint64_t)FORMAT << 32 | 0x564E4554u; /* "TENV" */
    values[1] = hash_bytes(FNV_OFFSET, env->name, strlen(env->name));
    values[2] = (uint64_t)w->E;
    values[3] = (uint64_t)env->state_bytes;
    values[4] = (uint64_t)env->obs_size;
    values[5] = (uint64_t)w->saved_bytes;
}

size_t trpo_envs_save_bytes(const trpo_envs *w)
{
    if (w->env->close != NULL) return 0;
    return N_SIGNATURE * sizeof(uint64_t) + w->saved_bytes + sizeof(uint64_t);
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
    memcpy(to + head, w->saved, w->saved_bytes);
    sum = hash_bytes(FNV_OFFSET, buffer, needed - sizeof sum);
    memcpy(to + needed - sizeof sum, &sum, sizeof sum);
    return TRPO_ENV_OK;
}

/* ---- validation ------------------------------------------------------------------------------ */

/* More steps than any episode has, and far from the limits of a double or an int64_t. */
static const int64_t LONGEST = (int64_t)1 << 52;

/* An array's copy in the saved bytes: at the array's offset from w->saved. */
static const char *saved_copy(const trpo_envs *w, const char *saved, const void *array)
{
    return saved + ((const char *)array - w->saved);
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

/* Whether the mask is valid, and the one that the environment computes for the saved state. */
static int has_valid_mask(trpo_envs *w, const char *saved, int e, int phase)
{
    const trpo_env *env = w->env;
    const char *mask = saved_copy(w, saved, w->out.mask) + (size_t)e * w->A;
    memset(w->spare_mask, phase == TRPO_ENV_ENDED, w->A);
    if (phase == TRPO_ENV_RUNNING) {
        memcpy(w->spare_state, saved_copy(w, saved, trpo_envs_state(w, e)), w->stride);
        if (env->mask(env->config, w->spare_state, w->spare_mask) != 0) return 0;
    }
    return memcmp(mask, w->spare_mask, w->A) == 0 &&
           trpo_env_bad_component(env, w->spare_mask) == env->n_actions;
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
    return has_finite_obs(w, saved, e) && (w->A == 0 || has_valid_mask(w, saved, e, phase));
}

int trpo_envs_load(trpo_envs *w, const void *buffer, size_t bytes)
{
    const size_t needed = trpo_envs_save_bytes(w), head = N_SIGNATURE * sizeof(uint64_t);
    const char *from = (const char *)buffer;
    uint64_t values[N_SIGNATURE], sum;
    if (needed == 0) return TRPO_ENV_ERR_NONE;
    if (buffer == NULL) return TRPO_ENV_ERR_MEMORY;
    if (bytes != needed) return TRPO_ENV_ERR_SAVED;
    signature(values, w);
    memcpy(&sum, from + needed - sizeof sum, sizeof sum);
    if (memcmp(from, values, head) != 0) return TRPO_ENV_ERR_SAVED;
    if (sum != hash_bytes(FNV_OFFSET, buffer, needed - sizeof sum)) return TRPO_ENV_ERR_SAVED;
    for (int e = 0; e < w->E; e++)
        if (!is_valid_row(w, from + head, e)) return TRPO_ENV_ERR_SAVED;
    memcpy(w->saved, from + head, w->saved_bytes);
    return TRPO_ENV_OK;
}
