/* The rollout: calls out of order and bad input are rejected, located and leave no trace; skipped
 * rows have no effect. */
#include "check.h"

static const trpo_real nan_ = (trpo_real)NAN, inf_ = (trpo_real)INFINITY;

/* What a failing call must leave unchanged. */
typedef struct trace {
    uint64_t bits;
    int rows;
} trace;

static trace trace_of(const learner *l)
{
    const trace now = {saved_bits(l->agent), trpo_recorded(l->agent)};
    return now;
}

static void check_untouched(const learner *l, trace before)
{
    CHECK(saved_bits(l->agent) == before.bits);
    CHECK(trpo_recorded(l->agent) == before.rows);
}

static void check_culprit(const learner *l, int step, int env, int component)
{
    trpo_culprit culprit;
    trpo_get_culprit(l->agent, &culprit);
    CHECK(culprit.step == step);
    CHECK(culprit.env == env);
    CHECK(culprit.component == component);
}

/* ---- calls out of order: between rows, in a row, and at the end ------------------------------ */

static int push_something(learner *l)
{
    static const double rew[MAX_ENVS] = {0};
    static const uint8_t no[MAX_ENVS] = {0};
    static const trpo_real next_obs[MAX_ENVS * OBS] = {0};
    return trpo_push(l->agent, rew, no, no, next_obs, NULL);
}

static void push_is_out_of_order(learner *l)
{
    const trace before = trace_of(l);
    CHECK(push_something(l) == TRPO_ERR_ORDER);
    check_untouched(l, before);
}

/* Opening another row fails, and writes no output. */
static void opening_fails(learner *l, int status)
{
    trpo_real act[MAX_ENVS * MAX_PARTS] = {7}, logp[MAX_ENVS] = {7}, val[MAX_ENVS] = {7};
    static const trpo_real obs[MAX_ENVS * OBS] = {0}, taken[MAX_ENVS * MAX_PARTS] = {0};
    const trace before = trace_of(l);
    CHECK(trpo_act(l->agent, act, logp, val, obs, NULL) == status);
    CHECK(trpo_record(l->agent, logp, val, obs, taken, NULL) == status);
    CHECK(act[0] == 7 && logp[0] == 7 && val[0] == 7);
    check_untouched(l, before);
}

static void update_fails(learner *l, int status)
{
    trpo_info info;
    memset(&info, 0, sizeof info);
    info.n_samples = -7;
    const trace before = trace_of(l);
    CHECK(trpo_update(l->agent, &info) == status);
    CHECK(trpo_update(l->agent, NULL) == status);
    CHECK(info.n_samples == -7);
    check_untouched(l, before);
}

/* ---- invalid numbers ------------------------------------------------------------------------- */

static void bad_observation(learner *l, trpo_real bad)
{
    enum { ENV = 2, COMPONENT = 1 };
    trpo_real obs[MAX_ENVS * OBS], act[MAX_ENVS * MAX_PARTS] = {0}, val[MAX_ENVS], *out = NULL;
    toy_observe(&l->world, obs, l->set.n_envs);
    obs[ENV * OBS + COMPONENT] = bad;
    const trace before = trace_of(l);
    CHECK(trpo_act(l->agent, act, NULL, NULL, obs, NULL) == TRPO_ERR_OBS);
    check_culprit(l, trpo_recorded(l->agent), ENV, COMPONENT);
    CHECK(trpo_record(l->agent, NULL, NULL, obs, act, NULL) == TRPO_ERR_OBS);
    check_culprit(l, trpo_recorded(l->agent), ENV, COMPONENT);
    for (int deterministic = 0; deterministic < 2; deterministic++)
        CHECK(trpo_predict(l->agent, act, obs, NULL, deterministic, ENV + 1) == TRPO_ERR_OBS);
    check_culprit(l, -1, ENV, COMPONENT);
    CHECK(trpo_value(l->agent, val, obs, ENV + 1) == TRPO_ERR_OBS);
    check_culprit(l, -1, ENV, COMPONENT);
    CHECK(trpo_outputs(l->agent, out, obs, NULL, ENV + 1) == TRPO_ERR_OBS); /* writes nothing */
    check_culprit(l, -1, ENV, COMPONENT);
    check_untouched(l, before);
}

static void bad_action(learner *l, trpo_real bad)
{
    const int ENV = 3, D = l->set.n_parts;
    trpo_real obs[MAX_ENVS * OBS], act[MAX_ENVS * MAX_PARTS] = {0};
    toy_observe(&l->world, obs, l->set.n_envs);
    act[ENV * D + D - 1] = bad;
    const trace before = trace_of(l);
    CHECK(trpo_record(l->agent, NULL, NULL, obs, act, NULL) == TRPO_ERR_ACT);
    check_culprit(l, trpo_recorded(l->agent), ENV, D - 1);
    check_untouched(l, before);
}

static void bad_actions(learner *l)
{
    const int binary = l->set.distribution == TRPO_BERNOULLI;
    const trpo_real choices = (trpo_real)(binary ? 2 : l->set.parts[l->set.n_parts - 1]);
    const trpo_real no_choice[] = {choices, choices + 1, (trpo_real)0.5, -1, (trpo_real)1e30};
    bad_action(l, nan_);
    bad_action(l, inf_);
    bad_action(l, -inf_);
    if (l->set.distribution == TRPO_GAUSSIAN) return;
    for (size_t i = 0; i < sizeof no_choice / sizeof *no_choice; i++) bad_action(l, no_choice[i]);
}

static void bad_reward(learner *l, double bad)
{
    const uint8_t no[MAX_ENVS] = {0};
    const trpo_real next_obs[MAX_ENVS * OBS] = {0};
    double rew[MAX_ENVS] = {0};
    rew[1] = bad;
    const trace before = trace_of(l);
    CHECK(trpo_push(l->agent, rew, no, no, next_obs, NULL) == TRPO_ERR_REW);
    check_culprit(l, trpo_recorded(l->agent), 1, 0);
    check_untouched(l, before);
}

static void bad_next_observation(learner *l, trpo_real bad)
{
    const uint8_t no[MAX_ENVS] = {0};
    const double rew[MAX_ENVS] = {0};
    trpo_real next_obs[MAX_ENVS * OBS] = {0};
    next_obs[3 * OBS + 2] = bad;
    const trace before = trace_of(l);
    CHECK(trpo_push(l->agent, rew, no, no, next_obs, NULL) == TRPO_ERR_NEXT_OBS);
    check_culprit(l, trpo_recorded(l->agent), 3, 2);
    check_untouched(l, before);
}

/* ---- a rollout with many rejected calls has the same bits as one without --------------------- */

static void mistakes_between_rows(learner *l)
{
    push_is_out_of_order(l);
    bad_observation(l, nan_);
    bad_observation(l, -inf_);
    bad_actions(l);
}

static void mistakes_in_a_row(learner *l)
{
    opening_fails(l, TRPO_ERR_ORDER);
    update_fails(l, TRPO_ERR_ORDER);
    bad_reward(l, (double)NAN);
    bad_reward(l, (double)INFINITY);
    bad_next_observation(l, nan_);
    bad_next_observation(l, inf_);
}

static void iterate_with_mistakes(learner *l)
{
    update_fails(l, TRPO_ERR_EMPTY);
    for (int t = 0; t < l->set.n_steps; t++) {
        CHECK(trpo_recorded(l->agent) == t);
        mistakes_between_rows(l);
        learner_act(l);
        mistakes_in_a_row(l);
        learner_push(l);
    }
    opening_fails(l, TRPO_ERR_FULL);
    push_is_out_of_order(l);
    CHECK(trpo_update(l->agent, NULL) >= 0);
    update_fails(l, TRPO_ERR_EMPTY);
}

static void mistakes_change_nothing(int space)
{
    trpo_settings s;
    learner plain, mistaken;
    check_name("mistakes, %s", space_name(space));
    small_settings(&s, space, 1);
    s.n_steps = 7;
    s.normalize_observations = s.normalize_rewards = 1;
    learner_start(&plain, &s, NULL);
    learner_start(&mistaken, &s, NULL);
    for (int i = 0; i < 2; i++) {
        learner_iterate(&plain, NULL);
        iterate_with_mistakes(&mistaken);
        CHECK(saved_bits(plain.agent) == saved_bits(mistaken.agent));
    }
    learner_end(&plain);
    learner_end(&mistaken);
}

static void discard_drops_the_rollout(void)
{
    trpo_settings s;
    learner l;
    check_name("discard");
    small_settings(&s, GAUSSIAN, 1);
    learner_start(&l, &s, NULL);
    learner_steps(&l, 3);
    learner_act(&l);
    trpo_discard(l.agent);
    CHECK(trpo_recorded(l.agent) == 0);
    push_is_out_of_order(&l);
    update_fails(&l, TRPO_ERR_EMPTY);
    CHECK(learner_iterate(&l, NULL) == TRPO_OK);
    learner_end(&l);
}

/* ---- record is act with the caller's actions ------------------------------------------------- */

static int same_field(const learner *a, const learner *b, const char *name)
{
    size_t count_a = 0, count_b = 0;
    const double *x = state_field(a->agent, name, &count_a);
    const double *y = state_field(b->agent, name, &count_b);
    return count_a == count_b && memcmp(x, y, count_a * sizeof *x) == 0;
}

/* `acting` draws actions, `recording` records them; both have the same simulator. */
static void record_row(learner *acting, learner *recording)
{
    const int E = acting->set.n_envs;
    trpo_real logp[MAX_ENVS], val[MAX_ENVS], logp_told[MAX_ENVS], val_told[MAX_ENVS];
    toy_observe(&acting->world, acting->obs, E);
    CHECK(trpo_act(acting->agent, acting->act, logp, val, acting->obs, NULL) == TRPO_OK);
    CHECK(trpo_record(recording->agent, logp_told, val_told, acting->obs, acting->act, NULL) ==
          TRPO_OK);
    CHECK(memcmp(logp, logp_told, (size_t)E * sizeof *logp) == 0);
    CHECK(memcmp(val, val_told, (size_t)E * sizeof *val) == 0);
    memcpy(recording->act, acting->act, sizeof acting->act);
    learner_push(acting);
    learner_push(recording);
}

static void record_is_act_with_given_actions(int space)
{
    trpo_settings s;
    learner acting, recording;
    check_name("record, %s", space_name(space));
    small_settings(&s, space, 1);
    learner_start(&acting, &s, NULL);
    learner_start(&recording, &s, NULL);
    for (int t = 0; t < s.n_steps; t++) record_row(&acting, &recording);
    CHECK(trpo_update(acting.agent, NULL) == TRPO_OK);
    CHECK(trpo_update(recording.agent, NULL) == TRPO_OK);
    CHECK(same_field(&acting, &recording, "theta"));
    CHECK(same_field(&acting, &recording, "value_theta"));
    learner_end(&acting);
    learner_end(&recording);
}

/* ---- skipped rows ---------------------------------------------------------------------------- */

static int is_skipped(int t, int e) { return (t + 2 * e) % 5 == 3 || (e == 1 && t < 2); }

/* One row in which some environments are skipped, with `rubbish` as their outcome. */
static void push_with_skips(learner *l, int t, double rubbish)
{
    double rew[MAX_ENVS];
    uint8_t term[MAX_ENVS], trunc[MAX_ENVS], skip[MAX_ENVS] = {0};
    learner_act(l);
    toy_step(&l->world, rew, term, trunc, l->act, &l->set);
    toy_observe(&l->world, l->obs, l->set.n_envs);
    for (int e = 0; e < l->set.n_envs; e++) {
        if (!is_skipped(t, e)) continue;
        skip[e] = 1;
        rew[e] = rubbish;
        for (int i = 0; i < OBS; i++) l->obs[e * OBS + i] = (trpo_real)rubbish;
        if (!isfinite(rubbish)) term[e] = trunc[e] = 0xFF;
    }
    CHECK(trpo_push(l->agent, rew, term, trunc, l->obs, skip) == TRPO_OK);
}

static uint64_t bits_after_skips(const trpo_settings *s, double rubbish)
{
    learner l;
    trpo_info info;
    int kept = 0;
    learner_start(&l, s, NULL);
    for (int iteration = 0; iteration < 2; iteration++) {
        for (int t = 0; t < s->n_steps; t++) push_with_skips(&l, t, rubbish);
        CHECK(trpo_update(l.agent, &info) >= 0);
    }
    for (int n = 0; n < s->n_steps * s->n_envs; n++)
        kept += !is_skipped(n / s->n_envs, n % s->n_envs);
    CHECK(info.n_samples == kept);
    CHECK(isfinite(info.value_loss) && isfinite(info.grad_norm) && isfinite(info.entropy));
    CHECK(state_is_finite(l.agent));
    const uint64_t bits = saved_bits(l.agent);
    learner_end(&l);
    return bits;
}

static void skipped_rows_are_ignored(int space, int critic)
{
    trpo_settings s;
    check_name("skipped rows, %s, critic %d", space_name(space), critic);
    small_settings(&s, space, 1);
    s.critic = critic;
    s.normalize_observations = s.normalize_rewards = 1;
    const uint64_t bits = bits_after_skips(&s, 0);
    CHECK(bits_after_skips(&s, (double)NAN) == bits);
    CHECK(bits_after_skips(&s, (double)INFINITY) == bits);
}

static void push_skipping(learner *l, const uint8_t *skip)
{
    double rew[MAX_ENVS];
    uint8_t term[MAX_ENVS], trunc[MAX_ENVS];
    learner_act(l);
    toy_step(&l->world, rew, term, trunc, l->act, &l->set);
    toy_observe(&l->world, l->obs, l->set.n_envs);
    CHECK(trpo_push(l->agent, rew, term, trunc, l->obs, skip) == TRPO_OK);
}

/* An environment that is always skipped has no effect. */
static void an_idle_environment_changes_nothing(int critic)
{
    const uint8_t skip_second[] = {0, 1};
    trpo_settings s;
    learner alone, beside;
    check_name("an idle environment, critic %d", critic);
    small_settings(&s, CATEGORICAL, 1);
    s.critic = critic;
    s.n_envs = 1;
    s.sub_sampling_factor = 2;
    s.normalize_observations = s.normalize_rewards = 1;
    learner_start(&alone, &s, NULL);
    s.n_envs = 2;
    learner_start(&beside, &s, NULL);
    for (int t = 0; t < s.n_steps; t++) {
        beside.world.random = alone.world.random;
        push_skipping(&alone, NULL);
        push_skipping(&beside, skip_second);
    }
    CHECK(trpo_update(alone.agent, NULL) == trpo_update(beside.agent, NULL));
    CHECK(same_field(&alone, &beside, "theta"));
    CHECK(same_field(&alone, &beside, "value_theta"));
    CHECK(same_field(&alone, &beside, "obs_m2"));
    CHECK(same_field(&alone, &beside, "rew_m2"));
    learner_end(&alone);
    learner_end(&beside);
}

static void only_skipped_rows_are_an_empty_rollout(void)
{
    const uint8_t skip[] = {1, 1, 1, 1};
    trpo_settings s;
    learner l;
    check_name("nothing but skipped rows");
    small_settings(&s, GAUSSIAN, 1);
    learner_start(&l, &s, NULL);
    for (int t = 0; t < s.n_steps; t++) push_skipping(&l, skip);
    update_fails(&l, TRPO_ERR_EMPTY);
    learner_end(&l);
}

int main(void)
{
    for (int space = 0; space < N_SPACES; space++) {
        mistakes_change_nothing(space);
        record_is_act_with_given_actions(space);
        for (int critic = 0; critic < N_CRITICS; critic++)
            skipped_rows_are_ignored(space, critic);
    }
    for (int critic = 0; critic < N_CRITICS; critic++)
        an_idle_environment_changes_nothing(critic);
    discard_drops_the_rollout();
    only_skipped_rows_are_an_empty_rollout();
    return check_result();
}
