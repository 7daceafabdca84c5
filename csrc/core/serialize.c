/* The agent's persistent state: a list of named arrays of doubles, saved to and loaded from bytes.
 *
 *     "TRPO" and the format number | settings that determine the arrays' meaning | the arrays |
 *     a checksum (FNV-1a, 64 bits) of everything before it
 *
 * Loading checks everything before it changes anything: the checksum detects damage, and each
 * number must be in the `range` that training can reach. */
#include "work.h"

#include <string.h>

enum { FORMAT = 2, N_SIGNATURE = 6 };

/* The valid numbers of a field; all are finite. */
typedef enum field_range { ANY, NOT_NEGATIVE, COUNT, COUNTERS, SCALE } field_range;

typedef struct field {
    const char *name;
    double *value;
    size_t count;
    field_range range;
} field;

/* Field i of the state; count 0 after the last. */
static field field_at(const trpo_agent *w, int i)
{
    const size_t O = (size_t)w->set.obs_size, Pv = (size_t)w->critic.P;
    const field none = {NULL, NULL, 0, ANY};
    const field fields[] = {
        {"theta", w->policy.theta, (size_t)w->policy.P, ANY},
        {"value_theta", w->critic.theta, Pv, ANY},
        {"obs_count", w->obs_stat.count, 1, COUNT},
        {"obs_mean", w->obs_stat.mean, O, ANY},
        {"obs_m2", w->obs_stat.m2, O, NOT_NEGATIVE},
        {"rew_count", w->rew_stat.count, 1, COUNT},
        {"rew_mean", w->rew_stat.mean, 1, ANY},
        {"rew_m2", w->rew_stat.m2, 1, NOT_NEGATIVE},
        {"rew_running", w->rew_running, (size_t)w->set.n_envs, ANY},
        {"adam_m", w->adam_m, Pv, ANY},
        {"adam_v", w->adam_v, Pv, NOT_NEGATIVE},
        {"counters", w->counters, TRPO_N_COUNTERS, COUNTERS},
        {"damping_scale", w->damping_scale, 1, SCALE},
        {"features", w->features, (size_t)trpo_n_drawn(&w->set), ANY}, /* may have count 0 */
    };
    return i >= 0 && (size_t)i < sizeof fields / sizeof *fields ? fields[i] : none;
}

double *trpo_state_field(trpo_agent *w, int i, const char **name, size_t *count)
{
    const field f = field_at(w, i);
    if (f.count == 0) return NULL;
    *name = f.name;
    *count = f.count;
    return f.value;
}

static int is_count(double x, double max) { return x >= 0 && x <= max && x == floor(x); }

/* Counts are at most 2^52, more than any training reaches, so that they can still be increased. */
static int is_valid_number(field_range range, size_t i, double x)
{
    const double max = 4503599627370496.0, word_max = 4294967295.0;
    switch (range) {
    case NOT_NEGATIVE: return x >= 0 && isfinite(x);
    case COUNT: return is_count(x, max);
    case COUNTERS: return is_count(x, i <= TRPO_SEED_HIGH ? word_max : max);
    case SCALE: return x >= TRPO_LEAST_SCALE && x <= TRPO_LARGEST_SCALE;
    default: return isfinite(x);
    }
}

/* Whether the numbers at `from` (any alignment) are valid for the field. */
static int are_valid_numbers(const field *f, const char *from)
{
    for (size_t i = 0; i < f->count; i++) {
        double x;
        memcpy(&x, from + i * sizeof x, sizeof x);
        if (!is_valid_number(f->range, i, x)) return 0;
    }
    return 1;
}

/* Whether the state is valid: the agent's, or if `from` is given the one in those bytes. */
static int is_valid(const trpo_agent *w, const char *from)
{
    field f;
    for (int i = 0; (f = field_at(w, i)).count > 0; i++) {
        if (!are_valid_numbers(&f, from != NULL ? from : (const char *)f.value)) return 0;
        if (from != NULL) from += f.count * sizeof(double);
    }
    return 1;
}

int trpo_refresh(trpo_agent *w)
{
    w->t = w->open = w->drawn = w->evaluated = 0;
    for (int i = 0; i < w->policy.n_log_std; i++)
        w->policy.log_std[i] =
            trpo_clamp(w->policy.log_std[i], w->set.log_std_min, w->set.log_std_max);
    trpo_net_pack(w->k, &w->policy.net, w->policy.theta);
    trpo_net_pack(w->k, &w->critic.net, w->critic.theta);
    trpo_pack_features(w);
    return is_valid(w, NULL) ? TRPO_OK : TRPO_ERR_MODEL;
}

/* Continues an FNV-1a hash, 64 bits, over more bytes. */
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
    uint64_t hash = checksum(policy->parts, (size_t)policy->D * sizeof(int));
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

/* Cannot overflow: header and checksum included, it is less than the agent's own size. */
static size_t state_bytes(const trpo_agent *w)
{
    field f;
    size_t total = 0;
    for (int i = 0; (f = field_at(w, i)).count > 0; i++) total += f.count;
    return total * sizeof(double);
}

enum { HEADER_BYTES = 8 + N_SIGNATURE * 8, CHECKSUM_BYTES = 8 };

static void write_header(char *header, const trpo_agent *w)
{
    const int32_t format = FORMAT;
    double numbers[N_SIGNATURE];
    signature(numbers, w);
    memcpy(header, "TRPO", 4);
    memcpy(header + 4, &format, 4);
    memcpy(header + 8, numbers, sizeof numbers);
}

size_t trpo_save_bytes(const trpo_agent *w)
{
    return HEADER_BYTES + state_bytes(w) + CHECKSUM_BYTES;
}

int trpo_save(const trpo_agent *w, void *buffer, size_t bytes)
{
    char *to = (char *)buffer;
    field f;
    if (buffer == NULL || bytes < trpo_save_bytes(w)) return TRPO_ERR_MEMORY;
    if (!is_valid(w, NULL)) return TRPO_ERR_MODEL;
    write_header(to, w);
    to += HEADER_BYTES;
    for (int i = 0; (f = field_at(w, i)).count > 0; i++) {
        memcpy(to, f.value, f.count * sizeof(double));
        to += f.count * sizeof(double);
    }
    const uint64_t sum = checksum(buffer, (size_t)(to - (char *)buffer));
    memcpy(to, &sum, CHECKSUM_BYTES);
    return TRPO_OK;
}

static int is_loadable(const trpo_agent *w, const void *buffer, size_t bytes)
{
    char header[HEADER_BYTES];
    uint64_t sum;
    if (buffer == NULL || bytes != trpo_save_bytes(w)) return 0;
    write_header(header, w);
    memcpy(&sum, (const char *)buffer + bytes - CHECKSUM_BYTES, CHECKSUM_BYTES);
    return memcmp(header, buffer, HEADER_BYTES) == 0 &&
           checksum(buffer, bytes - CHECKSUM_BYTES) == sum &&
           is_valid(w, (const char *)buffer + HEADER_BYTES);
}

int trpo_load(trpo_agent *w, const void *buffer, size_t bytes)
{
    field f;
    if (!is_loadable(w, buffer, bytes)) return TRPO_ERR_MODEL;
    const char *from = (const char *)buffer + HEADER_BYTES;
    for (int i = 0; (f = field_at(w, i)).count > 0; i++) {
        memcpy(f.value, from, f.count * sizeof(double));
        from += f.count * sizeof(double);
    }
    return trpo_refresh(w);
}
