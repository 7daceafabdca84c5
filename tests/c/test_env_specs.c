/* Invalid environment structs are rejected, and the built-in ones are valid. */
#include "scripted.h"

static int is_bad(const trpo_env *env, const char *field)
{
    const char *bad = trpo_env_bad_field(env);
    return bad != NULL && strcmp(bad, field) == 0 && trpo_envs_bytes(env, 1) == 0;
}

#define CHECK_BAD(field, name, value)                                                              \
    do {                                                                                           \
        trpo_env env = scripted_env(0);                                                            \
        env.field = value;                                                                         \
        CHECK(is_bad(&env, name));                                                                 \
        CHECK(trpo_envs_init(&envs, &env, 1, 0, memory, sizeof memory) < 0);                       \
    } while (0)

static int some_save(const void *config, const void *state, void *bytes)
{
    (void)config, (void)state, (void)bytes;
    return 0;
}

static int some_load(const void *config, void *state, const void *bytes)
{
    (void)config, (void)state, (void)bytes;
    return 0;
}

static void bad_structs(void)
{
    static const int no_choices[] = {2, 0};
    static const double zeros[] = {0, 0, 0}, nans[] = {0, NAN, 0};
    static const trpo_env_option nameless[] = {{NULL, 0}};
    char memory[4096];
    trpo_envs *envs = NULL;
    check_name("bad structs");
    CHECK(is_bad(NULL, "trpo_env"));
    CHECK_BAD(version, "version", TRPO_ENV_VERSION + 1);
    CHECK_BAD(struct_size, "struct_size", 8);
    CHECK_BAD(struct_size, "struct_size", (int)sizeof env - 1);
    CHECK_BAD(name, "name", NULL);
    CHECK_BAD(state_bytes, "state_bytes", 0);
    CHECK_BAD(state_bytes, "state_bytes", (size_t)-1);
    CHECK_BAD(obs_size, "obs_size", 0);
    CHECK_BAD(obs_size, "obs_size", 1 << 30);
    CHECK_BAD(obs_low, "obs_low", zeros);
    CHECK_BAD(n_actions, "n_actions", -1);
    CHECK_BAD(choices, "choices", no_choices);
    CHECK_BAD(act_high, "act_low", nans);
    CHECK_BAD(max_episode_steps, "max_episode_steps", -1);
    CHECK_BAD(n_options, "options", 1);
    CHECK_BAD(options, "options", (env.n_options = 1, env.config = zeros, nameless));
    CHECK_BAD(obs_high, "obs_low", (env.obs_low = zeros, nans));
    CHECK_BAD(reset, "reset", NULL);
    CHECK_BAD(step, "step", NULL);
    CHECK_BAD(save_bytes, "save", 8);
    CHECK_BAD(save, "save", some_save);
    CHECK_BAD(save_bytes, "load", (env.save = some_save, 8));
    CHECK_BAD(load, "load", some_load);
    CHECK_BAD(save_bytes, "save_bytes", (env.save = some_save, env.load = some_load, (size_t)-1));
    CHECK(envs == NULL);
}

static void statuses_of_init(void)
{
    trpo_env env = scripted_env(0);
    trpo_envs *envs;
    const size_t bytes = trpo_envs_bytes(&env, E);
    char *memory = (char *)take(bytes);
    check_name("init");
    CHECK(trpo_envs_bytes(&env, 0) == 0);
    CHECK(trpo_envs_init(&envs, &env, E, 0, NULL, bytes) == TRPO_ENV_ERR_MEMORY);
    CHECK(trpo_envs_init(&envs, &env, E, 0, memory, bytes - 1) == TRPO_ENV_ERR_MEMORY);
    CHECK(trpo_envs_init(&envs, &env, E, 0, memory, bytes) == TRPO_ENV_OK);
    CHECK(trpo_envs_count(envs) == E && trpo_envs_spec(envs) == &env);
    env.version = 0;
    CHECK(trpo_envs_init(&envs, &env, E, 0, memory, bytes) == TRPO_ENV_ERR_VERSION);
    CHECK(trpo_envs_init(&envs, NULL, E, 0, memory, bytes) == TRPO_ENV_ERR_VERSION);
    free(memory);
}

static void every_status_has_a_text(void)
{
    check_name("texts");
    for (int status = -100; status <= 100; status++) {
        const int is_known = status <= 0 && status >= TRPO_ENV_ERR_BUILD;
        const int is_unknown = strcmp(trpo_env_status_text(status), "unknown status") == 0;
        CHECK(is_known != is_unknown);
    }
}

static void built_in(void)
{
    static const double act[2] = {0, 0};
    int i = 0;
    for (const trpo_env *env; (env = trpo_env_builtin(i)) != NULL; i++) {
        const size_t bytes = trpo_envs_bytes(env, 1);
        char *memory = (char *)take(bytes);
        trpo_envs *envs;
        check_name("%s", env->name);
        CHECK(trpo_env_named(env->name) == env);
        CHECK(trpo_envs_init(&envs, env, 1, 0, memory, bytes) == TRPO_ENV_OK);
        CHECK(trpo_envs_reset(envs, NULL, NULL) == TRPO_ENV_OK);
        for (int t = 0; t < 2000; t++)
            CHECK(trpo_envs_step(envs, act, TRPO_ENV_SAME_STEP, 0, 1, NULL) == TRPO_ENV_OK);
        free(memory);
    }
    CHECK(i == 5 && trpo_env_builtin(-1) == NULL && trpo_env_named("CartPole-v2") == NULL);
}

int main(void)
{
    bad_structs();
    statuses_of_init();
    every_status_has_a_text();
    built_in();
    return check_result();
}
