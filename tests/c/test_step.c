/* Rules of the step: acceptance, bounds of log_std, adaptive damping, settings that change during
 * training; and the clock that times stages. */
#include "check.h"

/* ---- rules of the step ----------------------------------------------------------------------- */

/* What the rule guarantees for an accepted step. */
static void check_guarantee(const trpo_settings *s, int status, const trpo_info *info)
{
    const double limit = s->kl_slack * s->target_kl * (1 + 1e-6);
    CHECK((status == TRPO_OK) == (info->rejected == TRPO_NOT_REJECTED));
    if (s->acceptance == TRPO_ACCEPT_ALWAYS) CHECK(info->line_search_steps <= 1);
    if (status != TRPO_OK) return;
    CHECK(isfinite(info->kl) && info->kl >= 0 && isfinite(info->surr_gain));
    if (s->acceptance != TRPO_ACCEPT_ALWAYS) CHECK(info->kl <= limit);
    if (s->acceptance == TRPO_ACCEPT_IMPROVEMENT) CHECK(info->surr_gain > 0);
}

/* The factor on the adaptive damping, by the ratio of the gain to the prediction. */
static double adapted(const trpo_info *info)
{
    const double ratio = info->surr_gain / info->surr_gain_predicted;
    return ratio < 0.25 ? 1.5 : ratio > 0.75 ? 1 / 1.5 : 1;
}

/* Each rule, with bounds that are soon reached, and the damping that is reported. */
static void a_rule_keeps_its_guarantees(int space, int acceptance, int kl_direction)
{
    trpo_settings s;
    learner l;
    trpo_info info;
    size_t count;
    check_name("acceptance %d, direction %d, %s", acceptance, kl_direction, space_name(space));
    small_settings(&s, space, 1);
    s.acceptance = acceptance;
    s.kl_direction = kl_direction;
    s.kl_slack = 1.5;
    s.adaptive_damping = 1;
    s.target_kl = 0.1;
    s.log_std_min = -0.05;
    s.log_std_max = 0.05;
    learner_start(&l, &s, NULL);
    for (int i = 0; i < 12; i++) {
        const double *scale = state_field(l.agent, "damping_scale", &count);
        const double damping = s.cg_damping * *scale;
        const int status = learner_iterate(&l, &info);
        check_guarantee(&s, status, &info);
        if (acceptance == TRPO_ACCEPT_ALWAYS) CHECK(status == TRPO_OK);
        CHECK(info.cg_damping == damping);
        CHECK(is_close(s.cg_damping * *scale, damping * adapted(&info), 1e-12));
        CHECK(space != GAUSSIAN || info.std >= exp(s.log_std_min) * (1 - 1e-12));
        CHECK(space != GAUSSIAN || info.std <= exp(s.log_std_max) * (1 + 1e-12));
    }
    CHECK(space != GAUSSIAN || info.std <= exp(s.log_std_min) * (1 + 1e-12));
    learner_end(&l);
}

/* Steps below rounding are rejected, and the damping rises each time. */
static void a_rejected_step_raises_the_damping(void)
{
    trpo_settings s;
    learner l;
    size_t count;
    check_name("damping after rejected steps");
    small_settings(&s, GAUSSIAN, 1);
    s.adaptive_damping = 1;
    s.target_kl = 1e-300;
    learner_start(&l, &s, NULL);
    for (int i = 0; i < 3; i++) CHECK(learner_iterate(&l, NULL) == TRPO_REJECTED);
    CHECK(is_close(*state_field(l.agent, "damping_scale", &count), 1.5 * 1.5 * 1.5, 1e-12));
    learner_end(&l);
}

/* An unlimited trust region: no rule accepts a step that is not finite. */
static void non_finite_steps_are_rejected(int space, int acceptance)
{
    trpo_settings s;
    learner l;
    trpo_info info;
    check_name("a step beyond all numbers, acceptance %d, %s", acceptance, space_name(space));
    small_settings(&s, space, 1);
    s.acceptance = acceptance;
    s.target_kl = 1e300;
    learner_start(&l, &s, NULL);
    for (int i = 0; i < 3; i++) check_guarantee(&s, learner_iterate(&l, &info), &info);
    CHECK(state_is_finite(l.agent));
    learner_end(&l);
}

/* A loaded state whose log_std is beyond the bounds is clamped. */
static void a_state_beyond_the_bounds_is_clamped(double first, double low, double high, double is)
{
    trpo_settings s;
    learner other, l;
    size_t count;
    check_name("a state of %g beyond the bounds", first);
    small_settings(&s, GAUSSIAN, 1);
    s.log_std_init = first;
    learner_start(&other, &s, NULL);
    s.log_std_init = 0;
    s.log_std_min = low;
    s.log_std_max = high;
    learner_start(&l, &s, NULL);
    const size_t bytes = trpo_save_bytes(other.agent);
    void *buffer = take(bytes);
    CHECK(trpo_save(other.agent, buffer, bytes) == TRPO_OK);
    CHECK(trpo_load(l.agent, buffer, bytes) == TRPO_OK);
    const double *theta = state_field(l.agent, "theta", &count);
    for (int i = 0; i < s.n_parts; i++) CHECK(theta[count - 1 - (size_t)i] == is);
    free(buffer);
    learner_end(&other);
    learner_end(&l);
}

/* ---- settings that change -------------------------------------------------------------------- */

/* Changing a setting during training has the same effect as creating the agent with it. */
static void new_settings_hold_from_the_next_update_on(void)
{
    trpo_settings s;
    learner changed, born;
    check_name("a new target_kl and learning_rate");
    small_settings(&s, GAUSSIAN, 1);
    s.critic = TRPO_ADAM;
    learner_start(&changed, &s, NULL);
    s.target_kl = 3e-4;
    s.learning_rate = 0.03;
    learner_start(&born, &s, NULL);
    learner_steps(&changed, s.n_steps / 2);
    CHECK(trpo_set_target_kl(changed.agent, 3e-4) == TRPO_OK);
    CHECK(trpo_set_learning_rate(changed.agent, 0.03) == TRPO_OK);
    learner_steps(&changed, s.n_steps - s.n_steps / 2);
    CHECK(trpo_update(changed.agent, NULL) == learner_iterate(&born, NULL));
    CHECK(saved_bits(changed.agent) == saved_bits(born.agent));
    learner_end(&changed);
    learner_end(&born);
}

static void new_settings_out_of_range_change_nothing(void)
{
    const double bad[] = {0, -1, (double)NAN, (double)INFINITY, -(double)INFINITY};
    trpo_settings s;
    learner changed, left;
    check_name("new settings out of range");
    small_settings(&s, GAUSSIAN, 1);
    s.critic = TRPO_ADAM;
    learner_start(&changed, &s, NULL);
    learner_start(&left, &s, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(trpo_set_target_kl(changed.agent, bad[i]) == TRPO_ERR_SETTING);
        CHECK(trpo_set_learning_rate(changed.agent, bad[i]) == TRPO_ERR_SETTING);
    }
    CHECK(learner_iterate(&changed, NULL) == learner_iterate(&left, NULL));
    CHECK(saved_bits(changed.agent) == saved_bits(left.agent));
    learner_end(&changed);
    learner_end(&left);
}

/* ---- the clock ------------------------------------------------------------------------------- */

static int ticks;
static double ticking(void) { return 1 << ticks++; } /* 1, 2, 4, ...: a sum identifies its terms */

/* Each stage gets its time, and the results are those without a clock. */
static void stages_are_timed(void)
{
    trpo_settings s;
    learner timed, plain;
    trpo_info info, untimed;
    check_name("a clock");
    small_settings(&s, CATEGORICAL, 1);
    learner_start(&plain, &s, NULL);
    s.clock = ticking;
    learner_start(&timed, &s, NULL);
    CHECK(ticks == 0);
    learner_iterate(&timed, &info);
    learner_iterate(&plain, &untimed);
    CHECK(ticks == 1 + TRPO_N_STAGES);
    for (int stage = 0; stage < TRPO_N_STAGES; stage++) {
        CHECK(info.seconds[stage] == 1 << stage);
        CHECK(untimed.seconds[stage] == 0);
    }
    CHECK(saved_bits(timed.agent) == saved_bits(plain.agent));
    learner_end(&timed);
    learner_end(&plain);
}

int main(void)
{
    for (int space = 0; space < N_SPACES; space++)
        for (int acceptance = 0; acceptance < 3; acceptance++) {
            non_finite_steps_are_rejected(space, acceptance);
            for (int direction = 0; direction < 2; direction++)
                a_rule_keeps_its_guarantees(space, acceptance, direction);
        }
    a_rejected_step_raises_the_damping();
    a_state_beyond_the_bounds_is_clamped(-5, -1, 20, -1);
    a_state_beyond_the_bounds_is_clamped(5, -1, 2, 2);
    new_settings_hold_from_the_next_update_on();
    new_settings_out_of_range_change_nothing();
    stages_are_timed();
    return check_result();
}
