/* Environments as bytes, and back.
 *
 *     "TENV" and the format's number | name, sizes | states, streams, outcomes, masks if there are
 *     any, phases | a checksum (FNV-1a, 64 bits) of all before it
 *
 * Loading checks everything before it changes anything. */
#include "envs.h"

#include <string.h>

enum { FORMAT = 1, N_MEANING = 6 };

/* FNV-1a, 64 bits, over some more bytes. */
static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t count)
{
    const unsigned char *byte = (const unsigned char *)bytes;
    for (size_t i = 0; i < count; i++) hash = (hash ^ byte[i]) * 1099511628211u;
    return hash;
}

static const uint64_t NOTHING_HASHED = 14695981039346656037u;

/* What must agree for the bytes to mean the same. */
static void meaning(uint64_t values[N_MEANING], const trpo_envs *w)
{
    const trpo_env *env = w->env;
    values[0] = (uint64_t)FORMAT << 32 | 0x564E4554u; /* "TENV" */
    values[1] = hash_bytes(NOTHING_HASHED, env->name, strlen(env->name));
    values[2] = (uint64_t)w->E;
    values[3] = (uint64_t)env->state_bytes;
    values[4] = (uint64_t)env->obs_size;
    values[5] = (uint64_t)w->saved_bytes;
}

size_t trpo_envs_save_bytes(const trpo_envs *w)
{
    if (w->env->close != NULL) return 0;
    return N_MEANING * sizeof(uint64_t) + w->saved_bytes + sizeof(uint64_t);
}

int trpo_envs_save(const trpo_envs *w, void *buffer, size_t bytes)
{
    const size_t needed = trpo_envs_save_bytes(w), head = N_MEANING * sizeof(uint64_t);
    char *to = (char *)buffer;
    uint64_t values[N_MEANING], sum;
    if (needed == 0) return TRPO_ENV_ERR_NONE;
    if (buffer == NULL || bytes < needed) return TRPO_ENV_ERR_MEMORY;
    meaning(values, w);
    memcpy(to, values, head);
    memcpy(to + head, w->saved, w->saved_bytes);
    sum = hash_bytes(NOTHING_HASHED, buffer, needed - sizeof sum);
    memcpy(to + needed - sizeof sum, &sum, sizeof sum);
    return TRPO_ENV_OK;
}

int trpo_envs_load(trpo_envs *w, const void *buffer, size_t bytes)
{
    const size_t needed = trpo_envs_save_bytes(w), head = N_MEANING * sizeof(uint64_t);
    const char *from = (const char *)buffer;
    uint64_t values[N_MEANING], sum;
    if (needed == 0) return TRPO_ENV_ERR_NONE;
    if (buffer == NULL) return TRPO_ENV_ERR_MEMORY;
    if (bytes != needed) return TRPO_ENV_ERR_SAVED;
    meaning(values, w);
    memcpy(&sum, from + needed - sizeof sum, sizeof sum);
    if (memcmp(from, values, head) != 0) return TRPO_ENV_ERR_SAVED;
    if (sum != hash_bytes(NOTHING_HASHED, buffer, needed - sizeof sum)) return TRPO_ENV_ERR_SAVED;
    memcpy(w->saved, from + head, w->saved_bytes);
    return TRPO_ENV_OK;
}
