/* Bytes with a valid checksum but impossible values are rejected without changing anything, and
 * writing such values to a field does no harm. */
#include "saved.h"
#include "scripted.h"

/* ---- agents ---------------------------------------------------------------------------------- */

static void put_checksum(unsigned char *bytes, size_t count)
{
    const uint64_t sum = more_bits(NO_BITS, bytes, count - sizeof sum);
    memcpy(bytes + count - sizeof sum, &sum, sizeof sum);
}

static unsigned char *saved_of(const trpo_agent *agent)
{
    const size_t count = trpo_save_bytes(agent);
    unsigned char *bytes = (unsigned char *)take(count);
    CHECK(trpo_save(agent, bytes, count) == TRPO_OK);
    return bytes;
}

/* trpo_load of bytes in which number i of a field is x. */
static int load_with(learner *l, const char *state_name, size_t i, double x)
{
    const char *name = strcmp(state_name, "features") == 0 ? "drawn_features" : state_name;
    const size_t count = trpo_save_bytes(l->agent);
    const uint64_t before = saved_bits(l->agent);
    unsigned char *bytes = saved_of(l->agent);
    put_saved_double(bytes, count, name, i, x);
    put_saved_checksums(bytes, count);
    const int status = trpo_load(l->agent, bytes, count);
    if (status != TRPO_OK) CHECK(saved_bits(l->agent) == before);
    if (status != TRPO_OK) CHECK(strcmp(trpo_bad_saved(l->agent, bytes, count), name) == 0);
    free(bytes);
    return status;
}

/* trpo_refresh after setting number i of a field, which is then restored. */
static int refresh_with(learner *l, const char *name, size_t i, double x)
{
    size_t count, bytes = trpo_save_bytes(l->agent);
    double *field = state_field(l->agent, name, &count), right = field[i];
    unsigned char *saved = (unsigned char *)take(bytes);
    field[i] = x;
    const int status = trpo_refresh(l->agent);
    CHECK(trpo_save(l->agent, saved, bytes) == status); /* what trpo_load rejects is not saved */
    toy_observe(&l->world, l->obs, l->set.n_envs);
    CHECK(trpo_act(l->agent, l->act, NULL, NULL, l->obs, NULL) == TRPO_OK); /* it still works */
    CHECK(trpo_predict(l->agent, l->act, l->obs, NULL, 0, l->set.n_envs) == TRPO_OK);
    (field = state_field(l->agent, name, &count))[i] = right;
    CHECK(trpo_refresh(l->agent) == TRPO_OK);
    free(saved);
    return status;
}

static void check_number(learner *l, const char *name, size_t i, double x, int status)
{
    check_name("%s[%d] = %g", name, (int)i, x);
    CHECK(refresh_with(l, name, i, x) == status);
    CHECK(load_with(l, name, i, x) == status);
}

static void check_rejected(learner *l, const char *name, size_t i, const double *x, size_t count)
{
    for (size_t j = 0; j < count; j++) check_number(l, name, i, x[j], TRPO_ERR_MODEL);
}

static void fields_of_an_agent(void)
{
    static const char *const counts[] = {"obs_count", "rew_count", "counters"};
    static const char *const squares[] = {"obs_m2", "rew_m2", "adam_v"};
    const double nan = (double)NAN, inf = (double)INFINITY;
    const double not_finite[] = {nan, inf, -inf};
    const double no_count[] = {nan, inf, -1, 0.5, 9007199254740992.0, 1.8e19, 1e300};
    const double no_square[] = {nan, inf, -1e-300}, no_scale[] = {nan, 0, -1, 0.9e-7, 1.1e4, inf};
    const double no_word[] = {nan, -1, 0.5, 4294967296.0, 1e300};
    trpo_settings s;
    learner l;
    const char *name;
    size_t count;
    small_settings(&s, GAUSSIAN, 1);
    s.critic = TRPO_ADAM;
    s.features = TRPO_FOURIER;
    s.normalize_observations = s.normalize_rewards = 1;
    learner_start(&l, &s, NULL);
    learner_iterate(&l, NULL);
    for (int i = 0; trpo_state_field(l.agent, i, &name, &count) != NULL; i++)
        check_rejected(&l, name, 0, not_finite, 3);
    for (int i = 0; i < 3; i++) check_rejected(&l, counts[i], i == 2 ? 3 : 0, no_count, 7);
    for (int i = 0; i < 3; i++) check_rejected(&l, squares[i], 0, no_square, 3);
    for (size_t i = 0; i < 2; i++) check_rejected(&l, "counters", i, no_word, 5);
    check_rejected(&l, "damping_scale", 0, no_scale, 6);
    check_number(&l, "counters", 1, 4294967295.0, TRPO_OK);
    check_number(&l, "counters", 2, 4503599627000000.0, TRPO_OK); /* close to 2^52 */
    check_number(&l, "damping_scale", 0, 1e-7, TRPO_OK);
    check_number(&l, "theta", 0, -1e9, TRPO_OK);
    learner_end(&l);
}

/* ---- environments ---------------------------------------------------------------------------- */

/* The saved bytes hold the outcome's arrays, followed by the checksum. */
static int load_changed(world *w, const void *array, const void *value, size_t bytes)
{
    const size_t count = trpo_envs_save_bytes(w->envs);
    const size_t head = 6 * sizeof(uint64_t);
    const uint64_t before = bits_of(w);
    unsigned char *saved = (unsigned char *)take(count);
    CHECK(trpo_envs_save(w->envs, saved, count) == TRPO_ENV_OK);
    const char *begin = (const char *)trpo_envs_state(w->envs, 0);
    memcpy(saved + head + ((const char *)array - begin), value, bytes);
    put_checksum(saved, count);
    const int status = trpo_envs_load(w->envs, saved, count);
    if (status != TRPO_ENV_OK) CHECK(bits_of(w) == before);
    free(saved);
    return status;
}

static void check_length(world *w, int e, int64_t length, int status)
{
    check_name("environment %d, length %g", e, (double)length);
    CHECK(load_changed(w, &w->out.episode_length[e], &length, sizeof length) == status);
}

static void check_double(world *w, double *at, double x, int status)
{
    check_name("number %g", x);
    CHECK(load_changed(w, at, &x, sizeof x) == status);
}

static void check_byte(world *w, uint8_t *at, uint8_t byte, int status)
{
    check_name("byte %d", byte);
    CHECK(load_changed(w, at, &byte, 1) == status);
}

static void rows_of_environments(void)
{
    const double nan = (double)NAN, inf = (double)INFINITY;
    world w;
    world_start(&w, 5);
    world_step(&w, 1, END, TRPO_ENV_NEXT_STEP);
    for (int e = 0; e < 2; e++) {
        check_length(&w, e, INT64_MAX, TRPO_ENV_ERR_SAVED);
        check_length(&w, e, -1, TRPO_ENV_ERR_SAVED);
        check_double(&w, &w.out.obs[e * 3], nan, TRPO_ENV_ERR_SAVED);
        check_double(&w, &w.out.final_obs[e * 3 + 2], inf, TRPO_ENV_ERR_SAVED);
        check_double(&w, &w.out.rew[e], nan, TRPO_ENV_ERR_SAVED);
        check_double(&w, &w.out.episode_return[e], nan, TRPO_ENV_ERR_SAVED);
        check_double(&w, &w.out.episode_return[e], inf, TRPO_ENV_OK); /* a sum can overflow */
        check_byte(&w, &w.out.term[e], 2, TRPO_ENV_ERR_SAVED);
        check_byte(&w, &w.out.trunc[e], 255, TRPO_ENV_ERR_SAVED);
    }
    check_byte(&w, &w.out.term[1], 0, TRPO_ENV_ERR_SAVED); /* ended, but not terminated */
    check_length(&w, 1, 0, TRPO_ENV_ERR_SAVED);
    check_length(&w, 0, 0, TRPO_ENV_OK);
    world_end(&w);
}

/* A failed environment may have any observation, and can be saved. */
static void a_broken_environment(void)
{
    world w;
    world_start(&w, 5);
    CHECK(world_step(&w, 2, BAD_OBS, TRPO_ENV_SAME_STEP) == TRPO_ENV_ERR_OBS);
    check_double(&w, &w.out.obs[2 * 3], (double)NAN, TRPO_ENV_OK);
    CHECK(world_step(&w, 2, GO, TRPO_ENV_SAME_STEP) == TRPO_ENV_ERR_ORDER);
    CHECK(trpo_envs_reset(w.envs, NULL, NULL) == TRPO_ENV_OK);
    world_end(&w);
}

/* Allows what the state says: bit k is choice k. */
static int scripted_mask(const void *config, const void *state, uint8_t *mask)
{
    (void)config, (void)state;
    mask[GO] = mask[END] = 1;
    mask[N_CHOICES] = 1;
    return 0;
}

static void saved_masks_are_verified(void)
{
    enum { A = N_CHOICES + 2 };
    world w;
    w.env = scripted_env(5);
    w.env.mask = scripted_mask;
    world_place(&w, 1);
    CHECK(trpo_envs_reset(w.envs, NULL, NULL) == TRPO_ENV_OK);
    world_step(&w, 1, END, TRPO_ENV_NEXT_STEP);
    check_byte(&w, &w.out.mask[N_CHOICES], 0, TRPO_ENV_ERR_SAVED);  /* all forbidden          */
    check_byte(&w, &w.out.mask[FAIL], 1, TRPO_ENV_ERR_SAVED);       /* one too many allowed */
    check_byte(&w, &w.out.mask[END], 0, TRPO_ENV_ERR_SAVED);        /* one too many forbidden */
    check_byte(&w, &w.out.mask[GO], 2, TRPO_ENV_ERR_SAVED);
    check_byte(&w, &w.out.mask[A + FAIL], 0, TRPO_ENV_ERR_SAVED);   /* after the end: all  */
    check_byte(&w, &w.out.mask[GO], 1, TRPO_ENV_OK);
    world_end(&w);
}

int main(void)
{
    fields_of_an_agent();
    rows_of_environments();
    a_broken_environment();
    saved_masks_are_verified();
    return check_result();
}
