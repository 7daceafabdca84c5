/* Action masks: forbidden choices are never taken, invalid masks are reported with their place, and
 * updates with masks have the same bits for any executor. */
#include "check.h"

enum { MOST_CHOICES = 5, N_ROWS = 150 };

static int n_outputs(const trpo_settings *s)
{
    int A = 0;
    for (int d = 0; d < s->n_parts; d++) A += s->parts[d];
    return A;
}

/* Allows one choice of each component and every second of the others; as 1 or 0xFF. */
static void random_mask(uint8_t *mask, const trpo_settings *s, int rows, uint64_t *seed)
{
    for (int i = 0; i < rows * s->n_parts; i++) {
        const int K = s->parts[i % s->n_parts];
        for (int k = 0; k < K; k++) {
            *seed = *seed * 6364136223846793005u + 1;
            mask[k] = (uint8_t)(*seed >> 63);
        }
        mask[(*seed >> 33) % (uint64_t)K] = 0xFF;
        mask += K;
    }
}

static int are_allowed(const trpo_real *act, const uint8_t *mask, const trpo_settings *s, int rows)
{
    for (int i = 0; i < rows * s->n_parts; i++) {
        if (!mask[(int)act[i]]) return 0;
        mask += s->parts[i % s->n_parts];
    }
    return 1;
}

/* A rollout with masks except in every third row, and its update. */
static void masked_iteration(learner *l, uint64_t *seed)
{
    uint8_t mask[MAX_ENVS * MOST_CHOICES];
    for (int t = 0; t < l->set.n_steps; t++) {
        toy_observe(&l->world, l->obs, l->set.n_envs);
        random_mask(mask, &l->set, l->set.n_envs, seed);
        CHECK(trpo_act(l->agent, l->act, NULL, NULL, l->obs, t % 3 ? mask : NULL) == TRPO_OK);
        if (t % 3) CHECK(are_allowed(l->act, mask, &l->set, l->set.n_envs));
        learner_push(l);
    }
    CHECK(trpo_update(l->agent, NULL) == TRPO_OK);
}

static uint64_t bits_under_masks(const trpo_settings *s, const trpo_executor *executor)
{
    learner l;
    uint64_t seed = 3;
    learner_start(&l, s, executor);
    for (int i = 0; i < 2; i++) masked_iteration(&l, &seed);
    CHECK(state_is_finite(l.agent));
    const uint64_t bits = saved_bits(l.agent);
    learner_end(&l);
    return bits;
}

static void run_reversed(void *ctx, int n_tasks, void (*task)(void *arg, int index, int worker),
                         void *arg)
{
    (void)ctx;
    for (int i = n_tasks - 1; i >= 0; i--) task(arg, i, i % 3);
}

static void executors_change_nothing(int space)
{
    const trpo_executor reversed = {NULL, 3, run_reversed};
    trpo_settings s;
    check_name("masks, executors, %s", space_name(space));
    small_settings(&s, space, 1);
    s.n_envs = MAX_ENVS;
    s.sub_sampling_factor = 2;
    CHECK(bits_under_masks(&s, &reversed) == bits_under_masks(&s, NULL));
}

/* Sets with fused multiply-add give the same bits. */
static void instruction_sets_agree(int space)
{
    static const char *const sets[] = {"avx512", "avx2", "neon"};
    trpo_settings s;
    uint64_t first = 0;
    int n_runnable = 0;
    check_name("masks, instruction sets, %s", space_name(space));
    small_settings(&s, space, 2);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        s.instruction_set = sets[i];
        if (trpo_bad_setting(&s) != NULL) continue;
        const uint64_t bits = bits_under_masks(&s, NULL);
        if (n_runnable++ == 0) first = bits;
        CHECK(bits == first);
    }
    s.instruction_set = "baseline";
    bits_under_masks(&s, NULL);
}

static void predictions_are_allowed(int space, int deterministic)
{
    trpo_settings s;
    learner l;
    uint64_t seed = 7;
    trpo_real obs[N_ROWS * OBS], act[N_ROWS * MAX_PARTS];
    uint8_t mask[N_ROWS * MOST_CHOICES];
    check_name("masked predictions, %s, deterministic %d", space_name(space), deterministic);
    small_settings(&s, space, 1);
    learner_start(&l, &s, NULL);
    random_mask(mask, &s, N_ROWS, &seed);
    for (int i = 0; i < N_ROWS * OBS; i++) obs[i] = (trpo_real)sin(i);
    CHECK(trpo_predict(l.agent, act, obs, mask, deterministic, N_ROWS) == TRPO_OK);
    CHECK(are_allowed(act, mask, &s, N_ROWS));
    learner_end(&l);
}

/* ---- rejected masks -------------------------------------------------------------------------- */

typedef struct refusal {
    learner *l;
    uint64_t bits;
    uint8_t mask[4 * MOST_CHOICES];
    trpo_real act[4 * MAX_PARTS];
} refusal;

static void refuse_start(refusal *r, learner *l, int space)
{
    trpo_settings s;
    memset(r, 0, sizeof *r);
    check_name("rejected masks, %s", space_name(space));
    small_settings(&s, space, 1);
    learner_start(l, &s, NULL);
    learner_steps(l, 2);
    toy_observe(&l->world, l->obs, s.n_envs);
    memset(r->mask, 1, sizeof r->mask);
    r->l = l;
    r->bits = saved_bits(l->agent);
}

static void check_rejected(const refusal *r, int status, int step, int env, int component)
{
    trpo_culprit culprit;
    trpo_get_culprit(r->l->agent, &culprit);
    CHECK(status == TRPO_ERR_MASK);
    CHECK(culprit.step == step && culprit.env == env && culprit.component == component);
    CHECK(saved_bits(r->l->agent) == r->bits);
    CHECK(trpo_recorded(r->l->agent) == 2);
}

static void every_call_refuses(refusal *r, int env, int component)
{
    learner *l = r->l;
    trpo_real *act = r->act;
    check_rejected(r, trpo_act(l->agent, act, NULL, NULL, l->obs, r->mask), 2, env, component);
    check_rejected(r, trpo_record(l->agent, NULL, NULL, l->obs, act, r->mask), 2, env, component);
    for (int sure = 0; sure < 2; sure++)
        check_rejected(r, trpo_predict(l->agent, act, l->obs, r->mask, sure, 4), -1, env,
                       component);
    check_rejected(r, trpo_outputs(l->agent, act, l->obs, r->mask, 4), -1, env, component);
}

static void no_choice_left(int space)
{
    learner l;
    refusal r;
    refuse_start(&r, &l, space);
    const int D = l.set.n_parts, A = n_outputs(&l.set), K = l.set.parts[D - 1];
    memset(r.mask + 3 * A - K, 0, (size_t)K); /* the last component of environment 2 */
    every_call_refuses(&r, 2, D - 1);
    learner_end(&l);
}

static void forbidden_action(int space)
{
    learner l;
    refusal r;
    refuse_start(&r, &l, space);
    const int D = l.set.n_parts, A = n_outputs(&l.set), K = l.set.parts[D - 1];
    r.act[3 * D + D - 1] = (trpo_real)(K - 1);
    r.mask[4 * A - 1] = 0;
    check_rejected(&r, trpo_record(l.agent, NULL, NULL, l.obs, r.act, r.mask), 2, 3, D - 1);
    r.act[3 * D + D - 1] = 0;
    CHECK(trpo_record(l.agent, NULL, NULL, l.obs, r.act, r.mask) == TRPO_OK);
    learner_end(&l);
}

static void no_choices(void)
{
    learner l;
    refusal r;
    refuse_start(&r, &l, GAUSSIAN);
    every_call_refuses(&r, 0, 0);
    learner_end(&l);
}

int main(void)
{
    const int spaces[] = {CATEGORICAL, TWO_PARTS};
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
        executors_change_nothing(spaces[i]);
        instruction_sets_agree(spaces[i]);
        for (int deterministic = 0; deterministic < 2; deterministic++)
            predictions_are_allowed(spaces[i], deterministic);
        no_choice_left(spaces[i]);
        forbidden_action(spaces[i]);
    }
    no_choices();
    return check_result();
}
