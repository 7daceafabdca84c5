/* Sizes that no memory can hold: trpo_bytes returns 0 and nothing is placed, in 32 bits or 64. No
 * sum overflows, which the undefined-behaviour sanitizer checks, and bytes grow with every size. */
#include <limits.h>

#include "check.h"

#include "../../csrc/include/trpo_env.h"

enum { LARGEST = 1 << 24, N_LAYERS = 65536 };

static const int one = 1;

static trpo_settings tiny(void)
{
    trpo_settings s;
    trpo_default_settings(&s);
    s.obs_size = 3;
    s.parts = &one;
    s.n_parts = 1;
    s.n_steps = 2;
    return s;
}

/* An agent that is too large although every setting is in range. */
static void check_too_many(const trpo_settings *s, const trpo_executor *executor)
{
    unsigned char memory[64];
    trpo_agent *agent = NULL;
    memset(memory, 0xA5, sizeof memory);
    CHECK(trpo_bad_setting(s) == NULL);
    CHECK(trpo_bytes(s, executor) == 0);
    CHECK(trpo_init(&agent, s, executor, memory, sizeof memory) == TRPO_ERR_MEMORY);
    CHECK(trpo_init(&agent, s, executor, memory, (size_t)-1) == TRPO_ERR_MEMORY);
    CHECK(agent == NULL);
    for (size_t i = 0; i < sizeof memory; i++) CHECK(memory[i] == 0xA5);
}

/* ---- agents ---------------------------------------------------------------------------------- */

static void many_wide_layers(void)
{
    int *hidden = (int *)take(N_LAYERS * sizeof *hidden);
    for (int i = 0; i < N_LAYERS; i++) hidden[i] = LARGEST;
    for (int n = 8192; n <= N_LAYERS; n *= 2) {
        trpo_settings s = tiny();
        check_name("%d layers of 2^24", n);
        s.policy_hidden = hidden;
        s.n_policy_hidden = n;
        check_too_many(&s, NULL);
        s.n_policy_hidden = 0;
        s.value_hidden = hidden;
        s.n_value_hidden = n;
        check_too_many(&s, NULL);
    }
    free(hidden);
}

static void too_many_layers_are_named(void)
{
    trpo_settings s = tiny();
    check_name("layers beyond an int");
    s.policy_hidden = &one;
    s.n_policy_hidden = INT_MAX;
    CHECK(trpo_bad_setting(&s) != NULL && strcmp(trpo_bad_setting(&s), "policy_hidden") == 0);
    CHECK(trpo_bytes(&s, NULL) == 0);
}

/* 65,535 units and a bias are 65,536, whose square has 33 bits. */
static void the_square_of_a_layer(void)
{
    static const int widths[] = {46340, 46341, 65534, 65535, 65536, LARGEST - 1, LARGEST};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        trpo_settings s = tiny();
        check_name("%d units", widths[i]);
        s.policy_hidden = &widths[i];
        s.n_policy_hidden = 1;
        if (sizeof(size_t) == 4)
            check_too_many(&s, NULL);
        else
            CHECK(trpo_bytes(&s, NULL) / (size_t)widths[i] / (size_t)widths[i] >= sizeof(double));
    }
}

static void rows_of_many_numbers(void)
{
    trpo_settings s = tiny();
    check_name("65,536 rows of 65,536 observations");
    s.obs_size = s.n_steps = 65536;
    s.preconditioner = TRPO_NONE;
    s.critic = TRPO_ADAM;
    if (sizeof(size_t) == 4)
        check_too_many(&s, NULL);
    else
        CHECK(trpo_bytes(&s, NULL) > (size_t)65536 * 65536 * 4);
}

/* Every size at its limit, and every kind of critic and features. */
static void everything_at_its_limit(void)
{
    static const int wide[] = {LARGEST, LARGEST};
    for (int i = 0; i < N_CRITICS * 4; i++) {
        trpo_settings s = tiny();
        check_name("limits, critic %d, features %d", i % N_CRITICS, i / N_CRITICS);
        s.critic = i % N_CRITICS;
        s.features = i / N_CRITICS;
        s.obs_size = s.features == TRPO_POLYNOMIAL ? 100 : LARGEST;
        s.n_features = 10000;
        s.distribution = TRPO_CATEGORICAL;
        s.parts = wide;
        s.policy_hidden = s.value_hidden = wide;
        s.n_policy_hidden = s.n_value_hidden = 2;
        s.n_steps = 1 << 15;
        s.n_envs = (INT_MAX - 256) / s.n_steps;
        s.sub_sampling_factor = INT_MAX - i;
        s.n_critic_updates = s.cg_max_steps = s.batch_size = INT_MAX;
        s.normalize_observations = s.normalize_rewards = 1;
        if (sizeof(size_t) == 4) check_too_many(&s, NULL);
        CHECK(trpo_bad_setting(&s) == NULL && trpo_useful_workers(&s) == 32);
        (void)trpo_bytes(&s, NULL);
    }
}

static void run_nothing(void *ctx, int n_tasks, void (*task)(void *arg, int index, int worker),
                        void *arg)
{
    (void)ctx, (void)n_tasks, (void)task, (void)arg;
}

/* Scratch is counted once for all workers, not one by one. */
static void two_billion_workers(void)
{
    const trpo_executor executor = {NULL, INT_MAX, run_nothing};
    trpo_settings s = tiny();
    check_name("workers");
    if (sizeof(size_t) == 4)
        check_too_many(&s, &executor);
    else
        CHECK(trpo_bytes(&s, &executor) / INT_MAX > 0);
}

static void bytes_grow_with_every_size(void)
{
    size_t before = 0;
    check_name("growing");
    for (int n = 1; n <= LARGEST && n > 0; n *= 2) {
        trpo_settings s = tiny();
        s.obs_size = n;
        const size_t bytes = trpo_bytes(&s, NULL);
        CHECK(bytes == 0 || bytes > before); /* once too many, always too many */
        CHECK(before != (size_t)-1 || bytes == 0);
        before = bytes == 0 ? (size_t)-1 : bytes;
    }
}

/* ---- environments ---------------------------------------------------------------------------- */

static int no_reset(const void *config, void *state, double *obs, trpo_env_random *random)
{
    (void)config, (void)state, (void)obs, (void)random;
    return 1;
}

static int no_step(const void *config, void *state, const double *act, double *obs, double *rew,
                   uint8_t *term, trpo_env_random *random)
{
    (void)config, (void)state, (void)act, (void)obs, (void)rew, (void)term, (void)random;
    return 1;
}

static int no_mask(const void *config, const void *state, uint8_t *mask)
{
    (void)config, (void)state, (void)mask;
    return 1;
}

static trpo_env tiny_env(void)
{
    trpo_env env;
    memset(&env, 0, sizeof env);
    env.version = TRPO_ENV_VERSION;
    env.struct_size = (int)sizeof env;
    env.name = "Tiny";
    env.state_bytes = 1;
    env.obs_size = env.n_actions = 1;
    env.reset = no_reset;
    env.step = no_step;
    return env;
}

static void check_too_many_envs(const trpo_env *env, int n_envs)
{
    unsigned char memory[64];
    trpo_envs *envs = NULL;
    CHECK(trpo_env_bad_field(env) == NULL);
    CHECK(trpo_envs_bytes(env, n_envs) == 0);
    CHECK(trpo_envs_init(&envs, env, n_envs, 0, memory, sizeof memory) == TRPO_ENV_ERR_MEMORY);
    CHECK(trpo_envs_init(&envs, env, n_envs, 0, memory, (size_t)-1) == TRPO_ENV_ERR_MEMORY);
    CHECK(envs == NULL);
}

static void many_large_environments(void)
{
    trpo_env env = tiny_env();
    check_name("environments");
    env.obs_size = LARGEST;
    if (sizeof(size_t) == 4) check_too_many_envs(&env, 256);
    if (sizeof(size_t) > 4) CHECK(trpo_envs_bytes(&env, 256) > (size_t)LARGEST * 256 * 16);
    env.state_bytes = (size_t)1 << 30;
    if (sizeof(size_t) == 4) check_too_many_envs(&env, 4);
    env.n_actions = LARGEST;
    if (sizeof(size_t) == 4) check_too_many_envs(&env, INT_MAX);
    (void)trpo_envs_bytes(&env, INT_MAX);
}

static void masks_of_many_choices(void)
{
    enum { D = 1 << 12 };
    int *choices = (int *)take(D * sizeof *choices);
    trpo_env env = tiny_env();
    check_name("choices");
    for (int d = 0; d < D; d++) choices[d] = LARGEST;
    env.choices = choices;
    env.n_actions = D;
    env.mask = no_mask;
    check_too_many_envs(&env, INT_MAX);
    if (sizeof(size_t) == 4) check_too_many_envs(&env, 1);
    if (sizeof(size_t) > 4) CHECK(trpo_envs_bytes(&env, 1) > (size_t)D * LARGEST);
    free(choices);
}

int main(void)
{
    many_wide_layers();
    too_many_layers_are_named();
    the_square_of_a_layer();
    rows_of_many_numbers();
    everything_at_its_limit();
    two_billion_workers();
    bytes_grow_with_every_size();
    many_large_environments();
    masks_of_many_choices();
    return check_result();
}
