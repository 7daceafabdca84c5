/* Format 2, the bytes of earlier versions, to load but not to write:
 *
 *     "TRPO" and the format number | settings that determine the arrays' meaning | the arrays, in
 *     the order of trpo_state_field | a checksum (FNV-1a, 64 bits) of everything before it
 *
 * in the machine's byte order. The settings are a signature, so that only the same ones match. */
#include "file.h"

#include <string.h>

enum { N_SIGNATURE = 6, HEAD_BYTES = 8 + N_SIGNATURE * 8, CHECKSUM_BYTES = 8 };

/* Continues an FNV-1a hash, 64 bits, over more bytes. */
static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t count)
{
    const unsigned char *byte = (const unsigned char *)bytes;
    for (size_t i = 0; i < count; i++) hash = (hash ^ byte[i]) * 1099511628211u;
    return hash;
}

static uint64_t hash_of(const void *bytes, size_t count)
{
    return hash_bytes(14695981039346656037u, bytes, count);
}

/* Adds what defines the features, if there are any. */
static uint64_t hash_features(uint64_t hash, const trpo_settings *s)
{
    const double numbers[] = {(double)s->features, s->feature_bandwidth, (double)s->feature_degree};
    return s->features != TRPO_NO_FEATURES ? hash_bytes(hash, numbers, sizeof numbers) : hash;
}

/* The numbers that must match for the arrays to have the same meaning. */
static void signature(double *numbers, const trpo_agent *w)
{
    const trpo_model *policy = &w->policy, *critic = &w->critic;
    uint64_t hash = hash_of(policy->parts, (size_t)policy->D * sizeof(int));
    hash = hash_bytes(hash, policy->net.size, (size_t)(policy->net.L + 1) * sizeof(int));
    hash = hash_bytes(hash, critic->net.size, (size_t)(critic->net.L + 1) * sizeof(int));
    hash = hash_features(hash, &w->set);
    numbers[0] = w->set.distribution;
    numbers[1] = w->set.activation;
    numbers[2] = w->critic_method->features != NULL; /* its input size is in the hash */
    numbers[3] = w->set.normalize_observations;
    numbers[4] = w->set.normalize_rewards;
    numbers[5] = (double)(hash >> 11);
}

static void make_head(char *head, const trpo_agent *w)
{
    const int32_t format = TRPO_FORMAT_2;
    double numbers[N_SIGNATURE];
    signature(numbers, w);
    memcpy(head, "TRPO", 4);
    memcpy(head + 4, &format, 4);
    memcpy(head + 8, numbers, sizeof numbers);
}

static size_t format_2_bytes(trpo_agent *w)
{
    const char *name;
    size_t count, total = 0;
    for (int i = 0; trpo_state_field(w, i, &name, &count) != NULL; i++) total += count;
    return HEAD_BYTES + total * sizeof(double) + CHECKSUM_BYTES;
}

/* Whether the numbers at `from` (any alignment) are valid. */
static int are_valid(const trpo_field *f, const char *from)
{
    for (size_t i = 0; i < f->count; i++) {
        double x;
        memcpy(&x, from + i * sizeof x, sizeof x);
        if (!trpo_is_valid_number(f->range, i, x)) return 0;
    }
    return 1;
}

static int are_all_valid(const trpo_agent *w, const char *from)
{
    for (int i = 0; i < TRPO_N_STATE_FIELDS; i++) {
        const trpo_field f = trpo_field_at(w, i);
        if (!are_valid(&f, from)) return 0;
        from += f.count * sizeof(double);
    }
    return 1;
}

static int is_loadable(trpo_agent *w, const void *buffer, size_t bytes)
{
    char head[HEAD_BYTES];
    uint64_t sum;
    if (bytes != format_2_bytes(w)) return 0;
    make_head(head, w);
    memcpy(&sum, (const char *)buffer + bytes - CHECKSUM_BYTES, CHECKSUM_BYTES);
    return memcmp(head, buffer, HEAD_BYTES) == 0 &&
           hash_of(buffer, bytes - CHECKSUM_BYTES) == sum &&
           are_all_valid(w, (const char *)buffer + HEAD_BYTES);
}

int trpo_is_format_2(const void *buffer, size_t bytes)
{
    int32_t format;
    if (buffer == NULL || bytes < 8 || memcmp(buffer, "TRPO", 4) != 0) return 0;
    memcpy(&format, (const char *)buffer + 4, 4);
    return format == TRPO_FORMAT_2;
}

int trpo_load_format_2(trpo_agent *w, const void *buffer, size_t bytes)
{
    if (!is_loadable(w, buffer, bytes)) return TRPO_ERR_MODEL;
    const char *from = (const char *)buffer + HEAD_BYTES;
    for (int i = 0; i < TRPO_N_STATE_FIELDS; i++) {
        const trpo_field f = trpo_field_at(w, i);
        if (f.count > 0) memcpy(f.value, from, f.count * sizeof(double));
        from += f.count * sizeof(double);
    }
    return trpo_refresh(w);
}
