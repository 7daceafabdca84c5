/* The rollout in C: its rows are those of act, step and push, bit for bit, however many workers there
 * are and in how many pieces it is collected; what fails is told by the same name every time, and
 * the rest is left as it was. */
#include "check.h"
#include "threads.h"

#include "../../csrc/include/trpo_env.h"
#include "../../csrc/include/trpo_pool.h"

/* ---- a simulator that fails on demand ---------------------------------------------------------- */

enum { NOTHING, FAIL, BAD_OBS, BAD_REW, BAD_RESET, TOO_LARGE, TOO_LARGE_AT_RESET };

/* Environment `env` goes wrong in its step `at`, counted over all episodes. */
typedef struct trouble {
    int what, env, at;
} trouble;

typedef struct plan {
    trouble first, second;
} plan;

typedef struct walk {
    double place;
    int steps, n_actions;
} walk;

static int is_due(const void *config, const walk *s, const trpo_env_random *random, int what)
{
    const plan *p = (const plan *)config;
    const trouble troubles[] = {p->first, p->second};
    int due = 0;
    for (int i = 0; i < 2; i++)
        due |= troubles[i].what == what && troubles[i].env == (int)random->env &&
               troubles[i].at == s->steps;
    return due;
}

static void walk_observe(const walk *s, double *obs)
{
    for (int i = 0; i < OBS; i++) obs[i] = sin((i + 1) * s->place);
}

static int walk_reset(const void *config, void *state, double *obs, trpo_env_random *random)
{
    walk *s = (walk *)state;
    if (is_due(config, s, random, BAD_RESET)) return 9;
    s->place = trpo_env_uniform(random, -1, 1);
    walk_observe(s, obs);
    if (is_due(config, s, random, TOO_LARGE_AT_RESET)) obs[1] = 1e300;
    return 0;
}

static int walk_step(const void *config, void *state, const double *act, double *obs, double *rew,
                     uint8_t *term, trpo_env_random *random)
{
    walk *s = (walk *)state;
    s->steps++;
    *rew = cos(s->place - act[0]);
    s->place = 0.9 * s->place + 0.3 * act[0] + trpo_env_uniform(random, -0.3, 0.3);
    *term = trpo_env_uniform(random, 0, 1) > 0.9 || is_due(config, s, random, BAD_RESET) ||
            is_due(config, s, random, TOO_LARGE_AT_RESET);
    walk_observe(s, obs);
    if (is_due(config, s, random, BAD_OBS)) obs[2] = NAN;
    if (is_due(config, s, random, BAD_REW)) *rew = INFINITY;
    if (is_due(config, s, random, TOO_LARGE)) obs[1] = -1e300;
    return is_due(config, s, random, FAIL) ? 7 : 0;
}

/* Of a space of check.h's; real actions are bounded. */
static trpo_env walk_env(const trpo_settings *set, const plan *p)
{
    static const double low[] = {-0.7, -0.1}, high[] = {0.7, 0.1};
    const int choosing = set->distribution == TRPO_CATEGORICAL;
    trpo_env env;
    memset(&env, 0, sizeof env);
    env.version = TRPO_ENV_VERSION;
    env.struct_size = (int)sizeof env;
    env.name = "Walk";
    env.state_bytes = sizeof(walk);
    env.obs_size = OBS;
    env.n_actions = set->n_parts;
    env.choices = choosing ? set->parts : NULL;
    env.act_low = choosing ? NULL : low;
    env.act_high = choosing ? NULL : high;
    env.max_episode_steps = 7;
    env.config = p;
    env.reset = walk_reset;
    env.step = walk_step;
    return env;
}

/* ---- an agent in its environments -------------------------------------------------------------- */

static const plan no_trouble = {{NOTHING, 0, 0}, {NOTHING, 0, 0}};

typedef struct world {
    trpo_settings set;
    plan trouble;
    trpo_env env;
    void *memory, *env_memory;
    trpo_agent *agent;
    trpo_envs *envs;
    trpo_env_failure failure;
    double total[MAX_ENVS];  /* of the episodes under way, as the stepper counts */
    int64_t length[MAX_ENVS];
    trpo_episode episodes[4096];
    int n_episodes;
} world;

static void world_start(world *w, const trpo_settings *set, const trpo_executor *executor,
                        const plan *trouble)
{
    memset(w, 0, sizeof *w);
    w->set = *set;
    w->trouble = *trouble;
    w->env = walk_env(set, &w->trouble);
    const size_t bytes = trpo_bytes(set, executor);
    const size_t env_bytes = trpo_envs_bytes(&w->env, set->n_envs);
    w->memory = take(bytes);
    w->env_memory = take(env_bytes);
    CHECK(trpo_init(&w->agent, set, executor, w->memory, bytes) == TRPO_OK);
    CHECK(trpo_envs_init(&w->envs, &w->env, set->n_envs, 3, w->env_memory, env_bytes) == 0);
    CHECK(trpo_envs_reset(w->envs, NULL, NULL) == TRPO_ENV_OK);
}

static void world_end(world *w)
{
    free(w->memory);
    free(w->env_memory);
}

static int collect(world *w, int n_rows)
{
    return trpo_collect(w->agent, w->envs, n_rows, 0, &w->failure);
}

static uint64_t env_bits(const world *w)
{
    const size_t bytes = trpo_envs_save_bytes(w->envs);
    unsigned char *buffer = (unsigned char *)take(bytes);
    uint64_t hash = 14695981039346656037u;
    CHECK(trpo_envs_save(w->envs, buffer, bytes) == TRPO_ENV_OK);
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ buffer[i]) * 1099511628211u;
    free(buffer);
    return hash;
}

/* ---- the same row by row: act, step, push ------------------------------------------------------ */

static trpo_real passed(double x, int single) { return single ? (trpo_real)(float)x : (trpo_real)x; }

static void count_episodes(world *w, int row)
{
    const trpo_env_outcome out = trpo_envs_outcome(w->envs);
    for (int e = 0; e < w->set.n_envs; e++) {
        w->total[e] += out.rew[e];
        w->length[e]++;
        if (!out.term[e] && !out.trunc[e]) continue;
        const trpo_episode episode = {row, e, w->length[e], w->total[e]};
        w->episodes[w->n_episodes++] = episode;
        w->total[e] = 0;
        w->length[e] = 0;
    }
}

static double clipped(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

static void step_once(world *w, int row, int single)
{
    const trpo_env_outcome out = trpo_envs_outcome(w->envs);
    const int E = w->set.n_envs, D = w->set.n_parts;
    trpo_real obs[MAX_ENVS * OBS], act[MAX_ENVS * MAX_PARTS];
    double sent[MAX_ENVS * MAX_PARTS];
    for (int i = 0; i < E * OBS; i++) obs[i] = passed(out.obs[i], single);
    CHECK(trpo_act(w->agent, act, NULL, NULL, obs) == TRPO_OK);
    for (int i = 0; i < E * D; i++) {
        const double x = (double)act[i];
        sent[i] = w->env.act_low == NULL
                      ? x
                      : clipped(x, w->env.act_low[i % D], w->env.act_high[i % D]);
        if (single) sent[i] = (double)(float)sent[i];
    }
    CHECK(trpo_envs_step(w->envs, sent, TRPO_ENV_SAME_STEP, 0, E, NULL) == TRPO_ENV_OK);
    for (int i = 0; i < E * OBS; i++) obs[i] = passed(out.final_obs[i], single);
    CHECK(trpo_push(w->agent, out.rew, out.term, out.trunc, obs, NULL) == TRPO_OK);
    count_episodes(w, row);
}

static int same_episodes(const world *stepped, world *collected)
{
    trpo_episode *found = collected->episodes;
    const int n = trpo_episodes(collected->agent, found, 0, 4096);
    int same = n == stepped->n_episodes;
    for (int i = 0; same && i < n; i++) {
        const trpo_episode *a = &stepped->episodes[i], *b = &found[i];
        same = a->row == b->row && a->env == b->env && a->length == b->length &&
               a->total == b->total;
    }
    return same;
}

/* ---- rows -------------------------------------------------------------------------------------- */

static void some_settings(trpo_settings *s, int space, int n_hidden, int critic)
{
    small_settings(s, space, n_hidden);
    s->critic = critic;
    s->normalize_observations = s->normalize_rewards = critic != TRPO_ADAM;
    s->log_std_init = -0.5;
}

static void rows_are_those_of_act_and_push(int space, int n_hidden, int critic, int single)
{
    trpo_settings s;
    static world stepped, collected;
    check_name("rows, %s, %d hidden, critic %d, single %d", space_name(space), n_hidden, critic,
               single);
    some_settings(&s, space, n_hidden, critic);
    world_start(&stepped, &s, NULL, &no_trouble);
    world_start(&collected, &s, NULL, &no_trouble);
    for (int iteration = 0; iteration < 3; iteration++) {
        stepped.n_episodes = 0;
        for (int t = 0; t < s.n_steps; t++) step_once(&stepped, t, single);
        CHECK(trpo_collect(collected.agent, collected.envs, s.n_steps, single, NULL) == TRPO_OK);
        CHECK(trpo_recorded(collected.agent) == s.n_steps);
        CHECK(same_episodes(&stepped, &collected));
        CHECK(stepped.n_episodes > s.n_envs);
        CHECK(trpo_update(stepped.agent, NULL) == trpo_update(collected.agent, NULL));
        CHECK(saved_bits(stepped.agent) == saved_bits(collected.agent));
        CHECK(env_bits(&stepped) == env_bits(&collected));
    }
    world_end(&stepped);
    world_end(&collected);
}

/* What follows a rollout that is not full, and one that was begun by hand. */
static void rows_of_either_kind_mix(void)
{
    trpo_settings s;
    static world stepped, mixed;
    check_name("rows of either kind");
    some_settings(&s, GAUSSIAN, 1, TRPO_KFAC_STEPS);
    world_start(&stepped, &s, NULL, &no_trouble);
    world_start(&mixed, &s, NULL, &no_trouble);
    for (int i = 0; i < 2; i++) { /* so that there is something to be forgotten */
        CHECK(collect(i == 0 ? &stepped : &mixed, s.n_steps) == TRPO_OK);
        trpo_discard(i == 0 ? stepped.agent : mixed.agent);
    }
    for (int t = 0; t < 20; t++) step_once(&stepped, t, 0);
    for (int t = 0; t < 5; t++) step_once(&mixed, t, 0);
    CHECK(collect(&mixed, 10) == TRPO_OK);
    for (int t = 15; t < 20; t++) step_once(&mixed, t, 0);
    const int n_episodes = trpo_episodes(mixed.agent, mixed.episodes, 0, 4096);
    for (int i = 0; i < n_episodes; i++)
        CHECK(mixed.episodes[i].row >= 5 && mixed.episodes[i].row < 15);
    CHECK(n_episodes > 0);
    CHECK(trpo_update(stepped.agent, NULL) == trpo_update(mixed.agent, NULL));
    CHECK(saved_bits(stepped.agent) == saved_bits(mixed.agent));
    world_end(&stepped);
    world_end(&mixed);
}

/* ---- pieces and workers ------------------------------------------------------------------------ */

typedef struct bits {
    uint64_t agent, envs;
} bits;

/* In pieces of at most `piece` rows. */
static bits bits_after(const trpo_settings *s, const trpo_executor *executor, int piece)
{
    static world w;
    bits found;
    world_start(&w, s, executor, &no_trouble);
    for (int iteration = 0; iteration < 2; iteration++) {
        while (trpo_recorded(w.agent) < s->n_steps) CHECK(collect(&w, piece) == TRPO_OK);
        CHECK(trpo_update(w.agent, NULL) >= 0);
    }
    found.agent = saved_bits(w.agent);
    found.envs = env_bits(&w);
    world_end(&w);
    return found;
}

static int same_bits(bits a, bits b) { return a.agent == b.agent && a.envs == b.envs; }

typedef struct dealer {
    toy random;
    int n_workers;
} dealer;

static int pick(dealer *d, int n) { return (int)((toy_random(&d->random) + 1) / 2 * n) % n; }

/* Any order, any worker: what a pool of threads may come to. */
static void run_shuffled(void *ctx, int n_tasks, void (*task)(void *arg, int index, int worker),
                         void *arg)
{
    dealer *d = (dealer *)ctx;
    int order[256];
    if (!CHECK(n_tasks <= 256)) return;
    for (int i = 0; i < n_tasks; i++) order[i] = i;
    for (int i = 0; i < n_tasks; i++) {
        const int j = i + pick(d, n_tasks - i), chosen = order[j];
        order[j] = order[i];
        task(arg, chosen, pick(d, d->n_workers));
    }
}

static void neither_pieces_nor_workers_leave_a_trace(int space, int n_envs)
{
    trpo_settings s;
    dealer five = {{0, {0}, {0}}, 5};
    const trpo_executor shuffled = {&five, 5, run_shuffled};
    some_settings(&s, space, 1, TRPO_KFAC_STEPS);
    s.n_envs = n_envs;
    check_name("pieces and workers, %s, %d environments", space_name(space), n_envs);
    const bits expected = bits_after(&s, NULL, s.n_steps);
    CHECK(same_bits(bits_after(&s, NULL, 1), expected));
    CHECK(same_bits(bits_after(&s, &shuffled, 5), expected));
    CHECK(same_bits(bits_after(&s, &shuffled, 1000), expected));
    for (int i = 0; i < N_COUNTS; i++) {
        trpo_pool *pool = trpo_pool_new(thread_counts[i]);
        const trpo_executor executor = trpo_pool_executor(pool);
        check_name("%s, %d environments, %d threads", space_name(space), n_envs, thread_counts[i]);
        CHECK(same_bits(bits_after(&s, &executor, 1000), expected));
        trpo_pool_free(pool);
    }
}

/* ---- what fails -------------------------------------------------------------------------------- */

typedef struct told {
    int status, row, component;
    trpo_env_failure failure;
} told;

/* Where environment e's state and stream stand. */
static uint64_t one_env_bits(const world *w, int e)
{
    const walk *s = (const walk *)trpo_envs_state(w->envs, e);
    uint64_t place;
    memcpy(&place, &s->place, sizeof place);
    return place ^ (uint64_t)s->steps << 1 ^ trpo_envs_random(w->envs, e)->count << 32;
}

static void others_went_on(const world *w, const world *well)
{
    const int first = w->trouble.first.env, second = w->trouble.second.env;
    for (int e = 0; e < w->set.n_envs; e++)
        CHECK(e == first || e == second || one_env_bits(w, e) == one_env_bits(well, e));
}

static void check_told(const world *w, int status, told expected)
{
    trpo_culprit culprit;
    trpo_get_culprit(w->agent, &culprit);
    CHECK(status == expected.status);
    CHECK(culprit.step == expected.row && culprit.env == expected.failure.env);
    CHECK(culprit.component == expected.component);
    if (status != TRPO_ERR_ENVIRONMENT) return;
    CHECK(w->failure.env == expected.failure.env && w->failure.code == expected.failure.code);
    CHECK(w->failure.status == expected.failure.status);
    CHECK(w->failure.component == expected.component);
}

static void learn_once(world *w)
{
    CHECK(collect(w, w->set.n_steps) == TRPO_OK);
    CHECK(trpo_update(w->agent, NULL) >= 0);
}

/* It fails in the second piece of the second rollout, whichever worker does what; `well` goes as far
 * without a failure. */
static void failure_is_told(const trpo_settings *s, const trpo_executor *executor,
                            const plan *trouble, told expected)
{
    static world w, well;
    const plan none = {{NOTHING, 0, 0}, {NOTHING, 0, 0}};
    world_start(&w, s, executor, trouble);
    world_start(&well, s, NULL, &none);
    learn_once(&w);
    learn_once(&well);
    const uint64_t before = saved_bits(w.agent);
    CHECK(collect(&well, 13) == TRPO_OK);
    CHECK(collect(&w, 3) == TRPO_OK && saved_bits(w.agent) != before);
    check_told(&w, collect(&w, 10), expected);
    CHECK(trpo_recorded(w.agent) == 0 && saved_bits(w.agent) == before);
    others_went_on(&w, &well);
    w.trouble = none;
    CHECK(trpo_envs_reset(w.envs, NULL, NULL) == TRPO_ENV_OK);
    learn_once(&w);
    world_end(&w);
    world_end(&well);
}

static void failure_is_told_by_all(const char *name, plan trouble, told expected)
{
    trpo_settings s;
    dealer five = {{0, {0}, {0}}, 5};
    const trpo_executor shuffled = {&five, 5, run_shuffled};
    small_settings(&s, CATEGORICAL, 1);
    s.n_envs = 10;
    check_name("%s, alone", name);
    failure_is_told(&s, NULL, &trouble, expected);
    check_name("%s, shuffled", name);
    for (int i = 0; i < 8; i++) failure_is_told(&s, &shuffled, &trouble, expected);
    for (int i = 0; i < N_COUNTS; i++) {
        trpo_pool *pool = trpo_pool_new(thread_counts[i]);
        const trpo_executor executor = trpo_pool_executor(pool);
        check_name("%s, %d threads", name, thread_counts[i]);
        failure_is_told(&s, &executor, &trouble, expected);
        trpo_pool_free(pool);
    }
}

/* Step 32 + t + 1 of an environment is row t of the second rollout. */
static plan at_row(int what, int env, int row)
{
    const plan p = {{what, env, 33 + row}, {NOTHING, env, 0}};
    return p;
}

static told environment(int env, int row, int status, int code, int component)
{
    const told t = {TRPO_ERR_ENVIRONMENT, row, component, {env, 0, code, component, status}};
    return t;
}

static told observation(int status, int env, int row, int component)
{
    const told t = {status, row, component, {env, 0, 0, component, TRPO_ENV_OK}};
    return t;
}

static void failures_are_told(void)
{
    failure_is_told_by_all("an error", at_row(FAIL, 4, 6),
                           environment(4, 6, TRPO_ENV_ERR_FAILED, 7, 0));
    failure_is_told_by_all("no observation", at_row(BAD_OBS, 9, 12),
                           environment(9, 12, TRPO_ENV_ERR_OBS, 0, 2));
    failure_is_told_by_all("no reward", at_row(BAD_REW, 0, 3),
                           environment(0, 3, TRPO_ENV_ERR_REW, 0, 0));
    failure_is_told_by_all("no reset", at_row(BAD_RESET, 5, 7),
                           environment(5, 7, TRPO_ENV_ERR_FAILED, 9, 0));
}

/* The earliest is told; in the same row that of the lowest environment. */
static void the_first_failure_is_told(void)
{
    plan p = at_row(FAIL, 2, 9);
    p.second = at_row(BAD_REW, 8, 5).first;
    failure_is_told_by_all("the earlier", p, environment(8, 5, TRPO_ENV_ERR_REW, 0, 0));
    p.second = at_row(BAD_REW, 8, 9).first;
    failure_is_told_by_all("the lower", p, environment(2, 9, TRPO_ENV_ERR_FAILED, 7, 0));
}

/* As float, 1e300 is infinite. */
static void observations_too_large_are_told(void)
{
    if (sizeof(trpo_real) != sizeof(float)) return;
    /* where episodes end there, and where they go on */
    for (int row = 3; row < 12; row++)
        failure_is_told_by_all("too large", at_row(TOO_LARGE, 3, row),
                               observation(TRPO_ERR_NEXT_OBS, 3, row, 1));
    for (int env = 0; env < 10; env++)
        failure_is_told_by_all("too large, last row", at_row(TOO_LARGE, env, 12),
                               observation(TRPO_ERR_NEXT_OBS, env, 12, 1));
    failure_is_told_by_all("too large at a reset", at_row(TOO_LARGE_AT_RESET, 3, 4),
                           observation(TRPO_ERR_OBS, 3, 5, 1));
}

/* ---- what is refused --------------------------------------------------------------------------- */

static void refused(world *w, int status)
{
    const uint64_t agent = saved_bits(w->agent), envs = env_bits(w);
    const int rows = trpo_recorded(w->agent);
    CHECK(collect(w, 1) == status);
    CHECK(saved_bits(w->agent) == agent && trpo_recorded(w->agent) == rows);
    CHECK(env_bits(w) == envs);
}

static void calls_that_are_not_due_are_refused(void)
{
    trpo_settings s;
    static world w;
    trpo_real obs[MAX_ENVS * OBS] = {0}, act[MAX_ENVS * MAX_PARTS];
    trpo_episode episode[2];
    check_name("not due");
    small_settings(&s, CATEGORICAL, 1);
    world_start(&w, &s, NULL, &no_trouble);
    CHECK(trpo_act(w.agent, act, NULL, NULL, obs) == TRPO_OK);
    refused(&w, TRPO_ERR_ORDER);
    trpo_discard(w.agent);
    CHECK(collect(&w, 0) == TRPO_OK && collect(&w, -5) == TRPO_OK);
    CHECK(trpo_recorded(w.agent) == 0);
    CHECK(collect(&w, s.n_steps + 7) == TRPO_OK);
    CHECK(trpo_recorded(w.agent) == s.n_steps);
    refused(&w, TRPO_ERR_FULL);
    episode[1].row = -9;
    CHECK(trpo_episodes(w.agent, episode, 0, 1) > 1);
    CHECK(episode[0].length > 0 && episode[1].row == -9);
    CHECK(trpo_episodes(w.agent, NULL, s.n_steps, 0) == 0);
    world_end(&w);
}

/* An agent of `set` in environments of another's. */
static void spaces_differ(const trpo_settings *set, const trpo_settings *other)
{
    static world w, another;
    world_start(&w, set, NULL, &no_trouble);
    world_start(&another, other, NULL, &no_trouble);
    trpo_envs *own = w.envs;
    w.envs = another.envs;
    refused(&w, TRPO_ERR_SPACES);
    w.envs = own;
    world_end(&w);
    world_end(&another);
}

static void other_spaces_are_refused(void)
{
    static const int four[] = {4}, two_threes[] = {3, 3};
    trpo_settings s[6];
    check_name("other spaces");
    for (int i = 0; i < 6; i++) small_settings(&s[i], i < N_SPACES ? i : TWO_PARTS, 1);
    s[3].parts = two_threes;
    small_settings(&s[4], CATEGORICAL, 1);
    s[4].parts = four;
    s[5].n_envs = 5;
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 6; j++)
            if (i != j) spaces_differ(&s[i], &s[j]);
    CHECK(strcmp(trpo_status_text(TRPO_ERR_SPACES), "unknown status") != 0);
    CHECK(strcmp(trpo_status_text(TRPO_ERR_ENVIRONMENT), "unknown status") != 0);
}

static void environments_without_an_episode_are_refused(void)
{
    trpo_settings s;
    static world w;
    check_name("no episode");
    small_settings(&s, GAUSSIAN, 0);
    world_start(&w, &s, NULL, &no_trouble);
    trpo_envs_close(w.envs);
    check_told(&w, collect(&w, 3), environment(0, 0, TRPO_ENV_ERR_ORDER, 0, 0));
    CHECK(trpo_collect(w.agent, w.envs, 3, 0, NULL) == TRPO_ERR_ENVIRONMENT);
    world_end(&w);
}

int main(void)
{
    for (int space = 0; space < N_SPACES; space++) {
        for (int critic = TRPO_GAUSS_NEWTON; critic <= TRPO_KFAC_STEPS; critic++)
            for (int n_hidden = 0; n_hidden < 3; n_hidden += 2)
                for (int single = 0; single < 2; single++)
                    rows_are_those_of_act_and_push(space, n_hidden, critic, single);
        neither_pieces_nor_workers_leave_a_trace(space, 1);
        neither_pieces_nor_workers_leave_a_trace(space, 4);
        neither_pieces_nor_workers_leave_a_trace(space, 67);
        neither_pieces_nor_workers_leave_a_trace(space, MAX_ENVS);
    }
    rows_of_either_kind_mix();
    failures_are_told();
    the_first_failure_is_told();
    observations_too_large_are_told();
    calls_that_are_not_due_are_refused();
    other_spaces_are_refused();
    environments_without_an_episode_are_refused();
    return check_result();
}
