/* Simulations that cut their own episodes, settings made for an environment, and the episodes of a
 * rollout. */
#include "held.h"

enum { E = 3, CUT = 7, STEPS = 20 };

/* ---- a simulator that ends its episodes at step CUT ------------------------------------------ */

typedef struct cut_point {
    point at;
    int steps;
} cut_point;

static int cut_reset(const void *config, void *state, double *obs, trpo_env_random *random)
{
    cut_point *s = (cut_point *)state;
    (void)config;
    s->steps = 0;
    return point_reset(&s->at, obs, random);
}

/* config: what *term is set to at step CUT; until then it stays as it was. */
static int cut_step(const void *config, void *state, const double *act, double *obs, double *rew,
                    uint8_t *term, trpo_env_random *random)
{
    cut_point *s = (cut_point *)state;
    uint8_t ignored;
    CHECK(*term == 0);
    point_step(&s->at, act, obs, rew, &ignored, random);
    if (++s->steps == CUT) *term = *(const uint8_t *)config;
    return 0;
}

static trpo_env cut_env(const uint8_t *end, int limit)
{
    trpo_env env = bare_env(limit);
    env.state_bytes = sizeof(cut_point);
    env.reset = cut_reset;
    env.step = cut_step;
    env.config = end;
    return env;
}

static const uint8_t NO_END = 0, TERMINATED = TRPO_ENV_TERMINATED, TRUNCATED = TRPO_ENV_TRUNCATED;

typedef struct run {
    trpo_env env;
    trpo_settings set;
    trpo_envs *envs;
    trpo_agent *agent;
    void *memory, *env_memory;
} run;

static void run_start(run *r, trpo_env env)
{
    r->env = env;
    trpo_default_settings(&r->set);
    CHECK(trpo_settings_for_env(&r->set, &r->env) == TRPO_ENV_OK);
    r->set.n_envs = E;
    r->set.n_steps = STEPS;
    const size_t bytes = trpo_bytes(&r->set, NULL), env_bytes = trpo_envs_bytes(&r->env, E);
    r->memory = take(bytes);
    r->env_memory = take(env_bytes);
    CHECK(trpo_init(&r->agent, &r->set, NULL, r->memory, bytes) == TRPO_OK);
    CHECK(trpo_envs_init(&r->envs, &r->env, E, 1, r->env_memory, env_bytes) == TRPO_ENV_OK);
    CHECK(trpo_envs_reset(r->envs, NULL, NULL) == TRPO_ENV_OK);
}

static void run_end(run *r)
{
    free(r->memory);
    free(r->env_memory);
}

static uint64_t trained_bits(trpo_env env)
{
    run r;
    run_start(&r, env);
    for (int i = 0; i < 3; i++) {
        CHECK(trpo_collect(r.agent, r.envs, STEPS, 0, NULL) == TRPO_OK);
        CHECK(trpo_update(r.agent, NULL) >= 0);
    }
    const uint64_t bits = saved_bits(r.agent);
    run_end(&r);
    return bits;
}

/* ---- truncation ------------------------------------------------------------------------------ */

static void a_cut_episode_is_learnt_from_like_one_at_the_limit(void)
{
    check_name("bits");
    const uint64_t bits = trained_bits(cut_env(&NO_END, CUT));
    CHECK(trained_bits(cut_env(&TRUNCATED, 0)) == bits);
    CHECK(trained_bits(cut_env(&TRUNCATED, CUT)) == bits);
    CHECK(trained_bits(cut_env(&TERMINATED, 0)) != bits);
}

/* `end` at step CUT sets these flags, in a struct of this size. */
static void check_flags(uint8_t end, int size, int limit, int term, int trunc)
{
    const double act[E] = {0, 0, 0};
    run r;
    check_name("end %d, size %d, limit %d", end, size, limit);
    trpo_env env = cut_env(&end, limit);
    env.struct_size = size;
    run_start(&r, env);
    const trpo_env_outcome out = trpo_envs_outcome(r.envs);
    for (int t = 1; t <= CUT; t++) {
        CHECK(trpo_envs_step(r.envs, act, TRPO_ENV_DISABLED, 0, E, NULL) == TRPO_ENV_OK);
        CHECK(out.term[1] == (t == CUT && term) && out.trunc[1] == (t == CUT && trunc));
    }
    const int status = trpo_envs_step(r.envs, act, TRPO_ENV_DISABLED, 0, E, NULL);
    CHECK(status == (term || trunc ? TRPO_ENV_ERR_ORDER : TRPO_ENV_OK));
    run_end(&r);
}

static void flags(void)
{
    const int now = (int)sizeof(trpo_env), older = (int)offsetof(trpo_env, open);
    check_flags(0, now, 0, 0, 0);
    check_flags(TERMINATED, now, 0, 1, 0);
    check_flags(TRUNCATED, now, 0, 0, 1);
    check_flags(TERMINATED, now, CUT, 1, 1);
    check_flags(TRUNCATED, now, CUT, 0, 1);
    check_flags(3, now, 0, 1, 0);
    check_flags(255, now, 0, 1, 0);
    check_flags(TRUNCATED, older, 0, 1, 0); /* any number terminated */
}

/* ---- settings -------------------------------------------------------------------------------- */

/* An agent with these settings collects from the environment, and one whose parts are written out
 * is the same. */
static void check_settings(const trpo_env *env, int distribution)
{
    static const int ones[] = {1, 1};
    check_name("settings for %s", env->name);
    run a;
    run_start(&a, *env);
    CHECK(a.set.obs_size == env->obs_size && a.set.n_parts == env->n_actions);
    CHECK(a.set.distribution == distribution);
    CHECK(trpo_collect(a.agent, a.envs, STEPS, 0, NULL) == TRPO_OK);
    CHECK(trpo_update(a.agent, NULL) >= 0);
    trpo_settings written = a.set;
    if (written.parts == NULL) written.parts = ones;
    const size_t bytes = trpo_bytes(&written, NULL);
    CHECK(bytes == trpo_bytes(&a.set, NULL));
    void *memory = take(bytes);
    trpo_agent *agent;
    CHECK(trpo_init(&agent, &written, NULL, memory, bytes) == TRPO_OK);
    CHECK(trpo_envs_init(&a.envs, &a.env, E, 1, a.env_memory, trpo_envs_bytes(&a.env, E)) == 0);
    CHECK(trpo_envs_reset(a.envs, NULL, NULL) == TRPO_ENV_OK);
    CHECK(trpo_collect(agent, a.envs, STEPS, 0, NULL) == TRPO_OK);
    CHECK(trpo_update(agent, NULL) >= 0);
    CHECK(saved_bits(a.agent) == saved_bits(agent));
    free(memory);
    run_end(&a);
}

static void settings_fit_the_environment(void)
{
    check_settings(trpo_env_named("Acrobot-v1"), TRPO_CATEGORICAL);
    check_settings(trpo_env_named("Pendulum-v1"), TRPO_GAUSSIAN);
    trpo_env two = cut_env(&NO_END, 0);
    two.n_actions = 2;
    check_settings(&two, TRPO_GAUSSIAN);
}

static void settings_for_an_invalid_struct(void)
{
    trpo_env env = bare_env(0);
    trpo_settings set, before;
    check_name("invalid struct");
    trpo_default_settings(&set);
    before = set;
    env.step = NULL;
    CHECK(trpo_settings_for_env(&set, &env) == TRPO_ENV_ERR_SPEC);
    CHECK(trpo_settings_for_env(&set, NULL) == TRPO_ENV_ERR_VERSION);
    CHECK(memcmp(&set, &before, sizeof set) == 0);
}

/* ---- episodes -------------------------------------------------------------------------------- */

static void the_room_of_episodes_is_known_before(void)
{
    trpo_episode all[E * STEPS], few[2];
    run r;
    check_name("episodes");
    run_start(&r, cut_env(&TRUNCATED, 1)); /* episodes of one step: as many as there can be */
    CHECK(trpo_episodes(r.agent, NULL, 0, 0) == 0);
    CHECK(trpo_collect(r.agent, r.envs, STEPS, 0, NULL) == TRPO_OK);
    CHECK(trpo_episodes(r.agent, NULL, 0, 0) == E * STEPS);
    CHECK(trpo_episodes(r.agent, all, 0, E * STEPS) == E * STEPS);
    CHECK(trpo_episodes(r.agent, few, STEPS - 1, 2) == E);
    CHECK(few[1].row == STEPS - 1 && few[1].env == 1 && few[1].total == all[E * STEPS - 2].total);
    CHECK(trpo_episodes(r.agent, NULL, -5, 0) == E * STEPS);
    CHECK(trpo_episodes(r.agent, NULL, STEPS, 0) == 0);
    CHECK(trpo_episodes(r.agent, NULL, 1 << 30, 0) == 0);
    run_end(&r);
}

int main(void)
{
    a_cut_episode_is_learnt_from_like_one_at_the_limit();
    flags();
    settings_fit_the_environment();
    settings_for_an_invalid_struct();
    the_room_of_episodes_is_known_before();
    return check_result();
}
