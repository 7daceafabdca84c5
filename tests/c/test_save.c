/* Saving: training resumes bit for bit; bytes that are damaged, truncated or from another model are
 * rejected and change nothing. */
#include "saved.h"

/* ---- resuming -------------------------------------------------------------------------------- */

/* Loads the original into an agent with another seed and another history. */
static void resume(learner *resumed, const learner *original, const trpo_settings *s)
{
    trpo_settings other = *s;
    saved state = save(original->agent);
    other.seed += 1000;
    learner_start(resumed, &other, NULL);
    learner_iterate(resumed, NULL);
    learner_steps(resumed, 3);
    CHECK(trpo_load(resumed->agent, state.bytes, state.count) == TRPO_OK);
    CHECK(trpo_recorded(resumed->agent) == 0); /* the rollout of the old policy */
    CHECK(saved_bits(resumed->agent) == saved_bits(original->agent));
    resumed->world = original->world;
    free(state.bytes);
}

static void check_same_predictions(learner *a, learner *b)
{
    enum { ROWS = 20 };
    trpo_real obs[ROWS * OBS], act_a[ROWS * MAX_PARTS], act_b[ROWS * MAX_PARTS];
    for (int i = 0; i < ROWS * OBS; i++) obs[i] = (trpo_real)sin(i);
    for (int deterministic = 0; deterministic < 2; deterministic++) {
        CHECK(trpo_predict(a->agent, act_a, obs, NULL, deterministic, ROWS) == TRPO_OK);
        CHECK(trpo_predict(b->agent, act_b, obs, NULL, deterministic, ROWS) == TRPO_OK);
        for (int i = 0; i < ROWS * a->set.n_parts; i++) CHECK(act_a[i] == act_b[i]);
    }
}

static void training_resumes_bit_for_bit(int space, int critic)
{
    trpo_settings s;
    learner original, resumed;
    check_name("going on, %s, critic %d", space_name(space), critic);
    small_settings(&s, space, 1);
    s.critic = critic;
    s.sub_sampling_factor = 2;
    s.normalize_observations = s.normalize_rewards = 1;
    learner_start(&original, &s, NULL);
    for (int i = 0; i < 2; i++) learner_iterate(&original, NULL);
    resume(&resumed, &original, &s);
    check_same_predictions(&original, &resumed);
    for (int i = 0; i < 2; i++) {
        CHECK(learner_iterate(&original, NULL) == learner_iterate(&resumed, NULL));
        CHECK(saved_bits(original.agent) == saved_bits(resumed.agent));
    }
    learner_end(&original);
    learner_end(&resumed);
}

/* ---- rejected bytes -------------------------------------------------------------------------- */

/* During a rollout: neither the state nor the rows may change. */
static void check_refused(learner *l, const void *bytes, size_t count, int status)
{
    const uint64_t bits = saved_bits(l->agent);
    const int rows = trpo_recorded(l->agent);
    CHECK(trpo_load(l->agent, bytes, count) == status);
    CHECK(saved_bits(l->agent) == bits);
    CHECK(trpo_recorded(l->agent) == rows);
}

static void check_not_loaded(learner *l, const void *bytes, size_t count)
{
    check_refused(l, bytes, count, TRPO_ERR_MODEL);
}

static void start_in_a_rollout(learner *l, const trpo_settings *s)
{
    learner_start(l, s, NULL);
    learner_steps(l, 2);
}

static void truncated_bytes_are_rejected(void)
{
    trpo_settings s;
    learner l;
    check_name("truncated");
    small_settings(&s, GAUSSIAN, 1);
    start_in_a_rollout(&l, &s);
    saved state = save(l.agent);
    unsigned char *longer = (unsigned char *)take(state.count + 1);
    memcpy(longer, state.bytes, state.count);
    longer[state.count] = 0;
    for (size_t count = 0; count < state.count; count += 1 + count / 20) {
        unsigned char *cut = (unsigned char *)take(count + 1); /* sanitizers detect reads beyond */
        memcpy(cut, state.bytes, count);
        check_refused(&l, cut, count, count < 8 ? TRPO_ERR_FOREIGN : TRPO_ERR_MODEL);
        free(cut);
    }
    check_not_loaded(&l, state.bytes, state.count - 1);
    check_not_loaded(&l, longer, state.count + 1);
    check_refused(&l, NULL, state.count, TRPO_ERR_FOREIGN);
    check_refused(&l, NULL, 0, TRPO_ERR_FOREIGN);
    free(longer);
    free(state.bytes);
    learner_end(&l);
}

static void flipped_bits_are_rejected(void)
{
    trpo_settings s;
    learner l;
    check_name("flipped");
    small_settings(&s, CATEGORICAL, 0);
    start_in_a_rollout(&l, &s);
    saved state = save(l.agent);
    for (size_t i = 0; i < state.count; i++) {
        const unsigned char right = state.bytes[i];
        state.bytes[i] = (unsigned char)(right ^ (1u << (i % 8)));
        if (i < 8) /* what says that the bytes are ours, and in which format */
            check_refused(&l, state.bytes, state.count,
                          i < 4 || i == 7 ? TRPO_ERR_FOREIGN : TRPO_ERR_NEWER);
        else
            check_not_loaded(&l, state.bytes, state.count);
        state.bytes[i] = right;
    }
    CHECK(trpo_load(l.agent, state.bytes, state.count) == TRPO_OK);
    free(state.bytes);
    learner_end(&l);
}

static void other_bytes_are_rejected(void)
{
    trpo_settings s;
    learner l;
    check_name("zeros, and text");
    small_settings(&s, CATEGORICAL, 1);
    start_in_a_rollout(&l, &s);
    saved state = save(l.agent);
    memset(state.bytes, 0, state.count);
    check_refused(&l, state.bytes, state.count, TRPO_ERR_FOREIGN);
    memset(state.bytes, 'x', state.count);
    check_refused(&l, state.bytes, state.count, TRPO_ERR_FOREIGN);
    free(state.bytes);
    learner_end(&l);
}

/* ---- other models ---------------------------------------------------------------------------- */

enum { N_OTHERS = 13 };

/* The settings of `small_settings(TWO_PARTS, 2)` but for one thing, which decides what the numbers
 * mean; in many of these the number of bytes stays the same. Returns what trpo_bad_saved names. */
static const char *other_settings(trpo_settings *s, int i)
{
    static const char *const names[N_OTHERS] = {
        "parts",         "parts",      "distribution", "policy_hidden", "policy_hidden",
        "value_hidden",  "policy_hidden", "value_hidden", "activation",  "obs_size",
        "critic",        "normalize_observations", "normalize_rewards"};
    static const int five[] = {5}, swapped[] = {3, 2}, five_ones[] = {1, 1, 1, 1, 1};
    static const int narrow[] = {6, 8}, wide[] = {8, 7};
    small_settings(s, TWO_PARTS, 2);
    switch (i) {
    case 0: s->parts = five, s->n_parts = 1; break;
    case 1: s->parts = swapped; break;
    case 2: s->distribution = TRPO_GAUSSIAN, s->parts = five_ones, s->n_parts = 5; break;
    case 3: s->policy_hidden = narrow; break;
    case 4: s->policy_hidden = wide; break;
    case 5: s->value_hidden = narrow; break;
    case 6: s->n_policy_hidden = 1; break;
    case 7: s->n_value_hidden = 1; break;
    case 8: s->activation = TRPO_RELU; break;
    case 9: s->obs_size = OBS + 1; break;
    case 10: s->critic = TRPO_RIDGE; break;
    case 11: s->normalize_observations = 1; break;
    default: s->normalize_rewards = 1; break;
    }
    return names[i];
}

static saved save_of_fresh(const trpo_settings *s)
{
    learner l;
    learner_start(&l, s, NULL);
    const saved state = save(l.agent);
    learner_end(&l);
    return state;
}

static void another_models_bytes_are_rejected(void)
{
    trpo_settings own, other;
    learner l;
    small_settings(&own, TWO_PARTS, 2);
    start_in_a_rollout(&l, &own);
    for (int i = 0; i < N_OTHERS; i++) {
        check_name("another model, number %d", i);
        const char *name = other_settings(&other, i);
        saved state = save_of_fresh(&other);
        check_refused(&l, state.bytes, state.count, TRPO_ERR_OTHER);
        const char *culprit = trpo_bad_saved(l.agent, state.bytes, state.count);
        CHECK(culprit != NULL && strcmp(culprit, name) == 0);
        free(state.bytes);
    }
    learner_end(&l);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void a_small_buffer_is_rejected(void)
{
    trpo_settings s;
    learner l;
    check_name("a buffer too small");
    small_settings(&s, GAUSSIAN, 1);
    learner_start(&l, &s, NULL);
    const size_t count = trpo_save_bytes(l.agent), sizes[] = {0, 1, count / 2, count - 1};
    unsigned char *buffer = (unsigned char *)take(count + 1);
    memset(buffer, 0xA5, count + 1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        CHECK(trpo_save(l.agent, buffer, sizes[i]) == TRPO_ERR_MEMORY);
    CHECK(trpo_save(l.agent, NULL, count) == TRPO_ERR_MEMORY);
    for (size_t i = 0; i <= count; i++) CHECK(buffer[i] == 0xA5);
    CHECK(trpo_save(l.agent, buffer + 1, count) == TRPO_OK); /* any alignment, no extra byte */
    CHECK(buffer[0] == 0xA5);
    CHECK(trpo_load(l.agent, buffer + 1, count) == TRPO_OK);
    free(buffer);
    learner_end(&l);
}

/* Fields can be read and written by name. */
static void fields_are_the_state(void)
{
    static const char *const names[] = {"theta",     "value_theta", "obs_count",   "obs_mean",
                                        "obs_m2",    "rew_count",   "rew_mean",    "rew_m2",
                                        "rew_running", "adam_m",    "adam_v",      "counters",
                                        "damping_scale"};
    enum { N_NAMES = sizeof names / sizeof *names };
    trpo_settings s;
    learner l;
    const char *name;
    size_t count;
    check_name("fields");
    small_settings(&s, GAUSSIAN, 1);
    learner_start(&l, &s, NULL);
    for (int i = 0; i < N_NAMES; i++) {
        CHECK(trpo_state_field(l.agent, i, &name, &count) != NULL);
        CHECK(strcmp(name, names[i]) == 0 && count > 0);
    }
    CHECK(trpo_state_field(l.agent, N_NAMES, &name, &count) == NULL);
    CHECK(trpo_state_field(l.agent, -1, &name, &count) == NULL);
    learner_end(&l);
}

static void refresh_follows_a_write(void)
{
    const trpo_real obs[OBS] = {1, -1, (trpo_real)0.5};
    trpo_real act[MAX_PARTS], before[MAX_PARTS];
    trpo_settings s;
    learner l;
    size_t count;
    check_name("refresh");
    small_settings(&s, GAUSSIAN, 0);
    learner_start(&l, &s, NULL);
    double *theta = state_field(l.agent, "theta", &count);
    CHECK(trpo_predict(l.agent, before, obs, NULL, 1, 1) == TRPO_OK);
    theta[OBS * 2] += 8; /* the first mean's bias */
    trpo_refresh(l.agent);
    CHECK(trpo_predict(l.agent, act, obs, NULL, 1, 1) == TRPO_OK);
    CHECK(fabs((double)act[0] - (double)before[0] - 8) < 1e-5);
    CHECK(act[1] == before[1]);
    learner_end(&l);
}

int main(void)
{
    for (int space = 0; space < N_SPACES; space++)
        for (int critic = 0; critic < N_CRITICS; critic++)
            training_resumes_bit_for_bit(space, critic);
    truncated_bytes_are_rejected();
    flipped_bits_are_rejected();
    other_bytes_are_rejected();
    another_models_bytes_are_rejected();
    a_small_buffer_is_rejected();
    fields_are_the_state();
    refresh_follows_a_write();
    return check_result();
}
