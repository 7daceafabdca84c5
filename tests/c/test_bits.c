/* Results are bit-identical whatever executor runs the tasks in whatever order, whatever other
 * agents do in between, and however often the policy is used for predictions; another seed gives
 * other bits. */
#include "check.h"

static uint64_t bits_after(const trpo_settings *s, const trpo_executor *executor, int iterations)
{
    learner l;
    learner_start(&l, s, executor);
    for (int i = 0; i < iterations; i++) learner_iterate(&l, NULL);
    const uint64_t bits = saved_bits(l.agent);
    learner_end(&l);
    return bits;
}

/* ---- seeds ----------------------------------------------------------------------------------- */

static void the_seed_decides(int space, int critic)
{
    /* equal in the low, or in the high half */
    static const uint64_t seeds[] = {0, 1, 0xFFFFFFFFu, (uint64_t)1 << 32, UINT64_MAX};
    enum { N_SEEDS = sizeof seeds / sizeof *seeds };
    uint64_t bits[N_SEEDS];
    trpo_settings s;
    check_name("seeds, %s, critic %d", space_name(space), critic);
    small_settings(&s, space, 1);
    s.critic = critic;
    for (int i = 0; i < N_SEEDS; i++) {
        s.seed = seeds[i];
        bits[i] = bits_after(&s, NULL, 2);
        CHECK(bits_after(&s, NULL, 2) == bits[i]);
        for (int j = 0; j < i; j++) CHECK(bits[i] != bits[j]);
    }
}

static void the_seed_decides_the_first_parameters(void)
{
    trpo_settings s;
    learner a, b, c;
    size_t count;
    check_name("first parameters");
    small_settings(&s, GAUSSIAN, 2);
    learner_start(&a, &s, NULL);
    learner_start(&b, &s, NULL);
    s.seed++;
    learner_start(&c, &s, NULL);
    const double *x = state_field(a.agent, "theta", &count);
    const double *y = state_field(b.agent, "theta", &count);
    CHECK(memcmp(x, y, count * sizeof *x) == 0);
    CHECK(memcmp(x, state_field(c.agent, "theta", &count), count * sizeof *x) != 0);
    learner_end(&a);
    learner_end(&b);
    learner_end(&c);
}

/* ---- several agents -------------------------------------------------------------------------- */

static void interleave(learner *a, learner *b)
{
    const int most = a->set.n_steps > b->set.n_steps ? a->set.n_steps : b->set.n_steps;
    for (int t = 0; t < most; t++) {
        if (t < a->set.n_steps) learner_act(a);
        if (t < b->set.n_steps) learner_act(b);
        if (t < a->set.n_steps) learner_push(a);
        if (t < b->set.n_steps) learner_push(b);
    }
    CHECK(trpo_update(a->agent, NULL) >= 0);
    CHECK(trpo_update(b->agent, NULL) >= 0);
}

static void agents_are_independent(void)
{
    trpo_settings one, other;
    learner a, b;
    check_name("two agents side by side");
    small_settings(&one, GAUSSIAN, 2);
    small_settings(&other, TWO_PARTS, 1);
    other.n_steps = 50;
    other.critic = TRPO_ADAM;
    other.normalize_observations = 1;
    learner_start(&a, &one, NULL);
    learner_start(&b, &other, NULL);
    for (int i = 0; i < 2; i++) interleave(&a, &b);
    CHECK(saved_bits(a.agent) == bits_after(&one, NULL, 2));
    CHECK(saved_bits(b.agent) == bits_after(&other, NULL, 2));
    learner_end(&a);
    learner_end(&b);
}

/* ---- predictions ----------------------------------------------------------------------------- */

static void predict_rows(learner *l, int deterministic)
{
    enum { ROWS = 70 };
    trpo_real obs[ROWS * OBS], act[ROWS * MAX_PARTS], val[ROWS];
    for (int i = 0; i < ROWS * OBS; i++) obs[i] = (trpo_real)(i % 5) - 2;
    CHECK(trpo_predict(l->agent, act, obs, NULL, deterministic, ROWS) == TRPO_OK);
    CHECK(trpo_value(l->agent, val, obs, ROWS) == TRPO_OK);
}

static void iterate_with_predictions(learner *l, int deterministic)
{
    for (int t = 0; t < l->set.n_steps; t++) {
        predict_rows(l, deterministic);
        learner_act(l);
        predict_rows(l, deterministic);
        learner_push(l);
    }
    predict_rows(l, deterministic);
    CHECK(trpo_update(l->agent, NULL) >= 0);
}

/* Sampled predictions increase their counter; nothing else may differ. */
static void equalize_predict_counters(learner *l, const learner *plain)
{
    size_t count;
    double *counters = state_field(l->agent, "counters", &count);
    const double *others = state_field(plain->agent, "counters", &count);
    int differing = 0;
    for (size_t i = 0; i < count; i++) {
        differing += counters[i] != others[i];
        counters[i] = others[i];
    }
    CHECK(differing == 1);
    trpo_refresh(l->agent);
}

static void predictions_change_nothing(int space, int critic, int deterministic)
{
    trpo_settings s;
    learner plain, predicting;
    check_name("predicting, %s, critic %d, deterministic %d", space_name(space), critic,
               deterministic);
    small_settings(&s, space, 1);
    s.critic = critic;
    s.normalize_observations = s.normalize_rewards = 1;
    learner_start(&plain, &s, NULL);
    learner_start(&predicting, &s, NULL);
    for (int i = 0; i < 2; i++) learner_iterate(&plain, NULL);
    for (int i = 0; i < 2; i++) iterate_with_predictions(&predicting, deterministic);
    if (!deterministic) equalize_predict_counters(&predicting, &plain);
    CHECK(saved_bits(predicting.agent) == saved_bits(plain.agent));
    learner_end(&plain);
    learner_end(&predicting);
}

/* A row's prediction does not depend on the other rows. */
static void rows_are_predicted_alone(int space)
{
    enum { ROWS = 150 };
    trpo_real obs[ROWS * OBS], act[ROWS * MAX_PARTS], val[ROWS], one_act[MAX_PARTS], one_val;
    trpo_settings s;
    learner l;
    check_name("rows alone, %s", space_name(space));
    small_settings(&s, space, 2);
    learner_start(&l, &s, NULL);
    learner_iterate(&l, NULL);
    for (int i = 0; i < ROWS * OBS; i++) obs[i] = (trpo_real)trpo_sin(i);
    CHECK(trpo_predict(l.agent, act, obs, NULL, 1, ROWS) == TRPO_OK);
    CHECK(trpo_value(l.agent, val, obs, ROWS) == TRPO_OK);
    for (int n = 0; n < ROWS; n++) {
        CHECK(trpo_predict(l.agent, one_act, obs + n * OBS, NULL, 1, 1) == TRPO_OK);
        CHECK(trpo_value(l.agent, &one_val, obs + n * OBS, 1) == TRPO_OK);
        CHECK(memcmp(one_act, act + n * s.n_parts, (size_t)s.n_parts * sizeof *act) == 0);
        CHECK(one_val == val[n]);
    }
    learner_end(&l);
}

/* ---- executors ------------------------------------------------------------------------------- */

enum { MAX_TASKS = 256 };

static void run_reversed(void *ctx, int n_tasks, void (*task)(void *arg, int index, int worker),
                         void *arg)
{
    (void)ctx;
    for (int i = n_tasks - 1; i >= 0; i--) task(arg, i, 0);
}

typedef struct dealer {
    toy random;
    int n_workers;
    int most; /* the most tasks in a run */
} dealer;

static int pick(dealer *d, int n) { return (int)((toy_random(&d->random) + 1) / 2 * n) % n; }

/* Any order and any worker, as a thread pool may choose. */
static void run_shuffled(void *ctx, int n_tasks, void (*task)(void *arg, int index, int worker),
                         void *arg)
{
    dealer *d = (dealer *)ctx;
    int order[MAX_TASKS];
    if (!CHECK(n_tasks <= MAX_TASKS)) return;
    d->most = n_tasks > d->most ? n_tasks : d->most;
    for (int i = 0; i < n_tasks; i++) order[i] = i;
    for (int i = 0; i < n_tasks; i++) {
        const int j = i + pick(d, n_tasks - i), chosen = order[j];
        order[j] = order[i];
        task(arg, chosen, pick(d, d->n_workers));
    }
}

/* Enough rows for more than 32 chunks of 256, so that blocks have several chunks. */
static void large_settings(trpo_settings *s, int space, int critic)
{
    small_settings(s, space, 1);
    s->n_envs = MAX_ENVS;
    s->n_steps = 66;
    s->critic = critic;
    s->batch_size = 3000;
    s->sub_sampling_factor = 1 + critic;
    s->normalize_observations = s->normalize_rewards = 1;
}

static void executors_change_nothing(int space, int critic)
{
    trpo_settings s;
    dealer five = {{0, {0}, {0}}, 5, 0};
    const trpo_executor reversed = {NULL, 1, run_reversed};
    const trpo_executor shuffled = {&five, 5, run_shuffled};
    check_name("executors, %s, critic %d", space_name(space), critic);
    large_settings(&s, space, critic);
    const uint64_t bits = bits_after(&s, NULL, 2);
    CHECK(bits_after(&s, &reversed, 2) == bits);
    CHECK(bits_after(&s, &shuffled, 2) == bits);
    CHECK(five.most > 16); /* otherwise there was nothing to shuffle */
}

int main(void)
{
    for (int space = 0; space < N_SPACES; space++) {
        rows_are_predicted_alone(space);
        for (int critic = 0; critic < N_CRITICS; critic++) {
            the_seed_decides(space, critic);
            predictions_change_nothing(space, critic, 0);
            predictions_change_nothing(space, critic, 1);
            executors_change_nothing(space, critic);
        }
    }
    the_seed_decides_the_first_parameters();
    agents_are_independent();
    return check_result();
}
