/* Files between programs: settings are read from saved bytes, a policy loads without training and
 * with another number of environments, and what is loaded and saved again has the same bytes. */
#include "format_2.h"
#include "saved.h"

enum { MANY = 64 };

static saved saved_policy(const trpo_agent *agent)
{
    saved s = {NULL, trpo_save_policy_bytes(agent)};
    s.bytes = (unsigned char *)take(s.count);
    CHECK(trpo_save_policy(agent, s.bytes, s.count) == TRPO_OK);
    return s;
}

static int is_same(saved a, saved b)
{
    return a.count == b.count && memcmp(a.bytes, b.bytes, a.count) == 0;
}

/* An agent of every kind, with settings other than the defaults, trained for an update. */
static void start_trained(learner *l, int space, int critic)
{
    trpo_settings s;
    small_settings(&s, space, 2);
    s.critic = critic;
    s.features = space;
    s.n_features = 9;
    s.activation = TRPO_RELU;
    s.normalize_observations = s.normalize_rewards = 1;
    s.gamma = 0.9375;
    s.adaptive_damping = 7; /* on */
    s.seed = 0xFEDCBA9876543210u;
    learner_start(l, &s, NULL);
    learner_iterate(l, NULL);
}

static trpo_settings peeked(saved file, int *sizes)
{
    trpo_settings s;
    memset(&s, 0, sizeof s);
    CHECK(trpo_peek(file.bytes, file.count, &s, sizes, MANY) == TRPO_OK);
    return s;
}

/* ---- the same bytes again -------------------------------------------------------------------- */

static void bytes_are_the_same_again(int space, int critic)
{
    static const double low[] = {-1, -2}, high[] = {1, (double)INFINITY};
    learner original, other;
    int sizes[MANY];
    check_name("again, %s, critic %d", space_name(space), critic);
    start_trained(&original, space, critic);
    if (space == GAUSSIAN) CHECK(trpo_set_bounds(original.agent, low, high, TRPO_CLIP) == 0);
    const saved file = save(original.agent);
    trpo_settings s = peeked(file, sizes);
    CHECK(s.gamma == 0.9375 && s.critic == critic && s.n_envs == 4 && s.adaptive_damping == 1);
    CHECK(s.seed == 0xFEDCBA9876543210u && s.features == space && s.n_value_hidden == 2);
    CHECK(s.policy_hidden[1] == 6 && s.parts[0] == original.set.parts[0]);
    learner_start(&other, &s, NULL);
    CHECK(trpo_load(other.agent, file.bytes, file.count) == TRPO_OK);
    const saved again = save(other.agent);
    CHECK(is_same(file, again));
    other.world = original.world;
    learner_iterate(&original, NULL);
    learner_iterate(&other, NULL);
    CHECK(saved_bits(original.agent) == saved_bits(other.agent));
    free(again.bytes), free(file.bytes);
    learner_end(&other), learner_end(&original);
}

/* Adam's moments are there if there are any, whatever the critic is now. */
static void moments_are_kept(void)
{
    learner adam, other;
    trpo_settings s;
    size_t count;
    check_name("moments");
    start_trained(&adam, GAUSSIAN, TRPO_ADAM);
    s = adam.set;
    learner_start(&other, &s, NULL);
    CHECK(trpo_save_bytes(other.agent) == trpo_save_bytes(adam.agent)); /* also before training */
    learner_end(&other);
    s.critic = TRPO_KFAC_STEPS;
    learner_start(&other, &s, NULL);
    const saved file = save(adam.agent), without = save(other.agent);
    CHECK(trpo_load(other.agent, file.bytes, file.count) == TRPO_OK);
    const saved with = save(other.agent);
    const double *moments = state_field(other.agent, "adam_v", &count);
    CHECK(with.count > without.count + 16 * count && moments[0] > 0);
    CHECK(trpo_load(other.agent, without.bytes, without.count) == TRPO_OK);
    CHECK(moments[0] == 0 && trpo_save_bytes(other.agent) == without.count);
    free(file.bytes), free(without.bytes), free(with.bytes);
    learner_end(&other), learner_end(&adam);
}

/* ---- a policy alone -------------------------------------------------------------------------- */

static void a_policy_loads_for_another_number_of_environments(void)
{
    const trpo_real obs[OBS] = {1, -1, 2};
    trpo_real here[2], there[2];
    learner many, one;
    int sizes[MANY];
    size_t count;
    check_name("4 environments into 1");
    start_trained(&many, GAUSSIAN, TRPO_KFAC_STEPS);
    state_field(many.agent, "rew_running", &count)[0] = 5;
    const saved file = save(many.agent), policy = saved_policy(many.agent);
    trpo_settings s = peeked(policy, sizes);
    CHECK(s.n_envs == 1 && s.gamma == 0.99 && s.n_value_hidden == 0); /* the defaults */
    s = peeked(file, sizes);
    s.n_envs = 1;
    for (int all = 0; all < 2; all++) {
        const saved from = all ? file : policy;
        learner_start(&one, &s, NULL);
        CHECK(trpo_load(one.agent, policy.bytes, policy.count) == TRPO_ERR_SECTION);
        CHECK(strcmp(trpo_bad_saved(one.agent, policy.bytes, policy.count), "training") == 0);
        CHECK((all ? trpo_load : trpo_load_policy)(one.agent, from.bytes, from.count) == TRPO_OK);
        CHECK(trpo_predict(many.agent, here, obs, NULL, 1, 1) == TRPO_OK);
        CHECK(trpo_predict(one.agent, there, obs, NULL, 1, 1) == TRPO_OK);
        CHECK(here[0] == there[0] && here[1] == there[1]);
        CHECK(state_field(one.agent, "rew_running", &count)[0] == 0);
        learner_iterate(&one, NULL);
        learner_end(&one);
    }
    free(file.bytes), free(policy.bytes);
    learner_end(&many);
}

/* A loaded policy keeps the agent's random streams and its critic. */
static void only_the_policy_is_loaded(void)
{
    static const char *const kept[] = {"value_theta", "counters", "rew_running", "rew_m2"};
    learner from, to;
    size_t count;
    check_name("only the policy");
    start_trained(&from, CATEGORICAL, TRPO_KFAC_STEPS);
    trpo_settings s = from.set;
    s.seed = 3;
    learner_start(&to, &s, NULL);
    const saved policy = saved_policy(from.agent);
    uint64_t before = NO_BITS, after = NO_BITS;
    for (int i = 0; i < 4; i++) {
        const double *x = state_field(to.agent, kept[i], &count);
        before = more_bits(before, x, count * sizeof *x);
    }
    CHECK(trpo_load_policy(to.agent, policy.bytes, policy.count) == TRPO_OK);
    for (int i = 0; i < 4; i++) {
        const double *x = state_field(to.agent, kept[i], &count);
        after = more_bits(after, x, count * sizeof *x);
    }
    CHECK(before == after);
    double *a = copy_theta(from.agent, &count), *b = copy_theta(to.agent, &count);
    CHECK(memcmp(a, b, count * sizeof *a) == 0);
    state_field(to.agent, "value_theta", &count)[0] = (double)NAN; /* it diverged */
    CHECK(trpo_load_policy(to.agent, policy.bytes, policy.count) == TRPO_OK);
    free(a), free(b), free(policy.bytes);
    learner_end(&to), learner_end(&from);
}

/* ---- settings that are missing, newer or wrong ----------------------------------------------- */

/* Renames a field; the new name has as many characters. */
static saved renamed(const trpo_agent *agent, const char *name, const char *new_name)
{
    const saved file = save(agent);
    memcpy(file.bytes + saved_field(file.bytes, file.count, name) + 4, new_name, strlen(name));
    put_saved_checksums(file.bytes, file.count);
    return file;
}

/* Removes a field from the section `training`, which is the last. */
static saved without(const trpo_agent *agent, const char *name)
{
    saved file = save(agent);
    const size_t at = saved_field(file.bytes, file.count, name);
    const size_t end = saved_numbers(file.bytes, file.count, name) + 8;
    const size_t section = 16 + (size_t)saved_uint(file.bytes + 32, 8);
    memmove(file.bytes + at, file.bytes + end, file.count - end);
    file.count -= end - at;
    put_saved_uint(file.bytes + section + 16, file.count - section, 8);
    put_saved_uint(file.bytes + 8, file.count, 8);
    put_saved_checksums(file.bytes, file.count);
    return file;
}

static void check_both(learner *l, saved file, int status, const char *name)
{
    int sizes[MANY];
    trpo_settings s;
    const uint64_t before = saved_bits(l->agent);
    CHECK(trpo_load(l->agent, file.bytes, file.count) == status);
    CHECK(saved_bits(l->agent) == before);
    const char *culprit = trpo_bad_saved(l->agent, file.bytes, file.count);
    CHECK(culprit != NULL && strcmp(culprit, name) == 0);
    CHECK(trpo_peek(file.bytes, file.count, &s, sizes, MANY) == status);
    free(file.bytes);
}

static void settings_are_found_by_name(void)
{
    learner l;
    int sizes[MANY];
    check_name("settings by name");
    start_trained(&l, GAUSSIAN, TRPO_KFAC_STEPS);
    saved older = without(l.agent, "gamma"); /* as if it were a newer setting */
    CHECK(peeked(older, sizes).gamma == 0.99 && peeked(older, sizes).critic == TRPO_KFAC_STEPS);
    CHECK(trpo_load(l.agent, older.bytes, older.count) == TRPO_OK);
    free(older.bytes);
    check_both(&l, renamed(l.agent, "gamma", "gamme"), TRPO_ERR_NEWER, "training");
    check_both(&l, renamed(l.agent, "obs_mean", "obs_nean"), TRPO_ERR_NEWER, "policy");
    check_both(&l, renamed(l.agent, "obs_mean", "obs_size"), TRPO_ERR_MODEL, "obs_size");
    older = without(l.agent, "normalize_rewards"); /* its default is another */
    CHECK(trpo_load(l.agent, older.bytes, older.count) == TRPO_ERR_OTHER);
    free(older.bytes);
    older = without(l.agent, "damping_scale");
    CHECK(trpo_load(l.agent, older.bytes, older.count) == TRPO_ERR_MODEL);
    free(older.bytes);
    learner_end(&l);
}

static void impossible_settings_are_refused(void)
{
    static const double wrong[] = {-1, 1.5, (double)NAN};
    trpo_settings s;
    int sizes[MANY];
    learner l;
    check_name("impossible settings");
    start_trained(&l, CATEGORICAL, TRPO_KFAC_STEPS);
    for (int i = 0; i < 3; i++) {
        saved file = save(l.agent);
        put_saved_double(file.bytes, file.count, "gamma", 0, wrong[i]);
        put_saved_checksums(file.bytes, file.count);
        CHECK(trpo_peek(file.bytes, file.count, &s, sizes, MANY) == TRPO_ERR_MODEL);
        free(file.bytes);
    }
    saved file = save(l.agent);
    s.obs_size = 77;
    CHECK(trpo_peek(file.bytes, file.count, &s, sizes, 4) == TRPO_ERR_MEMORY);
    CHECK(s.obs_size == 77);
    put_saved_uint(file.bytes + saved_numbers(file.bytes, file.count, "parts"), 0, 4);
    put_saved_checksums(file.bytes, file.count);
    CHECK(trpo_peek(file.bytes, file.count, &s, sizes, MANY) == TRPO_ERR_MODEL);
    CHECK(trpo_load(l.agent, file.bytes, file.count) == TRPO_ERR_OTHER);
    free(file.bytes);
    learner_end(&l);
}

/* ---- sections of the host -------------------------------------------------------------------- */

static void sections_are_added_and_skipped(void)
{
    static const char data[] = "17 bytes of data";
    learner l;
    size_t found, count;
    check_name("sections");
    start_trained(&l, GAUSSIAN, TRPO_KFAC_STEPS);
    const saved file = save(l.agent);
    const size_t room = file.count + trpo_section_bytes(sizeof data) + trpo_section_bytes(0);
    unsigned char *all = (unsigned char *)take(room);
    memcpy(all, file.bytes, count = file.count);
    CHECK(trpo_add_section(all, &count, count + 8, "mine", data, 17) == TRPO_ERR_MEMORY);
    CHECK(trpo_add_section(all, &count, room, "policy", data, 17) == TRPO_ERR_SECTION);
    CHECK(trpo_add_section(all, &count, room, "", data, 17) == TRPO_ERR_SECTION);
    CHECK(trpo_add_section(all, &count, room, "12345678901234567", data, 1) == TRPO_ERR_SECTION);
    CHECK(count == file.count && memcmp(all, file.bytes, count) == 0);
    CHECK(trpo_add_section(all, &count, room, "mine", data, sizeof data) == TRPO_OK);
    CHECK(trpo_add_section(all, &count, room, "mine", data, 0) == TRPO_ERR_SECTION);
    CHECK(trpo_add_section(all, &count, room, "1234567890123456", NULL, 0) == TRPO_OK);
    CHECK(count == room && trpo_load(l.agent, all, count) == TRPO_OK);
    const void *back = trpo_find_section(all, count, "mine", &found);
    CHECK(back != NULL && found == sizeof data && memcmp(back, data, found) == 0);
    CHECK(trpo_find_section(all, count, "1234567890123456", &found) != NULL && found == 0);
    CHECK(trpo_find_section(all, count, "policy", &found) == NULL);
    unsigned char *copy = (unsigned char *)take(room);
    size_t copied = file.count;
    memcpy(copy, file.bytes, copied);
    CHECK(trpo_copy_sections(copy, &copied, room - 1, all, count) == TRPO_ERR_MEMORY);
    CHECK(trpo_copy_sections(copy, &copied, room, all, count) == TRPO_OK);
    CHECK(copied == count && memcmp(copy, all, count) == 0);
    CHECK(trpo_copy_sections(copy, &copied, room, all, count) == TRPO_OK && copied == count);
    free(copy);
    all[count - 1] ^= 1; /* damage in a section that nobody reads */
    CHECK(trpo_load(l.agent, all, count) == TRPO_ERR_MODEL);
    CHECK(trpo_find_section(all, count, "mine", &found) == NULL);
    free(all), free(file.bytes);
    learner_end(&l);
}

/* There are at most 64, so that no call makes bytes that do not load. */
static void sections_are_not_too_many(void)
{
    char name[16];
    learner l;
    check_name("many sections");
    start_trained(&l, GAUSSIAN, TRPO_KFAC_STEPS);
    const saved file = save(l.agent);
    const size_t room = file.count + 63 * trpo_section_bytes(1);
    unsigned char *all = (unsigned char *)take(room), *other = (unsigned char *)take(room);
    size_t count = file.count, other_count = file.count;
    memcpy(all, file.bytes, count), memcpy(other, file.bytes, count);
    for (int i = 2; i < 64; i++) {
        snprintf(name, sizeof name, "%d", i);
        CHECK(trpo_add_section(all, &count, room, name, name, 1) == TRPO_OK);
    }
    CHECK(trpo_add_section(all, &count, room, "more", name, 1) == TRPO_ERR_SECTION);
    CHECK(trpo_add_section(other, &other_count, room, "more", name, 1) == TRPO_OK);
    const size_t before = other_count;
    CHECK(trpo_copy_sections(other, &other_count, room, all, count) == TRPO_ERR_SECTION);
    CHECK(other_count == before && trpo_load(l.agent, other, before) == TRPO_OK);
    CHECK(trpo_load(l.agent, all, count) == TRPO_OK);
    free(all), free(other), free(file.bytes);
    learner_end(&l);
}

/* ---- format 2 -------------------------------------------------------------------------------- */

static void bytes_of_earlier_versions_load(void)
{
    const uint16_t one = 1;
    unsigned char damaged[sizeof format_2];
    trpo_settings s;
    learner l;
    int sizes[MANY];
    size_t count, at = 56;
    const char *name;
    check_name("format 2");
    if (*(const unsigned char *)&one == 0) return; /* it is in the machine's byte order */
    small_settings(&s, CATEGORICAL, 0);
    s.normalize_observations = 1;
    learner_start(&l, &s, NULL);
    CHECK(trpo_peek(format_2, sizeof format_2, &s, sizes, MANY) == TRPO_ERR_SECTION);
    CHECK(trpo_load_policy(l.agent, format_2, sizeof format_2) == TRPO_ERR_SECTION);
    memcpy(damaged, format_2, sizeof damaged);
    damaged[100] ^= 1;
    CHECK(trpo_load(l.agent, damaged, sizeof damaged) == TRPO_ERR_MODEL);
    CHECK(trpo_load(l.agent, format_2, sizeof format_2) == TRPO_OK);
    for (int i = 0; trpo_state_field(l.agent, i, &name, &count) != NULL; i++) {
        CHECK(memcmp(trpo_state_field(l.agent, i, &name, &count), format_2 + at, 8 * count) == 0);
        at += 8 * count;
    }
    CHECK(at + 8 == sizeof format_2);
    learner_end(&l);
    small_settings(&s, CATEGORICAL, 0);
    learner_start(&l, &s, NULL); /* another model */
    CHECK(trpo_load(l.agent, format_2, sizeof format_2) == TRPO_ERR_MODEL);
    learner_end(&l);
}

static void every_status_has_words(void)
{
    for (int status = TRPO_ERR_SECTION; status <= TRPO_ERR_FOREIGN; status++)
        CHECK(strcmp(trpo_status_text(status), "unknown status") != 0);
}

int main(void)
{
    for (int space = 0; space < N_SPACES; space++)
        for (int critic = 0; critic < N_CRITICS; critic++)
            bytes_are_the_same_again(space, critic);
    moments_are_kept();
    a_policy_loads_for_another_number_of_environments();
    only_the_policy_is_loaded();
    settings_are_found_by_name();
    impossible_settings_are_refused();
    sections_are_added_and_skipped();
    sections_are_not_too_many();
    bytes_of_earlier_versions_load();
    every_status_has_words();
    return check_result();
}
