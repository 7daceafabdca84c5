/* Environments that own resources: opening, closing, saving and loading, and failures in each.
 * The sanitizers' build finds what leaks. */
#include "held.h"

enum { E = 3 };

typedef struct batch {
    trpo_env env;
    trpo_envs *envs;
    trpo_env_outcome out;
    trpo_env_failure failure;
    void *memory;
} batch;

static void batch_start(batch *b, trpo_env env)
{
    const calls none = {0, 0, 0, 0, 0, 0, 0};
    held_calls = none;
    b->env = env;
    const size_t bytes = trpo_envs_bytes(&b->env, E);
    b->memory = take(bytes);
    CHECK(trpo_envs_init(&b->envs, &b->env, E, 7, b->memory, bytes) == TRPO_ENV_OK);
    b->out = trpo_envs_outcome(b->envs);
}

static void batch_end(batch *b)
{
    trpo_envs_close(b->envs);
    free(b->memory);
}

static int batch_reset(batch *b) { return trpo_envs_reset(b->envs, NULL, &b->failure); }

/* Steps the environments in [first, first + n). */
static int batch_step(batch *b, int first, int n)
{
    const double act[E] = {0.5, -0.5, 0.25};
    return trpo_envs_step(b->envs, act, TRPO_ENV_SAME_STEP, first, n, &b->failure);
}

/* What save gives; the caller frees it. */
static unsigned char *saved_of(const batch *b, size_t *bytes)
{
    *bytes = trpo_envs_save_bytes(b->envs);
    unsigned char *saved = (unsigned char *)take(*bytes);
    CHECK(trpo_envs_save(b->envs, saved, *bytes) == TRPO_ENV_OK);
    return saved;
}

static int is_saved(const batch *b, const unsigned char *wanted)
{
    size_t bytes;
    unsigned char *saved = saved_of(b, &bytes);
    const int same = memcmp(saved, wanted, bytes) == 0;
    free(saved);
    return same;
}

/* Whether no environment has an episode, and all can begin one. */
static void check_no_episode(batch *b)
{
    for (int e = 0; e < E; e++) CHECK(batch_step(b, e, 1) == TRPO_ENV_ERR_ORDER);
    CHECK(batch_reset(b) == TRPO_ENV_OK);
    CHECK(batch_step(b, 0, E) == TRPO_ENV_OK);
}

/* ---- open and close -------------------------------------------------------------------------- */

static void environments_are_opened_once(void)
{
    batch b;
    check_name("opened once");
    batch_start(&b, held_env(2));
    CHECK(trpo_envs_observe(b.envs, 0, &b.failure) == TRPO_ENV_ERR_ORDER && held_calls.opens == 0);
    CHECK(batch_reset(&b) == TRPO_ENV_OK && held_calls.opens == E);
    for (int t = 0; t < 5; t++) CHECK(batch_step(&b, 0, E) == TRPO_ENV_OK);
    CHECK(batch_reset(&b) == TRPO_ENV_OK && held_calls.opens == E);
    CHECK(trpo_envs_observe(b.envs, 0, &b.failure) == TRPO_ENV_OK);
    trpo_envs_close(b.envs);
    trpo_envs_close(b.envs);
    CHECK(held_calls.closes == E);
    CHECK(trpo_envs_observe(b.envs, 0, NULL) == TRPO_ENV_ERR_ORDER);
    CHECK(batch_reset(&b) == TRPO_ENV_OK && held_calls.opens == 2 * E);
    batch_end(&b);
    CHECK(held_calls.closes == 2 * E);
}

static void a_failing_open_is_a_status(void)
{
    batch b;
    check_name("failing open");
    batch_start(&b, held_env(0));
    held_calls.bad_open = 2;
    CHECK(batch_reset(&b) == TRPO_ENV_ERR_OPEN);
    CHECK(b.failure.env == 1 && b.failure.step == 0 && b.failure.code == 4);
    CHECK(b.failure.status == TRPO_ENV_ERR_OPEN && held_calls.opens == 2);
    CHECK(batch_step(&b, 0, 1) == TRPO_ENV_OK);
    CHECK(batch_step(&b, 1, 1) == TRPO_ENV_ERR_ORDER);
    CHECK(batch_step(&b, 2, 1) == TRPO_ENV_ERR_ORDER);
    trpo_envs_close(b.envs);
    CHECK(held_calls.closes == 1); /* nothing to release in the one that failed */
    CHECK(batch_reset(&b) == TRPO_ENV_OK && batch_step(&b, 0, E) == TRPO_ENV_OK);
    batch_end(&b);
    CHECK(held_calls.closes == 1 + E);
}

/* ---- save and load --------------------------------------------------------------------------- */

static void loaded_environments_continue_bit_for_bit(void)
{
    batch a, b;
    size_t bytes;
    check_name("saving");
    batch_start(&a, held_env(4));
    batch_start(&b, held_env(4));
    CHECK(batch_reset(&a) == TRPO_ENV_OK);
    for (int t = 0; t < 6; t++) batch_step(&a, 0, E - t % 2);
    unsigned char *saved = saved_of(&a, &bytes);
    CHECK(trpo_envs_save(a.envs, saved, bytes - 1) == TRPO_ENV_ERR_MEMORY);
    CHECK(trpo_envs_load(b.envs, saved, bytes) == TRPO_ENV_OK); /* none was open */
    CHECK(held_calls.opens == 2 * E && held_calls.loads == E && held_calls.closes == 0);
    for (int t = 0; t < 10; t++) {
        CHECK(memcmp(a.out.obs, b.out.obs, E * 2 * sizeof(double)) == 0);
        CHECK(batch_step(&a, 0, E) == TRPO_ENV_OK && batch_step(&b, 0, E) == TRPO_ENV_OK);
    }
    CHECK(trpo_envs_load(b.envs, saved, bytes) == TRPO_ENV_OK); /* all were open */
    CHECK(held_calls.opens == 2 * E && held_calls.loads == 2 * E && is_saved(&b, saved));
    free(saved);
    batch_end(&a);
    batch_end(&b);
    CHECK(held_calls.closes == held_calls.opens);
}

static void environments_that_were_not_open_are_closed(void)
{
    const uint8_t first[E] = {1, 0, 0};
    batch a, b;
    size_t bytes;
    check_name("not open");
    batch_start(&a, held_env(0));
    batch_start(&b, held_env(0));
    CHECK(trpo_envs_reset(a.envs, first, NULL) == TRPO_ENV_OK);
    CHECK(batch_reset(&b) == TRPO_ENV_OK);
    unsigned char *saved = saved_of(&a, &bytes);
    CHECK(trpo_envs_load(b.envs, saved, bytes) == TRPO_ENV_OK);
    CHECK(held_calls.opens == 1 + E && held_calls.closes == E - 1 && is_saved(&b, saved));
    CHECK(batch_step(&b, 0, 1) == TRPO_ENV_OK && batch_step(&b, 1, 1) == TRPO_ENV_ERR_ORDER);
    free(saved);
    batch_end(&a);
    batch_end(&b);
    CHECK(held_calls.closes == held_calls.opens);
}

static int format_of(const unsigned char *saved)
{
    uint64_t first;
    memcpy(&first, saved, sizeof first);
    return (int)(first >> 32);
}

/* Damaged bytes, and those of the same simulator without resources. */
static void other_bytes_change_nothing(void)
{
    batch b, bare;
    size_t bytes, bare_bytes;
    check_name("other bytes");
    batch_start(&bare, bare_env(0));
    batch_start(&b, held_env(0));
    CHECK(batch_reset(&b) == TRPO_ENV_OK && batch_reset(&bare) == TRPO_ENV_OK);
    unsigned char *saved = saved_of(&b, &bytes), *others = saved_of(&bare, &bare_bytes);
    CHECK(format_of(saved) == 2 && format_of(others) == 1);
    CHECK(trpo_envs_load(b.envs, others, bare_bytes) == TRPO_ENV_ERR_SAVED);
    CHECK(trpo_envs_load(bare.envs, saved, bytes) == TRPO_ENV_ERR_SAVED);
    saved[bytes / 2] ^= 1;
    CHECK(trpo_envs_load(b.envs, saved, bytes) == TRPO_ENV_ERR_SAVED);
    CHECK(trpo_envs_load(b.envs, saved, bytes - 1) == TRPO_ENV_ERR_SAVED);
    saved[bytes / 2] ^= 1;
    CHECK(held_calls.loads == 0 && is_saved(&b, saved));
    free(saved);
    free(others);
    batch_end(&b);
    batch_end(&bare);
}

static void a_failing_save_changes_nothing(void)
{
    batch b;
    size_t bytes;
    check_name("failing save");
    batch_start(&b, held_env(0));
    CHECK(batch_reset(&b) == TRPO_ENV_OK);
    unsigned char *before = saved_of(&b, &bytes), *saved = (unsigned char *)take(bytes);
    held_calls.bad_save = E + 2;
    CHECK(trpo_envs_save(b.envs, saved, bytes) == TRPO_ENV_ERR_FAILED);
    trpo_envs_get_failure(b.envs, &b.failure);
    CHECK(b.failure.env == 1 && b.failure.code == 5 && b.failure.step == 0);
    CHECK(is_saved(&b, before) && batch_step(&b, 0, E) == TRPO_ENV_OK);
    free(before);
    free(saved);
    batch_end(&b);
}

static void a_failing_load_ends_all_episodes(void)
{
    for (int in_open = 0; in_open < 2; in_open++) {
        batch a, b;
        size_t bytes;
        check_name("failing %s", in_open ? "open in load" : "load");
        batch_start(&a, held_env(0));
        batch_start(&b, held_env(0));
        CHECK(batch_reset(&a) == TRPO_ENV_OK);
        if (!in_open) CHECK(batch_reset(&b) == TRPO_ENV_OK);
        unsigned char *saved = saved_of(&a, &bytes);
        *(in_open ? &held_calls.bad_open : &held_calls.bad_load) = in_open ? E + 2 : 2;
        CHECK(trpo_envs_load(b.envs, saved, bytes) ==
              (in_open ? TRPO_ENV_ERR_OPEN : TRPO_ENV_ERR_FAILED));
        trpo_envs_get_failure(b.envs, &b.failure);
        CHECK(b.failure.env == 1 && b.failure.code == (in_open ? 4 : 6));
        check_no_episode(&b);
        CHECK(trpo_envs_load(b.envs, saved, bytes) == TRPO_ENV_OK && is_saved(&b, saved));
        free(saved);
        batch_end(&a);
        batch_end(&b);
        CHECK(held_calls.closes == held_calls.opens - in_open);
    }
}

/* ---- masks ----------------------------------------------------------------------------------- */

/* Whether the second choice is allowed: where the point is on the right, or everywhere if config
 * says so. */
static int side_mask(const void *config, const void *state, uint8_t *mask)
{
    mask[0] = 1;
    mask[1] = *(const int *)config || ((const held *)state)->at->place > 0;
    return 0;
}

static void masks_are_checked_in_loaded_states(void)
{
    static const int choices[] = {2};
    const double act[E] = {0, 0, 0};
    int everywhere = 0;
    batch b;
    size_t bytes;
    check_name("masks");
    trpo_env env = held_env(0);
    env.choices = choices;
    env.mask = side_mask;
    env.config = &everywhere;
    batch_start(&b, env);
    CHECK(batch_reset(&b) == TRPO_ENV_OK);
    CHECK(trpo_envs_step(b.envs, act, TRPO_ENV_SAME_STEP, 0, E, NULL) == TRPO_ENV_OK);
    unsigned char *saved = saved_of(&b, &bytes);
    CHECK(trpo_envs_load(b.envs, saved, bytes) == TRPO_ENV_OK && is_saved(&b, saved));
    everywhere = 1; /* a simulator with other rules */
    CHECK(b.out.mask[1] + b.out.mask[3] + b.out.mask[5] < E);
    CHECK(trpo_envs_load(b.envs, saved, bytes) == TRPO_ENV_ERR_SAVED);
    CHECK(trpo_envs_step(b.envs, act, TRPO_ENV_SAME_STEP, 0, 1, NULL) == TRPO_ENV_ERR_ORDER);
    CHECK(batch_reset(&b) == TRPO_ENV_OK);
    free(saved);
    batch_end(&b);
}

/* ---- with an agent --------------------------------------------------------------------------- */

typedef struct trained {
    batch b;
    trpo_settings set;
    trpo_agent *agent;
    void *memory;
} trained;

static void trained_start(trained *t, trpo_env env)
{
    batch_start(&t->b, env);
    trpo_default_settings(&t->set);
    CHECK(trpo_settings_for_env(&t->set, &t->b.env) == TRPO_ENV_OK);
    t->set.n_envs = E;
    t->set.n_steps = 20;
    const size_t bytes = trpo_bytes(&t->set, NULL);
    t->memory = take(bytes);
    CHECK(trpo_init(&t->agent, &t->set, NULL, t->memory, bytes) == TRPO_OK);
}

static void trained_end(trained *t)
{
    batch_end(&t->b);
    free(t->memory);
}

static void iterate(trained *t, int updates)
{
    for (int i = 0; i < updates; i++) {
        CHECK(trpo_collect(t->agent, t->b.envs, 20, 0, &t->b.failure) == TRPO_OK);
        CHECK(trpo_update(t->agent, NULL) >= 0);
    }
}

/* A new agent in new environments, both from what the first two saved. */
static void resume(trained *from, trained *to)
{
    size_t bytes = trpo_save_bytes(from->agent);
    unsigned char *saved = (unsigned char *)take(bytes);
    trained_start(to, from->b.env);
    CHECK(trpo_save(from->agent, saved, bytes) == TRPO_OK);
    CHECK(trpo_load(to->agent, saved, bytes) == TRPO_OK);
    free(saved);
    saved = saved_of(&from->b, &bytes);
    CHECK(trpo_envs_load(to->b.envs, saved, bytes) == TRPO_ENV_OK);
    free(saved);
}

static void an_interrupted_training_has_the_same_bits(void)
{
    trained whole, first, rest, bare;
    check_name("interrupted");
    trained_start(&whole, held_env(11));
    trained_start(&first, held_env(11));
    trained_start(&bare, bare_env(11));
    CHECK(batch_reset(&whole.b) == TRPO_ENV_OK && batch_reset(&first.b) == TRPO_ENV_OK);
    CHECK(batch_reset(&bare.b) == TRPO_ENV_OK);
    iterate(&whole, 4);
    iterate(&bare, 4);
    iterate(&first, 2);
    resume(&first, &rest);
    trained_end(&first); /* its memory is not the other's */
    iterate(&rest, 2);
    CHECK(saved_bits(whole.agent) == saved_bits(rest.agent));
    CHECK(saved_bits(whole.agent) == saved_bits(bare.agent));
    trained_end(&whole);
    trained_end(&rest);
    trained_end(&bare);
}

int main(void)
{
    environments_are_opened_once();
    a_failing_open_is_a_status();
    loaded_environments_continue_bit_for_bit();
    environments_that_were_not_open_are_closed();
    other_bytes_change_nothing();
    a_failing_save_changes_nothing();
    a_failing_load_ends_all_episodes();
    masks_are_checked_in_loaded_states();
    an_interrupted_training_has_the_same_bits();
    return check_result();
}
