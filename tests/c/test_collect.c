/* trpo_collect records the same rows as act, step and push, bit for bit, for any number of workers
 * and of calls. */
#include "threads.h"
#include "walk_world.h"

#include "../../csrc/include/trpo_pool.h"

/* ---- the same row by row: act, step, push ---------------------------------------------------- */

static trpo_real passed(double x, int single)
{
    return single ? (trpo_real)(float)x : (trpo_real)x;
}

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

/* mask (E x A), or NULL. */
static void step_under(world *w, int row, int single, const uint8_t *mask)
{
    const trpo_env_outcome out = trpo_envs_outcome(w->envs);
    const int E = w->set.n_envs, D = w->set.n_parts;
    trpo_real obs[MAX_ENVS * OBS], act[MAX_ENVS * MAX_PARTS];
    double sent[MAX_ENVS * MAX_PARTS];
    for (int i = 0; i < E * OBS; i++) obs[i] = passed(out.obs[i], single);
    CHECK(trpo_act(w->agent, act, NULL, NULL, obs, mask) == TRPO_OK);
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

static void step_once(world *w, int row, int single)
{
    step_under(w, row, single, trpo_envs_outcome(w->envs).mask);
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

/* ---- rows ------------------------------------------------------------------------------------ */

static void some_settings(trpo_settings *s, int space, int n_hidden, int critic)
{
    small_settings(s, space, n_hidden);
    s->critic = critic;
    s->normalize_observations = s->normalize_rewards = critic != TRPO_ADAM;
    s->log_std_init = -0.5;
}

static void rows_are_those_of_act_and_push(int space, int n_hidden, int critic, int single,
                                           const plan *plan)
{
    trpo_settings s;
    static world stepped, collected;
    check_name("rows, %s, %d hidden, critic %d, single %d, masks %d", space_name(space), n_hidden,
               critic, single, plan->has_masks);
    some_settings(&s, space, n_hidden, critic);
    world_start(&stepped, &s, NULL, plan);
    world_start(&collected, &s, NULL, plan);
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

/* Rows recorded by act and push, and by trpo_collect, in one rollout. */
static void pushed_and_collected_rows_mix(void)
{
    trpo_settings s;
    static world stepped, mixed;
    check_name("rows of either kind");
    some_settings(&s, GAUSSIAN, 1, TRPO_KFAC_STEPS);
    world_start(&stepped, &s, NULL, &no_trouble);
    world_start(&mixed, &s, NULL, &no_trouble);
    for (int i = 0; i < 2; i++) { /* an earlier rollout leaves old data behind */
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

/* The mask of a row recorded by act does not apply to the rows that trpo_collect adds. */
static void collected_rows_have_their_own_masks(const plan *plan)
{
    static const uint8_t open[] = {1, 0, 1, 0, 1};
    trpo_settings s;
    static world masked, plain;
    uint8_t mask[MAX_ENVS * 5];
    check_name("rows in C after a masked one, masks %d", plan->has_masks);
    some_settings(&s, TWO_PARTS, 1, TRPO_KFAC_STEPS);
    for (int e = 0; e < s.n_envs; e++) memcpy(mask + 5 * e, open, sizeof open);
    world_start(&masked, &s, NULL, plan);
    world_start(&plain, &s, NULL, plan);
    step_under(&masked, 0, 0, mask);
    step_under(&plain, 0, 0, mask);
    CHECK(collect(&masked, s.n_steps - 1) == TRPO_OK);
    for (int t = 1; t < s.n_steps; t++) step_once(&plain, t, 0);
    CHECK(trpo_update(masked.agent, NULL) == trpo_update(plain.agent, NULL));
    CHECK(saved_bits(masked.agent) == saved_bits(plain.agent));
    world_end(&masked);
    world_end(&plain);
}

/* If rows of trpo_collect have masks, earlier rows without masks allow all choices. */
static void rows_before_masks_allow_all(void)
{
    trpo_settings s;
    static world without, open;
    plan masked = no_trouble;
    uint8_t mask[MAX_ENVS * 5];
    check_name("rows before masks");
    masked.has_masks = 1;
    some_settings(&s, TWO_PARTS, 1, TRPO_KFAC_STEPS);
    memset(mask, 1, sizeof mask);
    world_start(&without, &s, NULL, &masked);
    world_start(&open, &s, NULL, &masked);
    step_under(&without, 0, 0, NULL);
    step_under(&open, 0, 0, mask);
    CHECK(collect(&without, s.n_steps) == TRPO_OK && collect(&open, s.n_steps) == TRPO_OK);
    CHECK(trpo_update(without.agent, NULL) == TRPO_OK && trpo_update(open.agent, NULL) == TRPO_OK);
    CHECK(saved_bits(without.agent) == saved_bits(open.agent));
    world_end(&without);
    world_end(&open);
}

/* ---- pieces and workers ---------------------------------------------------------------------- */

typedef struct bits {
    uint64_t agent, envs;
} bits;

/* Collects at most `piece` rows per call. */
static bits bits_after(const trpo_settings *s, const trpo_executor *executor, int piece,
                       const plan *plan)
{
    static world w;
    bits found;
    world_start(&w, s, executor, plan);
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

static void pieces_and_workers_change_nothing(int space, int n_envs, const plan *plan)
{
    trpo_settings s;
    dealer five = {{0, {0}, {0}}, 5};
    const trpo_executor shuffled = {&five, 5, run_shuffled};
    some_settings(&s, space, 1, TRPO_KFAC_STEPS);
    s.n_envs = n_envs;
    check_name("pieces and workers, %s, %d environments, masks %d", space_name(space), n_envs,
               plan->has_masks);
    const bits expected = bits_after(&s, NULL, s.n_steps, plan);
    CHECK(same_bits(bits_after(&s, NULL, 1, plan), expected));
    CHECK(same_bits(bits_after(&s, &shuffled, 5, plan), expected));
    CHECK(same_bits(bits_after(&s, &shuffled, 1000, plan), expected));
    for (int i = 0; i < N_COUNTS; i++) {
        trpo_pool *pool = trpo_pool_new(thread_counts[i]);
        const trpo_executor executor = trpo_pool_executor(pool);
        check_name("%s, %d environments, %d threads, masks %d", space_name(space), n_envs,
                   thread_counts[i], plan->has_masks);
        CHECK(same_bits(bits_after(&s, &executor, 1000, plan), expected));
        trpo_pool_free(pool);
    }
}

static void test_space(int space, const plan *plan)
{
    static const int n_envs[] = {1, 4, 67, MAX_ENVS};
    for (int critic = 0; critic < TRPO_N_CRITICS; critic++)
        for (int n_hidden = 0; n_hidden < 3; n_hidden += 2)
            for (int single = 0; single < 2; single++)
                rows_are_those_of_act_and_push(space, n_hidden, critic, single, plan);
    for (size_t i = 0; i < sizeof n_envs / sizeof *n_envs; i++)
        pieces_and_workers_change_nothing(space, n_envs[i], plan);
}

int main(void)
{
    plan masked = no_trouble;
    masked.has_masks = 1;
    for (int space = 0; space < N_SPACES; space++) test_space(space, &no_trouble);
    test_space(CATEGORICAL, &masked);
    test_space(TWO_PARTS, &masked);
    pushed_and_collected_rows_mix();
    collected_rows_have_their_own_masks(&no_trouble);
    collected_rows_have_their_own_masks(&masked);
    rows_before_masks_allow_all();
    return check_result();
}
