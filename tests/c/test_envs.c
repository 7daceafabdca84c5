/* Vectorised environments: episodes, autoreset modes, failures, streams, actions. */
#include "scripted.h"

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
    CHECK(obs_at(&w, 1, 0) == 2 && obs_at(&w, 1, 1) == 0);           /* of the next episode */
    CHECK(final_at(&w, 1, 0) == 1 && final_at(&w, 1, 1) == 2); /* of the old one */
    CHECK(obs_at(&w, 0, 1) == 2 && final_at(&w, 0, 1) == 2);
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
    CHECK(w.out.term[1] == 1 && obs_at(&w, 1, 0) == 1 && obs_at(&w, 1, 1) == 1);
    CHECK(world_step(&w, 1, FAIL, TRPO_ENV_NEXT_STEP) == TRPO_ENV_OK); /* act is ignored */
    CHECK(w.out.term[1] == 0 && w.out.rew[1] == 0 && w.out.episode_length[1] == 0);
    CHECK(obs_at(&w, 1, 0) == 2 && obs_at(&w, 1, 1) == 0 && obs_at(&w, 0, 1) == 2);
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
    CHECK(w.failure.env == 1 && obs_at(&w, 0, 1) == 2 && obs_at(&w, 2, 1) == 1);
    CHECK(w.out.term[1] == 1 && w.out.episode_length[1] == 1); /* unchanged */
    CHECK(trpo_envs_reset(w.envs, mask, NULL) == TRPO_ENV_OK);
    CHECK(w.out.term[1] == 0 && w.out.episode_length[1] == 0 && w.out.episode_length[0] == 2);
    CHECK(obs_at(&w, 1, 0) == 2 && obs_at(&w, 0, 0) == 1 && final_at(&w, 1, 0) == 2);
    CHECK(world_step(&w, 1, GO, TRPO_ENV_DISABLED) == TRPO_ENV_OK);
    world_end(&w);
}

/* What trpo_env_uniform and _normal note in the stream, if their source is not strict. */
static void draws_that_are_not_strict(void)
{
    world w;
    check_name("not strict");
    world_start(&w, 0);
    trpo_envs_random(w.envs, 1)->contracted = 1;
    CHECK(world_step(&w, 1, GO, TRPO_ENV_DISABLED) == TRPO_ENV_ERR_BUILD);
    CHECK(w.failure.env == 1 && w.failure.step == 1 && w.failure.status == TRPO_ENV_ERR_BUILD);
    CHECK(world_step(&w, 1, GO, TRPO_ENV_DISABLED) == TRPO_ENV_ERR_ORDER);
    CHECK(trpo_envs_reset(w.envs, NULL, &w.failure) == TRPO_ENV_ERR_BUILD);
    CHECK(w.failure.env == 1 && w.failure.step == 0);
    trpo_envs_seed(w.envs, 0);
    CHECK(trpo_envs_reset(w.envs, NULL, NULL) == TRPO_ENV_OK);
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
    CHECK(w.out.trunc[1] == 1 && w.out.term[1] == 0 && obs_at(&w, 1, 0) == 2);
    CHECK(w.out.trunc[0] == 1 && w.out.term[0] == 1); /* as with Gymnasium's TimeLimit */
    CHECK(world_step(&w, 0, GO, TRPO_ENV_SAME_STEP) == TRPO_ENV_OK);
    CHECK(w.out.trunc[0] == 0 && w.out.episode_length[0] == 1);
    world_end(&w);
}

static void nothing_before_a_reset(void)
{
    world w;
    check_name("before a reset");
    w.env = scripted_env(0);
    world_place(&w, 1);
    CHECK(world_step(&w, 0, GO, TRPO_ENV_SAME_STEP) == TRPO_ENV_ERR_ORDER);
    CHECK(w.failure.env == 0);
    world_end(&w);
}

/* ---- failures -------------------------------------------------------------------------------- */

/* Environment 2 has failed at this step of its episode; those before it have stepped, those after
 * it have not. */
static void check_failed(world *w, int status, int wanted, int step, int code, int component)
{
    CHECK(status == wanted);
    CHECK(w->failure.env == 2 && w->failure.step == step);
    CHECK(w->failure.code == code && w->failure.component == component);
    CHECK(obs_at(w, 1, 1) == step && obs_at(w, 3, 1) == step - 1);
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
        CHECK(w.failure.env == 2 && w.failure.component == 0 && obs_at(&w, 2, 1) == 0);
        w.act[2 * 2] = GO;
        w.act[2 * 2 + 1] = 2; /* the second component has two choices */
        CHECK(trpo_envs_step(w.envs, w.act, TRPO_ENV_SAME_STEP, 2, 1, &w.failure) ==
              TRPO_ENV_ERR_ACT);
        CHECK(w.failure.component == 1);
        CHECK(world_step(&w, 2, GO, TRPO_ENV_SAME_STEP) != TRPO_ENV_OK);
        w.act[2 * 2 + 1] = 1;
        CHECK(world_step(&w, 2, GO, TRPO_ENV_SAME_STEP) == TRPO_ENV_OK); /* it still works */
        world_end(&w);
    }
}

/* ---- streams, ranges, actions ---------------------------------------------------------------- */

static void ranges_equal_the_whole(void)
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

static void streams_are_independent(void)
{
    world a, b;
    check_name("streams");
    world_start(&a, 1);
    world_start(&b, 1);
    CHECK(bits_of(&a) == bits_of(&b));
    CHECK(obs_at(&a, 0, 2) != obs_at(&a, 1, 2) || obs_at(&a, 2, 2) != obs_at(&a, 3, 2));
    for (int t = 0; t < 5; t++) world_step(&a, 0, GO, TRPO_ENV_SAME_STEP);
    for (int t = 0; t < 5; t++) /* environment 3 alone has the same episodes */
        trpo_envs_step(b.envs, a.act, TRPO_ENV_SAME_STEP, 3, 1, NULL);
    CHECK(obs_at(&a, 3, 2) == obs_at(&b, 3, 2) && trpo_envs_random(a.envs, 3)->count == 6);
    trpo_envs_seed(a.envs, 2);
    trpo_envs_reset(a.envs, NULL, NULL);
    trpo_envs_reset(b.envs, NULL, NULL);
    CHECK(bits_of(&a) != bits_of(&b));
    *trpo_envs_random(a.envs, 3) = *trpo_envs_random(b.envs, 3);
    trpo_envs_reset(a.envs, NULL, NULL);
    trpo_envs_reset(b.envs, NULL, NULL);
    CHECK(obs_at(&a, 3, 2) == obs_at(&b, 3, 2));
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
    w.env = scripted_env(0);
    w.env.step = echo_step;
    w.env.choices = NULL;
    w.env.act_low = low;
    w.env.act_high = high;
    world_place(&w, 1);
    CHECK(trpo_envs_reset(w.envs, NULL, NULL) == TRPO_ENV_OK);
    CHECK(trpo_envs_step(w.envs, act, TRPO_ENV_SAME_STEP, 0, E, NULL) == TRPO_ENV_OK);
    for (int e = 0; e < E; e++)
        for (int d = 0; d < 2; d++) CHECK(obs_at(&w, e, d) == expected[e * 2 + d]);
    world_end(&w);
}

int main(void)
{
    same_step();
    next_step();
    disabled();
    draws_that_are_not_strict();
    the_limit_truncates();
    nothing_before_a_reset();
    failures();
    a_failing_reset();
    illegal_actions();
    ranges_equal_the_whole();
    streams_are_independent();
    real_actions_are_clipped();
    return check_result();
}
