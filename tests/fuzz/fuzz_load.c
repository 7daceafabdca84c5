/* Saved bytes: for any, with valid checksums or not, trpo_load and trpo_load_policy either change
 * nothing, or the agent holds numbers that it could have saved, and keeps working. The other calls
 * that read them (trpo_files.h) return a status or something that works. */
#include "agent.h"

/* A copy of the saved bytes, which the caller frees. */
static unsigned char *saved_of(const trpo_agent *agent, size_t bytes)
{
    unsigned char *saved = ROOM(unsigned char, bytes);
    MUST(trpo_save(agent, saved, bytes) == TRPO_OK);
    return saved;
}

static void check_counts(trpo_agent *agent)
{
    const char *name;
    size_t count;
    const double *x;
    for (int i = 0; (x = trpo_state_field(agent, i, &name, &count)) != NULL; i++)
        for (size_t j = 0; j < count; j++) {
            MUST(isfinite(x[j]));
            if (strcmp(name, "counters") == 0) MUST(x[j] >= 0 && x[j] <= 4503599627370496.0);
        }
}

/* Makes an agent and a policy of the bytes, if they are valid and small. */
static void use(const unsigned char *saved, size_t count, input *in)
{
    int *sizes = ROOM(int, count / 4);
    trpo_settings s;
    trpo_policy *policy;
    trpo_real obs[64] = {0}, act[64];
    const size_t bytes = trpo_policy_bytes(saved, count, NULL);
    if (trpo_peek(saved, count, &s, sizes, count / 4) == TRPO_OK) {
        MUST(trpo_bad_setting(&s) == NULL);
        (void)trpo_bytes(&s, NULL);
    }
    if (bytes > 0 && bytes < 1u << 24) {
        void *memory = room(bytes);
        if (trpo_policy_init(&policy, saved, count, NULL, memory, bytes) == TRPO_OK &&
            trpo_policy_settings(policy)->obs_size <= 64 &&
            trpo_policy_settings(policy)->n_parts <= 64) {
            MUST(trpo_policy_act(policy, act, obs, NULL, next_of(in, 2), 1) == TRPO_OK);
            trpo_policy_to_env(policy, act, 1);
        }
        free(memory);
    }
    free(sizes);
}

static void add_a_section(const unsigned char *saved, size_t count, input *in)
{
    static const char *const names[] = {"environments", "policy", "", "a name that is too long"};
    const size_t size = (size_t)next_of(in, 20), all = count + 100;
    size_t used = count, found = 0;
    unsigned char *longer = ROOM(unsigned char, all);
    memcpy(longer, saved, count);
    const char *name = names[next_of(in, 4)];
    if (trpo_add_section(longer, &used, all, name, saved, size) == TRPO_OK) {
        MUST(used == count + trpo_section_bytes(size));
        const void *data = trpo_find_section(longer, used, name, &found);
        MUST(data != NULL && found == size && memcmp(data, saved, size) == 0);
    } else {
        MUST(used == count && memcmp(longer, saved, count) == 0);
    }
    free(longer);
}

static void load(trpo_agent *agent, input *in, size_t bytes)
{
    unsigned char *before = saved_of(agent, bytes), *given = saved_of(agent, bytes);
    const int is_right = next_of(in, 4) != 0, is_short = next_of(in, 16) == 0;
    const int is_policy = next_of(in, 2);
    damage(in, given, bytes);
    if (is_right) put_checksums(given, bytes);
    const size_t length = is_short ? next_word(in) % bytes : bytes;
    unsigned char *exact = ROOM(unsigned char, length);
    memcpy(exact, given, length);
    const char *name = trpo_bad_saved(agent, exact, length);
    const int status =
        is_policy ? trpo_load_policy(agent, exact, length) : trpo_load(agent, exact, length);
    MUST(status <= TRPO_OK && (is_policy || (name != NULL) == (status != TRPO_OK)));
    const size_t now = trpo_save_bytes(agent);
    unsigned char *after = saved_of(agent, now);
    if (status != TRPO_OK) MUST(now == bytes && memcmp(before, after, bytes) == 0);
    check_counts(agent);
    use(exact, length, in);
    add_a_section(exact, length, in);
    free(before), free(given), free(exact), free(after);
}

/* Any numbers in any fields. */
static void write_fields(trpo_agent *agent, input *in)
{
    for (int writes = next_of(in, 5); writes > 0; writes--) {
        const char *name;
        size_t count;
        double *x = trpo_state_field(agent, next_of(in, 16), &name, &count);
        const size_t place = next_word(in);
        if (x != NULL) x[place % count] = next_double(in);
    }
    const int status = trpo_refresh(agent);
    MUST(status == TRPO_OK || status == TRPO_ERR_MODEL);
    unsigned char *saved = ROOM(unsigned char, trpo_save_bytes(agent));
    MUST(trpo_save(agent, saved, trpo_save_bytes(agent)) == status);
    free(saved);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    trpo_settings s = small_kind(&in);
    trpo_agent *agent;
    void *memory = born(&agent, &s);
    row r = row_of(&s);
    if (next_of(&in, 2)) live(agent, &r, &in, &s);
    if (trpo_refresh(agent) == TRPO_OK) load(agent, &in, trpo_save_bytes(agent));
    live(agent, &r, &in, &s);
    write_fields(agent, &in);
    live(agent, &r, &in, &s);
    trpo_predict(agent, r.act, r.obs, NULL, next_of(&in, 2), s.n_envs);
    trpo_value(agent, r.val, r.obs, s.n_envs);
    row_end(&r);
    free(memory);
    return 0;
}
