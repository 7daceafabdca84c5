/* One iteration: what every outcome guarantees, for every kind of agent; the theory's predictions
 * for a small step; returns computed by hand; and learning. */
#include "check.h"

/* ---- what every update guarantees ------------------------------------------------------------ */

/* ok: inside the trust region and better; any other outcome: theta is bitwise unchanged. */
static void check_guarantee(learner *l, int status, const trpo_info *info,
                            const double *theta_before)
{
    size_t count;
    const double *theta = state_field(l->agent, "theta", &count);
    CHECK(all_finite(theta, count));
    CHECK(info->n_samples == l->set.n_steps * l->set.n_envs);
    CHECK(isfinite(info->entropy) && isfinite(info->value_loss));
    CHECK(trpo_recorded(l->agent) == 0);
    if (status == TRPO_OK) {
        CHECK(info->kl <= l->set.target_kl * (1 + 1e-6) && info->kl >= 0);
        CHECK(info->surr_gain > 0 && info->surr_gain_predicted > 0);
        CHECK(info->curvature > 0 && info->step_norm > 0);
        CHECK(info->cg_steps >= 1 && info->cg_steps <= l->set.cg_max_steps);
        CHECK(info->line_search_steps <= l->set.line_search_max_iter);
        CHECK(memcmp(theta, theta_before, count * sizeof *theta) != 0);
        CHECK(info->rejected == TRPO_NOT_REJECTED);
        CHECK(info->kl_tried == info->kl && info->surr_gain_tried == info->surr_gain);
    } else {
        CHECK(info->rejected != TRPO_NOT_REJECTED);
        CHECK(memcmp(theta, theta_before, count * sizeof *theta) == 0);
        CHECK(info->kl == 0 && info->surr_gain == 0 && info->step_norm == 0);
    }
}

static int checked_iteration(learner *l, trpo_info *info)
{
    size_t count;
    double *before = copy_theta(l->agent, &count);
    const int status = learner_iterate(l, info);
    check_guarantee(l, status, info, before);
    free(before);
    return status;
}

/* Several iterations of one agent, most of which must find a step. */
static void check_guarantees(const trpo_settings *s)
{
    enum { ITERATIONS = 4 };
    learner l;
    trpo_info info;
    int n_ok = 0;
    learner_start(&l, s, NULL);
    for (int i = 0; i < ITERATIONS; i++) {
        n_ok += checked_iteration(&l, &info) == TRPO_OK;
        if (s->critic != TRPO_ADAM) CHECK(info.value_loss <= info.value_loss_before);
    }
    CHECK(2 * n_ok > ITERATIONS);
    CHECK(state_is_finite(l.agent));
    learner_end(&l);
}

/* Choice number `*code` % n; the rest of the code encodes further choices. */
static int take_choice(int *code, int n)
{
    const int choice = *code % n;
    *code /= n;
    return choice;
}

/* Sets up the kind of agent with this number; returns 0 after the last. */
static int kind_of_agent(trpo_settings *s, int code)
{
    static const int depths[] = {0, 1, 3};
    const int number = code, space = take_choice(&code, N_SPACES), depth = take_choice(&code, 3);
    small_settings(s, space, depths[depth]);
    s->preconditioner = take_choice(&code, 2);
    s->critic = take_choice(&code, 3);
    s->normalize_observations = take_choice(&code, 2);
    s->normalize_rewards = take_choice(&code, 2);
    s->sub_sampling_factor = 1 + 2 * take_choice(&code, 2);
    s->activation = number % 7 == 0 ? TRPO_RELU : TRPO_TANH;
    s->ent_coef = number % 5 == 0 ? 0.01 : 0;
    check_name("%s, %d hidden, preconditioner %d, critic %d, normalisers %d %d, every %d. row",
               space_name(space), depths[depth], s->preconditioner, s->critic,
               s->normalize_observations, s->normalize_rewards, s->sub_sampling_factor);
    return code == 0;
}

static void every_kind_of_agent_keeps_its_guarantees(void)
{
    trpo_settings s;
    for (int code = 0; kind_of_agent(&s, code); code++) check_guarantees(&s);
}

/* Sizes around the limits of tiles, chunks and blocks. */
static void every_number_of_rows_keeps_its_guarantees(void)
{
    static const int rows[] = {2, 3, 63, 64, 65, 255, 256, 257, 513, 8192, 8193};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        trpo_settings s;
        learner l;
        trpo_info info;
        check_name("%d rows", rows[i]);
        small_settings(&s, CATEGORICAL, 1);
        s.n_envs = 1;
        s.n_steps = rows[i];
        learner_start(&l, &s, NULL);
        checked_iteration(&l, &info);
        learner_end(&l);
    }
}

/* ---- outcomes without a step ----------------------------------------------------------------- */

static int iterate_with_reward(learner *l, double reward, trpo_info *info)
{
    double rew[MAX_ENVS];
    const uint8_t no[MAX_ENVS] = {0};
    for (int e = 0; e < MAX_ENVS; e++) rew[e] = reward;
    for (int t = 0; t < l->set.n_steps; t++) {
        learner_act(l);
        l->world.place[t % l->set.n_envs] = toy_random(&l->world);
        CHECK(trpo_push(l->agent, rew, no, no, l->obs, NULL) == TRPO_OK);
    }
    return trpo_update(l->agent, info);
}

/* gamma = 0 and V = 0 (the initial ridge critic), so that advantages are the constant reward. */
static void constant_advantages_teach_nothing(int space, double reward)
{
    trpo_settings s;
    learner l;
    trpo_info info;
    size_t count;
    check_name("constant reward %g, %s", reward, space_name(space));
    small_settings(&s, space, 1);
    s.critic = TRPO_RIDGE;
    s.gamma = 0;
    learner_start(&l, &s, NULL);
    double *before = copy_theta(l.agent, &count);
    CHECK(iterate_with_reward(&l, reward, &info) == TRPO_ZERO_GRADIENT);
    check_guarantee(&l, TRPO_ZERO_GRADIENT, &info, before);
    CHECK(info.grad_norm == 0 && info.rejected == TRPO_REJECTED_ZERO_GRADIENT);
    CHECK(info.kl_tried == 0 && info.surr_gain_tried == 0);
    free(before);
    learner_end(&l);
}

/* A trust region so small that a step in it does not change anything: there is no improvement. */
static void a_step_below_rounding_is_rejected(int space)
{
    trpo_settings s;
    learner l;
    trpo_info info;
    check_name("a step below rounding, %s", space_name(space));
    small_settings(&s, space, 1);
    s.target_kl = 1e-300;
    s.line_search_max_iter = 3;
    learner_start(&l, &s, NULL);
    for (int i = 0; i < 3; i++) {
        CHECK(checked_iteration(&l, &info) == TRPO_REJECTED);
        CHECK(info.line_search_steps == 3);
        CHECK(info.rejected == TRPO_REJECTED_IMPROVEMENT || info.rejected == TRPO_REJECTED_KL);
        CHECK(info.target_kl == 1e-300 && info.cg_damping == s.cg_damping);
    }
    learner_end(&l);
}

/* An unlimited trust region: theta stays finite, whatever happens to so long a step. */
static void a_step_beyond_all_numbers_does_no_harm(int space)
{
    trpo_settings s;
    learner l;
    trpo_info info;
    check_name("a step beyond all numbers, %s", space_name(space));
    small_settings(&s, space, 1);
    s.target_kl = 1e300;
    s.line_search_max_iter = 1;
    learner_start(&l, &s, NULL);
    for (int i = 0; i < 3; i++) checked_iteration(&l, &info);
    learner_end(&l);
}

/* A rejected policy step does not stop the critic from learning. */
static void the_critic_learns_despite_a_rejected_step(int critic)
{
    trpo_settings s;
    learner l;
    trpo_info info;
    check_name("critic %d beside a rejected step", critic);
    small_settings(&s, GAUSSIAN, 1);
    s.critic = critic;
    s.target_kl = 1e-300;
    s.n_critic_updates = 10;
    learner_start(&l, &s, NULL);
    CHECK(checked_iteration(&l, &info) == TRPO_REJECTED);
    CHECK(info.value_loss < info.value_loss_before);
    learner_end(&l);
}

/* ---- what the theory predicts ---------------------------------------------------------------- */

/* A trained policy: near the initial parameters all actions are about equally likely, and errors
 * could cancel. */
static void train_elsewhere(learner *l, int iterations)
{
    trpo_settings s = l->set;
    learner teacher;
    s.target_kl = 0.02;
    learner_start(&teacher, &s, NULL);
    for (int i = 0; i < iterations; i++) learner_iterate(&teacher, NULL);
    const size_t bytes = trpo_save_bytes(teacher.agent);
    void *buffer = take(bytes);
    CHECK(trpo_save(teacher.agent, buffer, bytes) == TRPO_OK);
    CHECK(trpo_load(l->agent, buffer, bytes) == TRPO_OK);
    free(buffer);
    learner_end(&teacher);
}

/* In a small trust region the surrogate changes as its gradient predicts, and the KL as the Fisher
 * matrix does: gain -> beta g'x and KL -> beta^2/2 x'Fx, up to relative errors of the order of
 * sqrt(KL). */
static void a_small_step_goes_as_predicted(int space, int n_hidden, int preconditioner,
                                           double ent_coef)
{
    trpo_settings s;
    learner l;
    trpo_info info;
    check_name("a small step, %s, %d hidden, preconditioner %d, entropy %g", space_name(space),
               n_hidden, preconditioner, ent_coef);
    small_settings(&s, space, n_hidden);
    s.preconditioner = preconditioner;
    s.ent_coef = ent_coef;
    s.target_kl = 1e-5;
    s.cg_max_steps = 10;
    learner_start(&l, &s, NULL);
    train_elsewhere(&l, 10);
    for (int i = 0; i < 3; i++) {
        CHECK(checked_iteration(&l, &info) == TRPO_OK);
        CHECK(info.line_search_steps <= 2); /* the KL may slightly exceed its prediction */
        const double shrunk = info.line_search_steps == 1 ? 1 : s.line_search_shrinking_factor;
        CHECK(is_close(info.surr_gain, shrunk * info.surr_gain_predicted, 0.02));
        CHECK(is_close(info.kl, shrunk * shrunk * info.kl_predicted, 0.02));
    }
    learner_end(&l);
}

/* A linear Gaussian policy's preconditioner is the exact inverse: one product suffices, and the
 * residual is rounding. */
static void a_linear_gaussian_policy_needs_one_product(void)
{
    trpo_settings s;
    learner l;
    trpo_info info;
    check_name("linear Gaussian policy");
    small_settings(&s, GAUSSIAN, 0);
    s.cg_tolerance = 1e-3;
    learner_start(&l, &s, NULL);
    for (int i = 0; i < 5; i++) {
        CHECK(checked_iteration(&l, &info) == TRPO_OK);
        CHECK(info.cg_steps == 1);
        CHECK(info.cg_residual < (sizeof(trpo_real) == sizeof(double) ? 1e-8 : 1e-3));
    }
    learner_end(&l);
}

/* ---- returns computed by hand ---------------------------------------------------------------- */

/* The critic's initial loss for one step of three environments with lambda = 1: one terminates (ret
 * = rew), one is truncated and one continues (ret = rew + gamma V(next_obs)). */
static double value_loss_by_hand(learner *l, const trpo_real *obs, const trpo_real *next_obs,
                                 const double *rew)
{
    trpo_real val[3], val_next[3];
    double sum = 0;
    CHECK(trpo_value(l->agent, val, obs, 3) == TRPO_OK);
    CHECK(trpo_value(l->agent, val_next, next_obs, 3) == TRPO_OK);
    for (int e = 0; e < 3; e++) {
        const double boot = e == 0 ? 0 : (double)val_next[e];
        const double error = rew[e] + l->set.gamma * boot - (double)val[e];
        sum += error * error;
    }
    return sum / 3;
}

static void truncation_is_not_termination(void)
{
    const uint8_t term[] = {1, 0, 0}, trunc[] = {0, 1, 0};
    const double rew[] = {1, -2, 0.5};
    trpo_real next_obs[3 * OBS];
    trpo_settings s;
    learner l;
    trpo_info info;
    check_name("one step, terminated, cut short, going on");
    small_settings(&s, CATEGORICAL, 1);
    s.n_envs = 3;
    s.n_steps = 1;
    s.gamma = 0.9;
    learner_start(&l, &s, NULL);
    for (int i = 0; i < 3; i++) {
        learner_act(&l);
        for (int e = 0; e < 3; e++) l.world.place[e] = 3 * toy_random(&l.world);
        toy_observe(&l.world, next_obs, 3);
        const double expected = value_loss_by_hand(&l, l.obs, next_obs, rew);
        CHECK(trpo_push(l.agent, rew, term, trunc, next_obs, NULL) == TRPO_OK);
        CHECK(trpo_update(l.agent, &info) >= 0);
        CHECK(is_close(info.value_loss_before, expected, 1e-5));
    }
    learner_end(&l);
}

/* ---- learning -------------------------------------------------------------------------------- */

/* The mean reward of the most likely actions over 2000 steps of a new simulator. */
static double mean_reward(learner *l)
{
    toy world;
    trpo_real obs[OBS], act[MAX_PARTS];
    double total = 0, rew;
    uint8_t term, trunc;
    trpo_settings one = l->set;
    one.n_envs = 1;
    toy_start(&world);
    for (int t = 0; t < 2000; t++) {
        toy_observe(&world, obs, 1);
        CHECK(trpo_predict(l->agent, act, obs, NULL, 1, 1) == TRPO_OK);
        toy_step(&world, &rew, &term, &trunc, act, &one);
        toy_reset(&world, &term, &trunc, 1);
        total += rew / 2000;
    }
    return total;
}

/* The best reward is 0 (Gaussian: the point's place) or n_parts (its side). */
static void it_learns(int space, int n_hidden)
{
    trpo_settings s;
    learner l;
    check_name("learning, %s, %d hidden", space_name(space), n_hidden);
    small_settings(&s, space, n_hidden);
    learner_start(&l, &s, NULL);
    const double best = space == GAUSSIAN ? 0 : s.n_parts, before = mean_reward(&l);
    for (int i = 0; i < 60; i++) learner_iterate(&l, NULL);
    const double after = mean_reward(&l);
    CHECK(after > before);
    /* the worst of 40 seeds are 0.07 and 0.31 below the best; untrained choices are 1.2 below */
    CHECK(after > best - (space == GAUSSIAN ? 0.1 : 0.4));
    learner_end(&l);
}

int main(void)
{
    every_kind_of_agent_keeps_its_guarantees();
    every_number_of_rows_keeps_its_guarantees();
    for (int space = 0; space < N_SPACES; space++) {
        constant_advantages_teach_nothing(space, 1);
        constant_advantages_teach_nothing(space, -1e6 / 3);
        constant_advantages_teach_nothing(space, 0);
        a_step_below_rounding_is_rejected(space);
        a_step_beyond_all_numbers_does_no_harm(space);
        for (int n_hidden = 0; n_hidden < 3; n_hidden++) {
            it_learns(space, n_hidden);
            a_small_step_goes_as_predicted(space, n_hidden, TRPO_NONE, 0);
            a_small_step_goes_as_predicted(space, n_hidden, TRPO_KFAC, 0);
            a_small_step_goes_as_predicted(space, n_hidden, TRPO_KFAC, 1);
        }
    }
    for (int critic = 0; critic < N_CRITICS; critic++)
        the_critic_learns_despite_a_rejected_step(critic);
    a_linear_gaussian_policy_needs_one_product();
    truncation_is_not_termination();
    return check_result();
}
