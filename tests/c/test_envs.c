/* Environments side by side: episodes, modes, failures, streams, saving, memory; and what is
 * refused of a struct. The simulator is made of bad behaviour on demand: the action says which. */
#include "check.h"

#include "../../csrc/include/trpo_env.h"

/* ---- a simulator that does as it is told ----------------------------------------------------- */

enum { GO = 0, END = 1, FAIL = 2, BAD_OBS = 3, BAD_REW = 4, DOOM = 5, N_CHOICES = 6 };

/* Thirteen bytes, so that states stand apart. */
typedef struct told {
    char steps, episode, doomed;
    unsigned char rest[10];
} told;

static int closed = 0;

static int told_observe(const void *config, const void *state, double *obs)
{
    const told *s = (const told *)state;
    (void)config;
    obs[0] = s->episode;
    obs[1] = s->steps;
    obs[2] = s->rest[8];
    return 0;
}

static int told_reset(const void *config, void *state, double *obs, trpo_env_random *random)
{
    told *s = (told *)state;
    if (s->doomed) return 9;
    s->steps = 0;
    s->episode++;
    s->rest[8] = (unsigned char)trpo_env_uniform(random, 0, 256);
    return told_observe(config, state, obs);
}

static int told_step(const void *config, void *state, const double *act, double *obs, double *rew,
                     uint8_t *term, trpo_env_random *random)
{
    told *s = (told *)state;
    const int order = (int)act[0];
    (void)random;
    s->steps++;
    s->doomed = order == DOOM;
    *rew = order == BAD_REW ? NAN : s->steps;
    *term = order == END || order == DOOM;
    told_observe(config, state, obs);
    if (order == BAD_OBS) obs[1] = INFINITY;
    return order == FAIL ? 7 : 0;
}

static void told_close(const void *config, void *state)
{
    (void)config, (void)state;
    closed++;
}

static trpo_env told_env(int limit)
{
    static const int choices[] = {N_CHOICES, 2};
    trpo_env env;
    memset(&env, 0, sizeof env);
    env.version = TRPO_ENV_VERSION;
    env.struct_size = (int)sizeof env;
    env.name = "Told";
    env.state_bytes = sizeof(told);
    env.obs_size = 3;
    env.n_actions = 2;
    env.choices = choices;
    env.max_episode_steps = limit;
    env.reset = told_reset;
    env.step = told_step;
    env.observe = told_observe;
    return env;
}

/* ---- environments with their memory ---------------------------------------------------------- */

enum { E = 4 };

typedef struct world {
    trpo_env env;
    char *memory;
    trpo_envs *envs;
    trpo_env_outcome out;
    trpo_env_failure failure;
    double act[E * 2];
} world;

/* In memory of exactly the bytes asked for, at an odd address. */
static void world_place(world *w, uint64_t seed)
{
    const size_t bytes = trpo_envs_bytes(&w->env, E);
    w->memory = (char *)take(bytes + 1);
    w->envs = NULL;
    CHECK(bytes > 0);
    CHECK(trpo_envs_init(&w->envs, &w->env, E, seed, w->memory + 1, bytes) == TRPO_ENV_OK);
    if (w->envs == NULL) exit(2);
    w->out = trpo_envs_outcome(w->envs);
    memset(w->act, 0, sizeof w->act);
}

static void world_start(world *w, int limit)
{
    w->env = told_env(limit);
    world_place(w, 1);
    CHECK(trpo_envs_reset(w->envs, NULL, &w->failure) == TRPO_ENV_OK);
}

static void world_end(world *w) { free(w->memory); }

/* All go on, but environment e does as it is told. */
static int world_step(world *w, int e, int order, int autoreset)
{
    for (int i = 0; i < E; i++) w->act[2 * i] = i == e ? order : GO;
    return trpo_envs_step(w->envs, w->act, autoreset, 0, E, &w->failure);
}

static double seen(const world *w, int e, int i) { return w->out.obs[e * 3 + i]; }
static double seen_last(const world *w, int e, int i) { return w->out.final_obs[e * 3 + i]; }

/* ---- episodes -------------------------------------------------------------------------------- */

static void same_step(void)
{
    world w;
    check_name("same step");
    world_start(&w, 0);
    CHECK(world_step(&w, 1, GO, TRPO_ENV_SAME_STEP) == TRPO_ENV_OK);
    CHECK(world_step(&w, 1, END, TRPO_ENV_SAME_STEP) == TRPO_ENV_OK);
    CHECK(w.out.term[1] == 1 && w.out.trunc[1] == 0 && w.out.term[0] == 0);
    CHECK(w.out.episode_return[1] == 3 && w.out.episode_length[1] == 2 && w.out.rew[1] == 2);
    CHECK(seen(&w, 1, 0) == 2 && seen(&w, 1, 1) == 0);           /* the next episode's first */
    CHECK(seen_last(&w, 1, 0) == 1 && seen_last(&w, 1, 1) == 2); /* the last one's last */
    CHECK(seen(&w, 0, 1) == 2 && seen_last(&w, 0, 1) == 2);
    CHECK(world_step(&w, 1, GO, TRPO_ENV_SAME_STEP) == TRPO_ENV_OK);
    CHECK(w.out.term[1] == 0 && w.out.episode_return[1] == 1 && w.out.episode_length[1] == 1);
    CHECK(w.out.episode_return[0] == 6 && w.out.episode_length[0] == 3);
    world_end(&w);
}

static void next_step(void)
{
    world w;
    check_name("next step");
    world_start(&w, 0);
    CHECK(world_step(&w, 1, END, TRPO_ENV_NEXT_STEP) == TRPO_ENV_OK);
    CHECK(w.out.term[1] == 1 && seen(&w, 1, 0) == 1 && seen(&w, 1, 1) == 1);
    CHECK(world_step(&w, 1, FAIL, TRPO_ENV_NEXT_STEP) == TRPO_ENV_OK); /* no step: not looked at */
    CHECK(w.out.term[1] == 0 && w.out.rew[1] == 0 && w.out.episode_length[1] == 0);
    CHECK(seen(&w, 1, 0) == 2 && seen(&w, 1, 1) == 0 && seen(&w, 0, 1) == 2);
    CHECK(world_step(&w, 1, GO, TRPO_ENV_NEXT_STEP) == TRPO_ENV_OK);
    CHECK(w.out.episode_length[1] == 1 && w.out.episode_return[1] == 1);
    world_end(&w);
}

static void disabled(void)
{
    const uint8_t mask[E] = {0, 1, 0, 0};
    world w;
    check_name("disabled");
    world_start(&w, 0);
    CHECK(world_step(&w, 1, END, TRPO_ENV_DISABLED) == TRPO_ENV_OK);
    CHECK(world_step(&w, 1, GO, TRPO_ENV_DISABLED) == TRPO_ENV_ERR_ORDER);
    CHECK(w.failure.env == 1 && seen(&w, 0, 1) == 2 && seen(&w, 2, 1) == 1);
    CHECK(w.out.term[1] == 1 && w.out.episode_length[1] == 1); /* as it was */
    CHECK(trpo_envs_reset(w.envs, mask, NULL) == TRPO_ENV_OK);
    CHECK(w.out.term[1] == 0 && w.out.episode_length[1] == 0 && w.out.episode_length[0] == 2);
    CHECK(seen(&w, 1, 0) == 2 && seen(&w, 0, 0) == 1 && seen_last(&w, 1, 0) == 2);
    CHECK(world_step(&w, 1, GO, TRPO_ENV_DISABLED) == TRPO_ENV_OK);
    world_end(&w);
}

static void the_limit_truncates(void)
{
    world w;
    check_name("limit");
    world_start(&w, 2);
    CHECK(world_step(&w, 0, GO, TRPO_ENV_SAME_STEP) == TRPO_ENV_OK);
    CHECK(w.out.trunc[0] == 0);
    CHECK(world_step(&w, 0, END, TRPO_ENV_SAME_STEP) == TRPO_ENV_OK);
    CHECK(w.out.trunc[1] == 1 && w.out.term[1] == 0 && seen(&w, 1, 0) == 2);
    CHECK(w.out.trunc[0] == 1 && w.out.term[0] == 1); /* as Gymnasium's time limit has it */
    CHECK(world_step(&w, 0, GO, TRPO_ENV_SAME_STEP) == TRPO_ENV_OK);
    CHECK(w.out.trunc[0] == 0 && w.out.episode_length[0] == 1);
    world_end(&w);
}

static void nothing_before_a_reset(void)
{
    world w;
    check_name("before a reset");
    w.env = told_env(0);
    world_place(&w, 1);
    CHECK(world_step(&w, 0, GO, TRPO_ENV_SAME_STEP) == TRPO_ENV_ERR_ORDER);
    CHECK(w.failure.env == 0);
    world_end(&w);
}

/* ---- failures -------------------------------------------------------------------------------- */

/* The environment has failed at that step of its episode; before it they have stepped, after
 * not. */
static void check_failed(world *w, int status, int wanted, int step, int code, int component)
{
    CHECK(status == wanted);
    CHECK(w->failure.env == 2 && w->failure.step == step);
    CHECK(w->failure.code == code && w->failure.component == component);
    CHECK(seen(w, 1, 1) == step && seen(w, 3, 1) == step - 1);
    CHECK(world_step(w, 2, GO, TRPO_ENV_SAME_STEP) == TRPO_ENV_ERR_ORDER && w->failure.env == 2);
}

static void failures(void)
{
    static const struct {
        int order, status, code, component;
    } cases[] = {{FAIL, TRPO_ENV_ERR_FAILED, 7, 0},
                 {BAD_OBS, TRPO_ENV_ERR_OBS, 0, 1},
                 {BAD_REW, TRPO_ENV_ERR_REW, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world w;
        check_name("failure %d", cases[i].order);
        world_start(&w, 0);
        CHECK(world_step(&w, 2, GO, TRPO_ENV_SAME_STEP) == TRPO_ENV_OK);
        check_failed(&w, world_step(&w, 2, cases[i].order, TRPO_ENV_SAME_STEP), cases[i].status, 2,
                     cases[i].code, cases[i].component);
        CHECK(trpo_envs_reset(w.envs, NULL, NULL) == TRPO_ENV_OK);
        CHECK(world_step(&w, 2, GO, TRPO_ENV_SAME_STEP) == TRPO_ENV_OK);
        world_end(&w);
    }
}

static void a_failing_reset(void)
{
    world w;
    check_name("failing reset");
    world_start(&w, 0);
    CHECK(world_step(&w, 2, DOOM, TRPO_ENV_SAME_STEP) == TRPO_ENV_ERR_FAILED);
    CHECK(w.failure.env == 2 && w.failure.step == 0 && w.failure.code == 9);
    CHECK(trpo_envs_step(w.envs, w.act, TRPO_ENV_SAME_STEP, 3, 1, NULL) == TRPO_ENV_OK);
    CHECK(trpo_envs_reset(w.envs, NULL, &w.failure) == TRPO_ENV_ERR_FAILED && w.failure.env == 2);
    world_end(&w);
}

static void illegal_actions(void)
{
    const double illegal[] = {-1, N_CHOICES, 0.5, NAN, INFINITY, 1e300};
    for (size_t i = 0; i < sizeof illegal / sizeof *illegal; i++) {
        world w;
        check_name("action %g", illegal[i]);
        world_start(&w, 0);
        w.act[2 * 2] = illegal[i];
        CHECK(trpo_envs_step(w.envs, w.act, TRPO_ENV_SAME_STEP, 0, E, &w.failure) ==
              TRPO_ENV_ERR_ACT);
        CHECK(w.failure.env == 2 && w.failure.component == 0 && seen(&w, 2, 1) == 0);
        w.act[2 * 2] = GO;
        w.act[2 * 2 + 1] = 2; /* the second component has two choices */
        CHECK(trpo_envs_step(w.envs, w.act, TRPO_ENV_SAME_STEP, 2, 1, &w.failure) ==
              TRPO_ENV_ERR_ACT);
        CHECK(w.failure.component == 1);
        CHECK(world_step(&w, 2, GO, TRPO_ENV_SAME_STEP) != TRPO_ENV_OK);
        w.act[2 * 2 + 1] = 1;
        CHECK(world_step(&w, 2, GO, TRPO_ENV_SAME_STEP) == TRPO_ENV_OK); /* it was not harmed */
        world_end(&w);
    }
}

/* ---- streams, ranges, actions ---------------------------------------------------------------- */

/* One number for what the environments are. */
static uint64_t bits_of(const world *w)
{
    const size_t bytes = trpo_envs_save_bytes(w->envs);
    unsigned char *buffer = (unsigned char *)take(bytes);
    uint64_t hash = 14695981039346656037u;
    CHECK(trpo_envs_save(w->envs, buffer, bytes) == TRPO_ENV_OK);
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ buffer[i]) * 1099511628211u;
    free(buffer);
    return hash;
}

static void ranges_are_the_whole(void)
{
    world whole, parts;
    check_name("ranges");
    world_start(&whole, 3);
    world_start(&parts, 3);
    for (int t = 0; t < 20; t++) {
        CHECK(world_step(&whole, t % E, t % 2, TRPO_ENV_SAME_STEP) == TRPO_ENV_OK);
        for (int first = E - 2; first >= 0; first -= 2)
            CHECK(trpo_envs_step(parts.envs, whole.act, TRPO_ENV_SAME_STEP, first, 2, NULL) ==
                  TRPO_ENV_OK);
        CHECK(bits_of(&whole) == bits_of(&parts));
    }
    world_end(&whole);
    world_end(&parts);
}

static void streams_are_their_own(void)
{
    world a, b;
    check_name("streams");
    world_start(&a, 1);
    world_start(&b, 1);
    CHECK(bits_of(&a) == bits_of(&b));
    CHECK(seen(&a, 0, 2) != seen(&a, 1, 2) || seen(&a, 2, 2) != seen(&a, 3, 2));
    for (int t = 0; t < 5; t++) world_step(&a, 0, GO, TRPO_ENV_SAME_STEP);
    for (int t = 0; t < 5; t++) /* environment 3 alone: the same episodes */
        trpo_envs_step(b.envs, a.act, TRPO_ENV_SAME_STEP, 3, 1, NULL);
    CHECK(seen(&a, 3, 2) == seen(&b, 3, 2) && trpo_envs_random(a.envs, 3)->count == 6);
    trpo_envs_seed(a.envs, 2);
    trpo_envs_reset(a.envs, NULL, NULL);
    trpo_envs_reset(b.envs, NULL, NULL);
    CHECK(bits_of(&a) != bits_of(&b));
    *trpo_envs_random(a.envs, 3) = *trpo_envs_random(b.envs, 3);
    trpo_envs_reset(a.envs, NULL, NULL);
    trpo_envs_reset(b.envs, NULL, NULL);
    CHECK(seen(&a, 3, 2) == seen(&b, 3, 2));
    world_end(&a);
    world_end(&b);
}

static int echo_step(const void *config, void *state, const double *act, double *obs, double *rew,
                     uint8_t *term, trpo_env_random *random)
{
    (void)config, (void)state, (void)random;
    obs[0] = act[0];
    obs[1] = act[1];
    obs[2] = *rew = 0;
    *term = 0;
    return 0;
}

static void real_actions_are_clipped(void)
{
    static const double low[] = {-1, -INFINITY}, high[] = {1, 5};
    const double act[E * 2] = {-3, -3, 3, 9, 0.5, 5, 1, 1};
    const double expected[E * 2] = {-1, -3, 1, 5, 0.5, 5, 1, 1};
    world w;
    check_name("clipping");
    w.env = told_env(0);
    w.env.step = echo_step;
    w.env.choices = NULL;
    w.env.act_low = low;
    w.env.act_high = high;
    world_place(&w, 1);
    CHECK(trpo_envs_reset(w.envs, NULL, NULL) == TRPO_ENV_OK);
    CHECK(trpo_envs_step(w.envs, act, TRPO_ENV_SAME_STEP, 0, E, NULL) == TRPO_ENV_OK);
    for (int e = 0; e < E; e++)
        for (int d = 0; d < 2; d++) CHECK(seen(&w, e, d) == expected[e * 2 + d]);
    world_end(&w);
}

/* ---- saving, states, closing ----------------------------------------------------------------- */

static void it_goes_on_bit_for_bit(void)
{
    world a, b;
    check_name("saving");
    world_start(&a, 3);
    for (int t = 0; t < 4; t++) world_step(&a, t, END, TRPO_ENV_SAME_STEP);
    const size_t bytes = trpo_envs_save_bytes(a.envs);
    unsigned char *saved = (unsigned char *)take(bytes);
    CHECK(trpo_envs_save(a.envs, saved, bytes - 1) == TRPO_ENV_ERR_MEMORY);
    CHECK(trpo_envs_save(a.envs, saved, bytes) == TRPO_ENV_OK);
    b.env = told_env(3);
    world_place(&b, 5);
    const uint64_t before = bits_of(&b);
    CHECK(trpo_envs_load(b.envs, NULL, bytes) == TRPO_ENV_ERR_MEMORY);
    CHECK(trpo_envs_load(b.envs, saved, bytes - 1) == TRPO_ENV_ERR_SAVED);
    saved[bytes / 2] ^= 1;
    CHECK(trpo_envs_load(b.envs, saved, bytes) == TRPO_ENV_ERR_SAVED);
    CHECK(bits_of(&b) == before);
    saved[bytes / 2] ^= 1;
    CHECK(trpo_envs_load(b.envs, saved, bytes) == TRPO_ENV_OK);
    for (int t = 0; t < 10; t++) {
        CHECK(bits_of(&a) == bits_of(&b));
        world_step(&a, t % E, END, TRPO_ENV_SAME_STEP);
        world_step(&b, t % E, END, TRPO_ENV_SAME_STEP);
    }
    b.env.name = "Another";
    CHECK(trpo_envs_load(b.envs, saved, bytes) == TRPO_ENV_ERR_SAVED);
    free(saved);
    world_end(&a);
    world_end(&b);
}

static void states_can_be_set(void)
{
    world w;
    check_name("states");
    world_start(&w, 3);
    world_step(&w, 0, END, TRPO_ENV_DISABLED);
    ((told *)trpo_envs_state(w.envs, 0))->steps = 40;
    CHECK(trpo_envs_observe(w.envs, 0, &w.failure) == TRPO_ENV_OK);
    CHECK(seen(&w, 0, 1) == 40 && w.out.term[0] == 0 && w.out.episode_length[0] == 0);
    CHECK(world_step(&w, 0, GO, TRPO_ENV_DISABLED) == TRPO_ENV_OK);
    CHECK(seen(&w, 0, 1) == 41 && w.out.episode_length[0] == 1 && w.out.rew[0] == 41);
    w.env.observe = NULL;
    CHECK(trpo_envs_observe(w.envs, 0, NULL) == TRPO_ENV_ERR_NONE);
    world_end(&w);
}

static void what_was_begun_is_closed(void)
{
    const uint8_t mask[E] = {1, 0, 1, 0};
    world w;
    check_name("closing");
    w.env = told_env(0);
    w.env.close = told_close;
    world_place(&w, 1);
    CHECK(trpo_envs_reset(w.envs, mask, NULL) == TRPO_ENV_OK);
    closed = 0;
    trpo_envs_close(w.envs);
    CHECK(closed == 2);
    CHECK(world_step(&w, 0, GO, TRPO_ENV_SAME_STEP) == TRPO_ENV_ERR_ORDER);
    trpo_envs_close(w.envs);
    CHECK(closed == 2);
    CHECK(trpo_envs_save_bytes(w.envs) == 0);
    CHECK(trpo_envs_save(w.envs, w.act, sizeof w.act) == TRPO_ENV_ERR_NONE);
    CHECK(trpo_envs_load(w.envs, w.act, sizeof w.act) == TRPO_ENV_ERR_NONE);
    CHECK(trpo_envs_reset(w.envs, NULL, NULL) == TRPO_ENV_OK);
    CHECK(seen(&w, 0, 0) == 1); /* the first episode of a new state */
    trpo_envs_close(w.envs);
    world_end(&w);
}

/* ---- what is refused ------------------------------------------------------------------------- */

static int is_bad(const trpo_env *env, const char *field)
{
    const char *bad = trpo_env_bad_field(env);
    return bad != NULL && strcmp(bad, field) == 0 && trpo_envs_bytes(env, 1) == 0;
}

#define CHECK_BAD(field, name, value)                                                              \
    do {                                                                                           \
        trpo_env env = told_env(0);                                                                \
        env.field = value;                                                                         \
        CHECK(is_bad(&env, name));                                                                 \
        CHECK(trpo_envs_init(&envs, &env, 1, 0, memory, sizeof memory) < 0);                       \
    } while (0)

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
    CHECK(envs == NULL);
}

static void statuses_of_init(void)
{
    trpo_env env = told_env(0);
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
        const int is_known = status <= 0 && status >= TRPO_ENV_ERR_NONE;
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
    same_step();
    next_step();
    disabled();
    the_limit_truncates();
    nothing_before_a_reset();
    failures();
    a_failing_reset();
    illegal_actions();
    ranges_are_the_whole();
    streams_are_their_own();
    real_actions_are_clipped();
    it_goes_on_bit_for_bit();
    states_can_be_set();
    what_was_begun_is_closed();
    bad_structs();
    statuses_of_init();
    every_status_has_a_text();
    built_in();
    return check_result();
}
