/* trpo_load, trpo_refresh: for any bytes, with a valid checksum or not, either nothing changes, or
 * the agent holds numbers that it could have saved, and keeps working. */
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

static void load(trpo_agent *agent, input *in, size_t bytes)
{
    unsigned char *before = saved_of(agent, bytes), *given = saved_of(agent, bytes);
    const int is_right = next_of(in, 4) != 0, is_short = next_of(in, 16) == 0;
    damage(in, given, bytes);
    if (is_right) put_checksum(given, bytes);
    const size_t length = is_short ? next_word(in) % bytes : bytes;
    unsigned char *exact = ROOM(unsigned char, length);
    memcpy(exact, given, length);
    const int status = trpo_load(agent, exact, length);
    MUST(status == TRPO_OK || status == TRPO_ERR_MODEL);
    unsigned char *after = saved_of(agent, bytes);
    if (status != TRPO_OK) MUST(memcmp(before, after, bytes) == 0);
    check_counts(agent);
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
