/* Creation: settings out of range are named, and nothing beyond the caller's memory is accessed. */
#include <limits.h>

#include "check.h"

/* ---- settings -------------------------------------------------------------------------------- */

typedef struct bad_setting {
    const char *name; /* that trpo_bad_setting must return */
    size_t at;        /* offset of the field            */
    int is_int;
    double value;
} bad_setting;

#define INT_FIELD(name, field, value) {name, offsetof(trpo_settings, field), 1, value}
#define DOUBLE_FIELD(field, value) {#field, offsetof(trpo_settings, field), 0, value}

static const double nan_ = (double)NAN, inf_ = (double)INFINITY;

static void assign(trpo_settings *s, const bad_setting *bad)
{
    const int whole = bad->is_int ? (int)bad->value : 0;
    if (bad->is_int)
        memcpy((char *)s + bad->at, &whole, sizeof whole);
    else
        memcpy((char *)s + bad->at, &bad->value, sizeof bad->value);
}

/* There are no bytes and no agent for such settings, and the memory is unchanged. */
static void check_rejected(const trpo_settings *s, const char *name)
{
    unsigned char memory[64];
    trpo_agent *agent = NULL;
    memset(memory, 0xA5, sizeof memory);
    CHECK(trpo_bad_setting(s) != NULL && strcmp(trpo_bad_setting(s), name) == 0);
    CHECK(trpo_bytes(s, NULL) == 0);
    CHECK(trpo_init(&agent, s, NULL, memory, sizeof memory) == TRPO_ERR_SETTING);
    CHECK(agent == NULL);
    for (size_t i = 0; i < sizeof memory; i++) CHECK(memory[i] == 0xA5);
}

static void check_fields(const bad_setting *bad, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        trpo_settings s;
        small_settings(&s, GAUSSIAN, 1);
        assign(&s, &bad[i]);
        check_name("%s = %g", bad[i].name, bad[i].value);
        check_rejected(&s, bad[i].name);
    }
}

static void whole_numbers_out_of_range(void)
{
    const bad_setting bad[] = {
        INT_FIELD("obs_size", obs_size, 0),
        INT_FIELD("obs_size", obs_size, -3),
        INT_FIELD("obs_size", obs_size, INT_MAX),
        INT_FIELD("distribution", distribution, -1),
        INT_FIELD("distribution", distribution, 1000),
        INT_FIELD("parts", n_parts, 0),
        INT_FIELD("parts", n_parts, -1),
        INT_FIELD("policy_hidden", n_policy_hidden, -1),
        INT_FIELD("value_hidden", n_value_hidden, -1),
        INT_FIELD("activation", activation, -1),
        INT_FIELD("activation", activation, 1000),
        INT_FIELD("features", features, -1),
        INT_FIELD("features", features, 1000),
        INT_FIELD("n_steps", n_steps, 0),
        INT_FIELD("n_steps", n_steps, INT_MAX),
        INT_FIELD("n_envs", n_envs, 0),
        INT_FIELD("n_envs", n_envs, -1),
        INT_FIELD("n_envs", n_envs, INT_MAX),
        INT_FIELD("cg_max_steps", cg_max_steps, 0),
        INT_FIELD("preconditioner", preconditioner, -1),
        INT_FIELD("preconditioner", preconditioner, 1000),
        INT_FIELD("sub_sampling_factor", sub_sampling_factor, 0),
        INT_FIELD("line_search_max_iter", line_search_max_iter, 0),
        INT_FIELD("acceptance", acceptance, -1),
        INT_FIELD("acceptance", acceptance, 3),
        INT_FIELD("kl_direction", kl_direction, -1),
        INT_FIELD("kl_direction", kl_direction, 2),
        INT_FIELD("critic", critic, -1),
        INT_FIELD("critic", critic, 1000),
        INT_FIELD("n_critic_updates", n_critic_updates, 0),
        INT_FIELD("batch_size", batch_size, -1),
    };
    check_fields(bad, sizeof bad / sizeof *bad);
}

static void real_numbers_out_of_range(void)
{
    const bad_setting bad[] = {
        DOUBLE_FIELD(log_std_init, nan_),
        DOUBLE_FIELD(log_std_init, inf_),
        DOUBLE_FIELD(feature_bandwidth, -1),
        DOUBLE_FIELD(feature_bandwidth, inf_),
        DOUBLE_FIELD(feature_bandwidth, nan_),
        DOUBLE_FIELD(log_std_min, -20.001),
        DOUBLE_FIELD(log_std_min, 0.001),
        DOUBLE_FIELD(log_std_min, nan_),
        DOUBLE_FIELD(log_std_max, -0.001),
        DOUBLE_FIELD(log_std_max, 20.001),
        DOUBLE_FIELD(log_std_max, nan_),
        DOUBLE_FIELD(kl_slack, 0.999),
        DOUBLE_FIELD(kl_slack, inf_),
        DOUBLE_FIELD(kl_slack, nan_),
        DOUBLE_FIELD(gamma, -0.001),
        DOUBLE_FIELD(gamma, 1.001),
        DOUBLE_FIELD(gamma, nan_),
        DOUBLE_FIELD(gae_lambda, -0.001),
        DOUBLE_FIELD(gae_lambda, 1.001),
        DOUBLE_FIELD(gae_lambda, nan_),
        DOUBLE_FIELD(ent_coef, -0.01),
        DOUBLE_FIELD(ent_coef, inf_),
        DOUBLE_FIELD(ent_coef, nan_),
        DOUBLE_FIELD(target_kl, 0),
        DOUBLE_FIELD(target_kl, -0.01),
        DOUBLE_FIELD(target_kl, inf_),
        DOUBLE_FIELD(target_kl, nan_),
        DOUBLE_FIELD(cg_damping, -1e-9),
        DOUBLE_FIELD(cg_damping, inf_),
        DOUBLE_FIELD(cg_damping, nan_),
        DOUBLE_FIELD(cg_tolerance, -1e-9),
        DOUBLE_FIELD(cg_tolerance, 1),
        DOUBLE_FIELD(cg_tolerance, nan_),
        DOUBLE_FIELD(line_search_shrinking_factor, 0),
        DOUBLE_FIELD(line_search_shrinking_factor, 1),
        DOUBLE_FIELD(line_search_shrinking_factor, nan_),
        DOUBLE_FIELD(critic_damping, 0),
        DOUBLE_FIELD(critic_damping, -1),
        DOUBLE_FIELD(critic_damping, inf_),
        DOUBLE_FIELD(critic_damping, nan_),
        DOUBLE_FIELD(learning_rate, 0),
        DOUBLE_FIELD(learning_rate, -1),
        DOUBLE_FIELD(learning_rate, inf_),
        DOUBLE_FIELD(learning_rate, nan_),
    };
    check_fields(bad, sizeof bad / sizeof *bad);
}

static void damping_that_adapts_starts_above_zero(void)
{
    trpo_settings s;
    check_name("adaptive damping from 0");
    small_settings(&s, GAUSSIAN, 1);
    s.adaptive_damping = 1;
    CHECK(trpo_bad_setting(&s) == NULL);
    s.cg_damping = 0;
    check_rejected(&s, "cg_damping");
}

static void check_parts(int distribution, const int *parts, int n_parts)
{
    trpo_settings s;
    small_settings(&s, GAUSSIAN, 1);
    s.distribution = distribution;
    s.parts = parts;
    s.n_parts = n_parts;
    check_rejected(&s, "parts");
}

static void arrays_out_of_range(void)
{
    static const int two[] = {2}, nothing[] = {3, 0}, negative[] = {-1, 3}, huge[] = {INT_MAX};
    trpo_settings s;
    check_name("parts");
    check_parts(TRPO_CATEGORICAL, NULL, 1);
    check_parts(TRPO_GAUSSIAN, two, 1);
    check_parts(TRPO_BERNOULLI, two, 1);
    check_parts(TRPO_CATEGORICAL, nothing, 2);
    check_parts(TRPO_CATEGORICAL, negative, 2);
    check_parts(TRPO_CATEGORICAL, huge, 1);
    check_name("widths");
    small_settings(&s, GAUSSIAN, 2);
    s.policy_hidden = nothing;
    check_rejected(&s, "policy_hidden");
    s.policy_hidden = NULL;
    check_rejected(&s, "policy_hidden");
    small_settings(&s, GAUSSIAN, 2);
    s.value_hidden = negative;
    check_rejected(&s, "value_hidden");
    s.value_hidden = NULL;
    check_rejected(&s, "value_hidden");
}

static void rows_beyond_an_int(void)
{
    trpo_settings s;
    check_name("n_steps * n_envs above an int");
    small_settings(&s, GAUSSIAN, 1);
    s.n_steps = s.n_envs = 1 << 16;
    check_rejected(&s, "n_envs");
}

static void limits_are_legal(void)
{
    trpo_settings s;
    check_name("settings at their limits");
    small_settings(&s, GAUSSIAN, 0);
    s.policy_hidden = s.value_hidden = NULL;
    s.gamma = s.gae_lambda = 1;
    s.log_std_init = s.log_std_min = 20;
    s.cg_damping = s.cg_tolerance = 0;
    s.n_steps = s.n_envs = s.cg_max_steps = s.line_search_max_iter = s.batch_size = 1;
    CHECK(trpo_bad_setting(&s) == NULL);
    CHECK(trpo_bytes(&s, NULL) > 0);
    s.gamma = s.gae_lambda = 0;
    CHECK(trpo_bad_setting(&s) == NULL);
}

/* ---- memory ---------------------------------------------------------------------------------- */

enum { CANARY = 0x5C, MARGIN = 128 };

static void too_little_memory_is_rejected(void)
{
    trpo_settings s;
    trpo_agent *agent = NULL;
    small_settings(&s, CATEGORICAL, 1);
    const size_t bytes = trpo_bytes(&s, NULL), sizes[] = {0, 1, bytes / 2, bytes - 1};
    unsigned char *memory = (unsigned char *)take(bytes);
    memset(memory, CANARY, bytes);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        check_name("%lu of %lu bytes", (unsigned long)sizes[i], (unsigned long)bytes);
        CHECK(trpo_init(&agent, &s, NULL, memory, sizes[i]) == TRPO_ERR_MEMORY);
    }
    CHECK(trpo_init(&agent, &s, NULL, NULL, bytes) == TRPO_ERR_MEMORY);
    CHECK(agent == NULL);
    for (size_t i = 0; i < bytes; i++) CHECK(memory[i] == CANARY);
    free(memory);
}

/* More workers need more scratch: the bytes for one do not suffice for four. */
static void run_nothing(void *ctx, int n_tasks, void (*task)(void *arg, int index, int worker),
                        void *arg)
{
    (void)ctx, (void)n_tasks, (void)task, (void)arg;
}

static void memory_for_one_worker_is_not_enough_for_four(void)
{
    const trpo_executor four = {NULL, 4, run_nothing};
    trpo_settings s;
    trpo_agent *agent = NULL;
    check_name("four workers");
    small_settings(&s, CATEGORICAL, 1);
    const size_t bytes = trpo_bytes(&s, NULL);
    void *memory = take(bytes);
    CHECK(trpo_bytes(&s, &four) > bytes);
    CHECK(trpo_init(&agent, &s, &four, memory, bytes) == TRPO_ERR_MEMORY);
    free(memory);
}

/* K-FAC's matrices are quadratic in obs_size; without K-FAC they are not allocated. */
static void wide_observations_need_no_square_of_memory(void)
{
    const size_t parameters = 1 << 12, square = parameters * parameters * sizeof(double);
    trpo_settings s;
    check_name("wide observations");
    small_settings(&s, CATEGORICAL, 1);
    s.obs_size = (int)parameters;
    s.critic = TRPO_ADAM;
    CHECK(trpo_bytes(&s, NULL) > square);
    s.preconditioner = TRPO_NONE;
    CHECK(trpo_bytes(&s, NULL) < square / 4);
    s.critic = TRPO_KFAC_STEPS;
    CHECK(trpo_bytes(&s, NULL) > square);
}

/* Every call on an agent that starts at mem + MARGIN + shift. */
static uint64_t live_inside(unsigned char *buffer, size_t shift, const trpo_settings *s)
{
    enum { MANY = 200 };
    learner l;
    trpo_real obs[MANY * OBS], act[MANY * MAX_PARTS], val[MANY];
    const size_t bytes = trpo_bytes(s, NULL);
    l.set = *s;
    l.agent = NULL;
    if (!CHECK(trpo_init(&l.agent, s, NULL, buffer + MARGIN + shift, bytes) == TRPO_OK)) return 0;
    CHECK((unsigned char *)l.agent >= buffer + MARGIN + shift);
    CHECK((unsigned char *)l.agent < buffer + MARGIN + shift + bytes);
    toy_start(&l.world);
    learner_iterate(&l, NULL);
    for (int i = 0; i < MANY * OBS; i++) obs[i] = (trpo_real)(i % 7) - 3;
    CHECK(trpo_predict(l.agent, act, obs, NULL, 0, MANY) == TRPO_OK);
    CHECK(trpo_predict(l.agent, act, obs, NULL, 1, MANY) == TRPO_OK);
    CHECK(trpo_value(l.agent, val, obs, MANY) == TRPO_OK);
    learner_iterate(&l, NULL);
    return saved_bits(l.agent);
}

static void stays_in_its_memory(const trpo_settings *s)
{
    static const size_t shifts[] = {0, 1, 3, 8, 17, 63};
    const size_t bytes = trpo_bytes(s, NULL), whole = bytes + 3 * MARGIN;
    unsigned char *buffer = (unsigned char *)take(whole);
    uint64_t first = 0;
    for (size_t i = 0; i < sizeof shifts / sizeof *shifts; i++) {
        int intact = 1;
        memset(buffer, CANARY, whole);
        const uint64_t bits = live_inside(buffer, shifts[i], s);
        for (size_t at = 0; at < whole; at++)
            if (at < MARGIN + shifts[i] || at >= MARGIN + shifts[i] + bytes)
                intact = intact && buffer[at] == CANARY;
        CHECK(intact);
        if (i == 0) first = bits;
        CHECK(bits == first); /* an agent's address does not affect it */
    }
    free(buffer);
}

static void nothing_outside_is_written(void)
{
    for (int space = 0; space < N_SPACES; space++)
        for (int critic = 0; critic < N_CRITICS; critic++) {
            trpo_settings s;
            check_name("memory of %s, critic %d", space_name(space), critic);
            small_settings(&s, space, 2);
            s.critic = critic;
            s.normalize_observations = s.normalize_rewards = 1;
            s.sub_sampling_factor = 1 + critic;
            stays_in_its_memory(&s);
        }
}

/* ---- texts ----------------------------------------------------------------------------------- */

static void every_status_has_a_text(void)
{
    for (int status = -100; status <= 100; status++) {
        const char *text = trpo_status_text(status);
        const int known = status >= TRPO_ERR_SECTION && status <= TRPO_NO_CURVATURE;
        check_name("status %d", status);
        if (CHECK(text != NULL && text[0] != 0))
            CHECK(known == (strcmp(text, "unknown status") != 0));
    }
}

static void every_rejection_has_a_text(void)
{
    for (int rejection = -3; rejection <= 10; rejection++) {
        const char *text = trpo_rejection_text(rejection);
        const int known =
            rejection >= TRPO_NOT_REJECTED && rejection <= TRPO_REJECTED_NO_CURVATURE;
        check_name("rejection %d", rejection);
        if (!CHECK(text != NULL)) continue;
        CHECK((text[0] == 0) == (rejection == TRPO_NOT_REJECTED));
        CHECK(known == (strcmp(text, "unknown") != 0));
    }
}

/* ---- the machine ----------------------------------------------------------------------------- */

/* The selected kernels are used; unknown ones are rejected. */
static void instruction_sets_by_name(void)
{
    trpo_settings s;
    small_settings(&s, 0, 1);
    s.instruction_set = "abacus";
    CHECK(strcmp(trpo_bad_setting(&s), "instruction_set") == 0);
    s.instruction_set = "baseline";
    const size_t bytes = trpo_bytes(&s, NULL);
    void *memory = malloc(bytes);
    trpo_agent *agent;
    if (CHECK(trpo_init(&agent, &s, NULL, memory, bytes) == TRPO_OK))
        CHECK(strcmp(trpo_instruction_set(agent), "baseline") == 0);
    free(memory);
}

int main(void)
{
    whole_numbers_out_of_range();
    real_numbers_out_of_range();
    damping_that_adapts_starts_above_zero();
    arrays_out_of_range();
    rows_beyond_an_int();
    limits_are_legal();
    instruction_sets_by_name();
    too_little_memory_is_rejected();
    memory_for_one_worker_is_not_enough_for_four();
    wide_observations_need_no_square_of_memory();
    nothing_outside_is_written();
    every_status_has_a_text();
    every_rejection_has_a_text();
    return check_result();
}
