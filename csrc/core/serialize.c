/* The agent's lasting state: a list of named arrays of doubles, written to and read from bytes.
 *
 *     "TRPO" and the format's number | settings that decide the arrays' meaning | the arrays |
 *     a checksum (FNV-1a, 64 bits) of all before it
 *
 * Loading checks everything before it changes anything. */
#include "work.h"

#include <string.h>

enum { FORMAT = 2, N_MEANING = 6 };

double *trpo_state_field(trpo_agent *w, int i, const char **name, size_t *count)
{
    const size_t O = (size_t)w->set.obs_size, Pv = (size_t)w->critic.P;
    const struct field {
        const char *name;
        double *value;
        size_t count;
    } fields[] = {
        {"theta", w->policy.theta, (size_t)w->policy.P},
        {"value_theta", w->critic.theta, Pv},
        {"obs_count", w->obs_stat.count, 1},
        {"obs_mean", w->obs_stat.mean, O},
        {"obs_m2", w->obs_stat.m2, O},
        {"rew_count", w->rew_stat.count, 1},
        {"rew_mean", w->rew_stat.mean, 1},
        {"rew_m2", w->rew_stat.m2, 1},
        {"rew_running", w->rew_running, (size_t)w->set.n_envs},
        {"adam_m", w->adam_m, Pv},
        {"adam_v", w->adam_v, Pv},
        {"counters", w->counters, TRPO_N_COUNTERS},
        {"damping_scale", w->damping_scale, 1},
        {"features", w->features, (size_t)trpo_n_drawn(&w->set)}, /* the last: not everywhere */
    };
    if (i < 0 || (size_t)i >= sizeof fields / sizeof *fields || fields[i].count == 0) return NULL;
    *name = fields[i].name;
    *count = fields[i].count;
    return fields[i].value;
}

void trpo_refresh(trpo_agent *w)
{
    w->t = w->open = w->drawn = 0;
    for (int i = 0; i < w->policy.n_log_std; i++)
        w->policy.log_std[i] =
            trpo_within(w->policy.log_std[i], w->set.log_std_min, w->set.log_std_max);
    trpo_net_pack(w->k, &w->policy.net, w->policy.theta);
    trpo_net_pack(w->k, &w->critic.net, w->critic.theta);
    trpo_pack_features(w);
}

/* FNV-1a, 64 bits, over some more bytes. */
static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t count)
{
    const unsigned char *byte = (const unsigned char *)bytes;
    for (size_t i = 0; i < count; i++) hash = (hash ^ byte[i]) * 1099511628211u;
    return hash;
}

static uint64_t checksum(const void *bytes, size_t count)
{
    return hash_bytes(14695981039346656037u, bytes, count);
}

/* Of what the observations are features. */
static uint64_t hash_features(uint64_t hash, const trpo_settings *s)
{
    const double numbers[] = {(double)s->features, s->feature_bandwidth, (double)s->feature_degree};
    return s->features != TRPO_NO_FEATURES ? hash_bytes(hash, numbers, sizeof numbers) : hash;
}

/* What else must agree for the arrays to mean the same. */
static void meaning(double *numbers, const trpo_agent *w)
{
    const trpo_model *policy = &w->policy, *critic = &w->critic;
    uint64_t hash = checksum(policy->parts, (size_t)policy->D * sizeof(int));
    hash = hash_bytes(hash, policy->net.size, (size_t)(policy->net.L + 1) * sizeof(int));
    hash = hash_bytes(hash, critic->net.size, (size_t)(critic->net.L + 1) * sizeof(int));
    hash = hash_features(hash, &w->set);
    numbers[0] = w->set.distribution;
    numbers[1] = w->set.activation;
    numbers[2] = w->set.critic == TRPO_RIDGE;
    numbers[3] = w->set.normalize_observations;
    numbers[4] = w->set.normalize_rewards;
    numbers[5] = (double)(hash >> 11);
}

static size_t state_bytes(trpo_agent *w)
{
    const char *name;
    size_t count, total = 0;
    for (int i = 0; trpo_state_field(w, i, &name, &count) != NULL; i++) total += count;
    return total * sizeof(double);
}

enum { HEADER_BYTES = 8 + N_MEANING * 8, CHECKSUM_BYTES = 8 };

static void write_header(char *header, const trpo_agent *w)
{
    const int32_t format = FORMAT;
    double numbers[N_MEANING];
    meaning(numbers, w);
    memcpy(header, "TRPO", 4);
    memcpy(header + 4, &format, 4);
    memcpy(header + 8, numbers, sizeof numbers);
}

size_t trpo_save_bytes(const trpo_agent *w)
{
    return HEADER_BYTES + state_bytes((trpo_agent *)w) + CHECKSUM_BYTES;
}

int trpo_save(const trpo_agent *agent, void *buffer, size_t bytes)
{
    trpo_agent *w = (trpo_agent *)agent; /* fields are read, never written */
    char *to = (char *)buffer;
    const char *name;
    const double *value;
    size_t count;
    if (buffer == NULL || bytes < trpo_save_bytes(w)) return TRPO_ERR_MEMORY;
    write_header(to, w);
    to += HEADER_BYTES;
    for (int i = 0; (value = trpo_state_field(w, i, &name, &count)) != NULL; i++) {
        memcpy(to, value, count * sizeof(double));
        to += count * sizeof(double);
    }
    const uint64_t sum = checksum(buffer, (size_t)(to - (char *)buffer));
    memcpy(to, &sum, CHECKSUM_BYTES);
    return TRPO_OK;
}

static int is_mine(const trpo_agent *w, const void *buffer, size_t bytes)
{
    char header[HEADER_BYTES];
    uint64_t sum;
    if (buffer == NULL || bytes != trpo_save_bytes(w)) return 0;
    write_header(header, w);
    memcpy(&sum, (const char *)buffer + bytes - CHECKSUM_BYTES, CHECKSUM_BYTES);
    return memcmp(header, buffer, HEADER_BYTES) == 0 &&
           checksum(buffer, bytes - CHECKSUM_BYTES) == sum;
}

int trpo_load(trpo_agent *w, const void *buffer, size_t bytes)
{
    const char *name;
    double *value;
    size_t count;
    if (!is_mine(w, buffer, bytes)) return TRPO_ERR_MODEL;
    const char *from = (const char *)buffer + HEADER_BYTES;
    for (int i = 0; (value = trpo_state_field(w, i, &name, &count)) != NULL; i++) {
        memcpy(value, from, count * sizeof(double));
        from += count * sizeof(double);
    }
    trpo_refresh(w);
    return TRPO_OK;
}
