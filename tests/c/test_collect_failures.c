/* trpo_collect reports the same failure for any number of workers, and leaves everything else
 * unchanged. */
#include "threads.h"
#include "walk_world.h"

#include "../../csrc/include/trpo_pool.h"

/* ---- failures -------------------------------------------------------------------------------- */

typedef struct report {
    int status, row, component;
    trpo_env_failure failure;
} report;

/* The bits of environment e's state and stream. */
static uint64_t one_env_bits(const world *w, int e)
{
    const walk *s = (const walk *)trpo_envs_state(w->envs, e);
    uint64_t place;
    memcpy(&place, &s->place, sizeof place);
    return place ^ (uint64_t)s->steps << 1 ^ trpo_envs_random(w->envs, e)->count << 32;
}

static void others_continued(const world *w, const world *well)
{
    const int first = w->trouble.first.env, second = w->trouble.second.env;
    for (int e = 0; e < w->set.n_envs; e++)
        CHECK(e == first || e == second || one_env_bits(w, e) == one_env_bits(well, e));
}

static void check_reported(const world *w, int status, report expected)
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

/* The failure is in the second call of the second rollout, with any executor; `well` gets as far
 * without a failure. */
static void failure_is_reported(const trpo_settings *s, const trpo_executor *executor,
                                const plan *trouble, report expected)
{
    static world w, well;
    const plan none = {{NOTHING, 0, 0}, {NOTHING, 0, 0}, trouble->has_masks, NULL};
    world_start(&w, s, executor, trouble);
    world_start(&well, s, NULL, &none);
    learn_once(&w);
    learn_once(&well);
    const uint64_t before = saved_bits(w.agent);
    CHECK(collect(&well, 13) == TRPO_OK);
    CHECK(collect(&w, 3) == TRPO_OK && saved_bits(w.agent) != before);
    check_reported(&w, collect(&w, 10), expected);
    CHECK(trpo_recorded(w.agent) == 0 && saved_bits(w.agent) == before);
    others_continued(&w, &well);
    w.trouble.first = none.first;
    w.trouble.second = none.second;
    CHECK(trpo_envs_reset(w.envs, NULL, NULL) == TRPO_ENV_OK);
    learn_once(&w);
    world_end(&w);
    world_end(&well);
}

static void failure_is_the_same_for_all(const char *name, plan trouble, report expected)
{
    trpo_settings s;
    dealer five = {{0, {0}, {0}}, 5};
    const trpo_executor shuffled = {&five, 5, run_shuffled};
    small_settings(&s, CATEGORICAL, 1);
    s.n_envs = 10;
    check_name("%s, alone", name);
    failure_is_reported(&s, NULL, &trouble, expected);
    check_name("%s, shuffled", name);
    for (int i = 0; i < 8; i++) failure_is_reported(&s, &shuffled, &trouble, expected);
    for (int i = 0; i < N_COUNTS; i++) {
        trpo_pool *pool = trpo_pool_new(thread_counts[i]);
        const trpo_executor executor = trpo_pool_executor(pool);
        check_name("%s, %d threads", name, thread_counts[i]);
        failure_is_reported(&s, &executor, &trouble, expected);
        trpo_pool_free(pool);
    }
}

/* Step 32 + t + 1 of an environment is row t of the second rollout. */
static plan at_row(int what, int env, int row)
{
    const plan p = {{what, env, 33 + row}, {NOTHING, env, 0}, what == BAD_MASK, NULL};
    return p;
}

static report environment(int env, int row, int status, int code, int component)
{
    const report t = {TRPO_ERR_ENVIRONMENT, row, component, {env, 0, code, component, status}};
    return t;
}

static report observation(int status, int env, int row, int component)
{
    const report t = {status, row, component, {env, 0, 0, component, TRPO_ENV_OK}};
    return t;
}

static void failures_are_reported(void)
{
    failure_is_the_same_for_all("an error", at_row(FAIL, 4, 6),
                                environment(4, 6, TRPO_ENV_ERR_FAILED, 7, 0));
    failure_is_the_same_for_all("no observation", at_row(BAD_OBS, 9, 12),
                                environment(9, 12, TRPO_ENV_ERR_OBS, 0, 2));
    failure_is_the_same_for_all("no reward", at_row(BAD_REW, 0, 3),
                                environment(0, 3, TRPO_ENV_ERR_REW, 0, 0));
    failure_is_the_same_for_all("no reset", at_row(BAD_RESET, 5, 7),
                                environment(5, 7, TRPO_ENV_ERR_FAILED, 9, 0));
}

static void masks_that_forbid_everything_are_reported(void)
{
    for (int row = 3; row < 12; row++) /* rows at which episodes end, and others */
        failure_is_the_same_for_all("no choice", at_row(BAD_MASK, 3, row),
                                    environment(3, row, TRPO_ENV_ERR_MASK, 0, 0));
    failure_is_the_same_for_all("no choice after the last row", at_row(BAD_MASK, 6, 12),
                                environment(6, 12, TRPO_ENV_ERR_MASK, 0, 0));
}

/* The earliest failure is reported, and in the same row that of the lowest environment. */
static void the_first_failure_is_reported(void)
{
    plan p = at_row(FAIL, 2, 9);
    p.second = at_row(BAD_REW, 8, 5).first;
    failure_is_the_same_for_all("the earlier", p, environment(8, 5, TRPO_ENV_ERR_REW, 0, 0));
    p.second = at_row(BAD_REW, 8, 9).first;
    failure_is_the_same_for_all("the lower", p, environment(2, 9, TRPO_ENV_ERR_FAILED, 7, 0));
}

/* 1e300 is infinite as a float. */
static void observations_too_large_are_reported(void)
{
    if (sizeof(trpo_real) != sizeof(float)) return;
    /* rows at which episodes end, and others */
    for (int row = 3; row < 12; row++)
        failure_is_the_same_for_all("too large", at_row(TOO_LARGE, 3, row),
                                    observation(TRPO_ERR_NEXT_OBS, 3, row, 1));
    for (int env = 0; env < 10; env++)
        failure_is_the_same_for_all("too large, last row", at_row(TOO_LARGE, env, 12),
                                    observation(TRPO_ERR_NEXT_OBS, env, 12, 1));
    failure_is_the_same_for_all("too large at a reset", at_row(TOO_LARGE_AT_RESET, 3, 4),
                                observation(TRPO_ERR_OBS, 3, 5, 1));
}

/* ---- rejected calls -------------------------------------------------------------------------- */

static void check_is_rejected(world *w, int status)
{
    const uint64_t agent = saved_bits(w->agent), envs = env_bits(w);
    const int rows = trpo_recorded(w->agent);
    CHECK(collect(w, 1) == status);
    CHECK(saved_bits(w->agent) == agent && trpo_recorded(w->agent) == rows);
    CHECK(env_bits(w) == envs);
}

static void calls_out_of_order_are_rejected(void)
{
    trpo_settings s;
    static world w;
    trpo_real obs[MAX_ENVS * OBS] = {0}, act[MAX_ENVS * MAX_PARTS];
    trpo_episode episode[2];
    check_name("not due");
    small_settings(&s, CATEGORICAL, 1);
    world_start(&w, &s, NULL, &no_trouble);
    CHECK(trpo_act(w.agent, act, NULL, NULL, obs, NULL) == TRPO_OK);
    check_is_rejected(&w, TRPO_ERR_ORDER);
    trpo_discard(w.agent);
    CHECK(collect(&w, 0) == TRPO_OK && collect(&w, -5) == TRPO_OK);
    CHECK(trpo_recorded(w.agent) == 0);
    CHECK(collect(&w, s.n_steps + 7) == TRPO_OK);
    CHECK(trpo_recorded(w.agent) == s.n_steps);
    check_is_rejected(&w, TRPO_ERR_FULL);
    episode[1].row = -9;
    CHECK(trpo_episodes(w.agent, episode, 0, 1) > 1);
    CHECK(episode[0].length > 0 && episode[1].row == -9);
    CHECK(trpo_episodes(w.agent, NULL, s.n_steps, 0) == 0);
    world_end(&w);
}

/* An agent with settings `set` in environments made for `other`. */
static void spaces_differ(const trpo_settings *set, const trpo_settings *other)
{
    static world w, another;
    world_start(&w, set, NULL, &no_trouble);
    world_start(&another, other, NULL, &no_trouble);
    trpo_envs *own = w.envs;
    w.envs = another.envs;
    check_is_rejected(&w, TRPO_ERR_SPACES);
    w.envs = own;
    world_end(&w);
    world_end(&another);
}

static void other_spaces_are_rejected(void)
{
    static const int four[] = {4}, two_threes[] = {3, 3};
    enum { N_KINDS = N_SPACES + 3 };
    trpo_settings s[N_KINDS];
    check_name("other spaces");
    for (int i = 0; i < N_KINDS; i++) small_settings(&s[i], i < N_SPACES ? i : TWO_PARTS, 1);
    s[N_SPACES].parts = two_threes;
    small_settings(&s[N_SPACES + 1], CATEGORICAL, 1);
    s[N_SPACES + 1].parts = four;
    s[N_SPACES + 2].n_envs = 5;
    for (int i = 0; i < N_KINDS; i++)
        for (int j = 0; j < N_KINDS; j++)
            if (i != j) spaces_differ(&s[i], &s[j]);
    CHECK(strcmp(trpo_status_text(TRPO_ERR_SPACES), "unknown status") != 0);
    CHECK(strcmp(trpo_status_text(TRPO_ERR_ENVIRONMENT), "unknown status") != 0);
}

/* Masks for a Bernoulli policy, which does not support them. */
static void masks_of_bits_are_rejected(void)
{
    static const int twos[] = {2, 2};
    trpo_settings bits, choices;
    static world w, another;
    plan masked = no_trouble;
    check_name("masks of bits");
    masked.has_masks = 1;
    small_settings(&bits, BERNOULLI, 1);
    small_settings(&choices, TWO_PARTS, 1);
    choices.parts = twos;
    world_start(&w, &bits, NULL, &no_trouble);
    world_start(&another, &choices, NULL, &masked);
    trpo_envs *own = w.envs;
    w.envs = another.envs;
    check_is_rejected(&w, TRPO_ERR_MASK);
    w.envs = own;
    world_end(&w);
    world_end(&another);
}

static void environments_without_an_episode_are_rejected(void)
{
    trpo_settings s;
    static world w;
    check_name("no episode");
    small_settings(&s, GAUSSIAN, 0);
    world_start(&w, &s, NULL, &no_trouble);
    trpo_envs_close(w.envs);
    check_reported(&w, collect(&w, 3), environment(0, 0, TRPO_ENV_ERR_ORDER, 0, 0));
    CHECK(trpo_collect(w.agent, w.envs, 3, 0, NULL) == TRPO_ERR_ENVIRONMENT);
    world_end(&w);
}

int main(void)
{
    failures_are_reported();
    masks_that_forbid_everything_are_reported();
    the_first_failure_is_reported();
    observations_too_large_are_reported();
    calls_out_of_order_are_rejected();
    other_spaces_are_rejected();
    masks_of_bits_are_rejected();
    environments_without_an_episode_are_rejected();
    return check_result();
}
