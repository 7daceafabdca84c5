/* A policy that only acts has the outputs, modes and samples of the agent that was saved, bit for
 * bit: for every distribution, feature, activation, normaliser and instruction set. */
#include "check.h"
#include "saved.h"

enum { ROWS = 20, MOST = 8 };

typedef struct actor {
    trpo_policy *policy;
    void *memory;
} actor;

/* Only the policy of an agent, in memory of exactly the needed size, at an odd address. */
static actor actor_of(const trpo_agent *agent, const char *set)
{
    const size_t count = trpo_save_policy_bytes(agent);
    unsigned char *saved = (unsigned char *)take(count);
    actor a = {NULL, NULL};
    CHECK(trpo_save_policy(agent, saved, count) == TRPO_OK);
    const size_t bytes = trpo_policy_bytes(saved, count, set);
    a.memory = take(bytes + 1);
    char *odd = (char *)a.memory + 1;
    CHECK(trpo_policy_init(&a.policy, saved, count, set, odd, bytes - 1) == TRPO_ERR_MEMORY);
    CHECK(trpo_policy_init(&a.policy, saved, count, set, odd, bytes) == TRPO_OK);
    free(saved); /* not needed any more */
    if (a.policy == NULL) exit(2);
    return a;
}

static void check_same(const trpo_real *a, const trpo_real *b, int count)
{
    CHECK(memcmp(a, b, (size_t)count * sizeof *a) == 0);
}

/* Twice, because samples go on, for N rows and for one. */
static void check_acts_like(actor *a, trpo_agent *agent, const trpo_settings *s,
                            const uint8_t *mask)
{
    trpo_real obs[ROWS * OBS], one[ROWS * MOST], other[ROWS * MOST];
    int A = 0;
    for (int d = 0; d < s->n_parts; d++) A += s->parts[d];
    for (int i = 0; i < ROWS * OBS; i++) obs[i] = (trpo_real)(3 * trpo_sin(i));
    for (int round = 0; round < 4; round++) {
        const int N = round % 2 ? 1 : ROWS, deterministic = round == 3;
        CHECK(trpo_outputs(agent, one, obs, mask, N) == TRPO_OK);
        CHECK(trpo_policy_outputs(a->policy, other, obs, mask, N) == TRPO_OK);
        check_same(one, other, N * A);
        CHECK(trpo_predict(agent, one, obs, mask, deterministic, N) == TRPO_OK);
        CHECK(trpo_policy_act(a->policy, other, obs, mask, deterministic, N) == TRPO_OK);
        check_same(one, other, N * s->n_parts);
    }
}

static void acts_like_its_agent(const char *set, int space, int features, int activation)
{
    static const uint8_t mask[ROWS * MOST] = {1, 0, 1, 1, 0, 0, 1, 1, 1, 1};
    uint8_t masks[ROWS * MOST];
    trpo_settings s;
    learner l;
    check_name("%s, %s, features %d, activation %d", set, space_name(space), features, activation);
    small_settings(&s, space, 2 - activation);
    s.instruction_set = set;
    s.features = features;
    s.n_features = 17;
    s.activation = activation;
    s.normalize_observations = activation != TRPO_RELU;
    s.log_std_min = s.log_std_init = 0.5; /* at its bound */
    learner_start(&l, &s, NULL);
    for (int i = 0; i < 2; i++) learner_iterate(&l, NULL);
    actor a = actor_of(l.agent, set);
    check_acts_like(&a, l.agent, &s, NULL);
    for (int i = 0; i < ROWS * MOST; i++) masks[i] = mask[i % 5 + (i % 3 == 0 ? 5 : 0)] | !(i % 2);
    if (s.distribution == TRPO_CATEGORICAL) check_acts_like(&a, l.agent, &s, masks);
    free(a.memory);
    learner_end(&l);
}

/* Whether this machine has the instruction set. */
static int is_runnable(const char *set)
{
    trpo_settings s;
    small_settings(&s, GAUSSIAN, 0);
    s.instruction_set = set;
    return trpo_bad_setting(&s) == NULL;
}

static void every_kind(const char *set)
{
    if (!is_runnable(set)) return;
    for (int space = 0; space < N_SPACES; space++)
        for (int features = 0; features < 4; features++)
            for (int activation = 0; activation < 3; activation++)
                acts_like_its_agent(set, space, features, activation);
}

/* ---- bad input ------------------------------------------------------------------------------- */

static void bad_observations_are_located(void)
{
    trpo_real obs[ROWS * OBS] = {0}, act[ROWS * MAX_PARTS];
    uint8_t mask[ROWS * MOST] = {0};
    trpo_culprit at;
    trpo_settings s;
    learner l;
    check_name("bad observations");
    small_settings(&s, CATEGORICAL, 1);
    learner_start(&l, &s, NULL);
    actor a = actor_of(l.agent, NULL);
    obs[7 * OBS + 2] = (trpo_real)NAN;
    CHECK(trpo_policy_act(a.policy, act, obs, NULL, 1, ROWS) == TRPO_ERR_OBS);
    trpo_policy_culprit(a.policy, &at);
    CHECK(at.env == 7 && at.component == 2);
    CHECK(trpo_policy_act(a.policy, act, obs, mask, 1, 1) == TRPO_ERR_MASK);
    CHECK(trpo_policy_outputs(a.policy, act, obs, mask, 1) == TRPO_ERR_MASK);
    free(a.memory);
    learner_end(&l);
}

/* What trpo_policy_init says of these bytes, in as much memory as it asks for. */
static int init_status(const unsigned char *saved, size_t count, const char *set)
{
    const size_t bytes = trpo_policy_bytes(saved, count, set);
    void *memory = take(bytes + 1);
    trpo_policy *policy = NULL;
    const int status = trpo_policy_init(&policy, saved, count, set, memory, bytes);
    CHECK((policy != NULL) == (status == TRPO_OK));
    free(memory);
    return status;
}

static void bad_bytes_are_refused(void)
{
    trpo_settings s;
    learner l;
    check_name("bad bytes");
    small_settings(&s, GAUSSIAN, 1);
    learner_start(&l, &s, NULL);
    const size_t count = trpo_save_bytes(l.agent);
    unsigned char *saved = (unsigned char *)take(count);
    CHECK(trpo_save(l.agent, saved, count) == TRPO_OK);
    CHECK(init_status(saved, count, NULL) == TRPO_OK); /* training is skipped */
    CHECK(init_status(saved, count, "abacus") == TRPO_ERR_SETTING);
    CHECK(init_status(saved, count - 8, NULL) == TRPO_ERR_MODEL);
    CHECK(init_status(NULL, count, NULL) == TRPO_ERR_FOREIGN);
    put_saved_double(saved, count, "theta", 3, (double)NAN);
    put_saved_checksums(saved, count);
    CHECK(init_status(saved, count, NULL) == TRPO_ERR_MODEL);
    put_saved_double(saved, count, "theta", 3, 1);
    put_saved_uint(saved + saved_numbers(saved, count, "parts"), 2, 4); /* of a Gaussian: 1 */
    put_saved_checksums(saved, count);
    CHECK(init_status(saved, count, NULL) == TRPO_ERR_MODEL);
    free(saved);
    learner_end(&l);
}

/* Sizes that the bytes do not have: no memory is asked for, and none is written. */
static void hostile_sizes_are_refused(void)
{
    static const struct {
        const char *name;
        int64_t value;
    } hostile[] = {{"n_features", -1000}, {"n_features", -1}, {"n_features", INT32_MAX},
                   {"n_features", 1 << 24}, {"obs_size", 1 << 24}, {"policy_hidden", 1 << 24},
                   {"policy_hidden", -8}, {"parts", 0}};
    trpo_settings s;
    learner l;
    check_name("hostile sizes");
    small_settings(&s, GAUSSIAN, 1);
    s.features = TRPO_FOURIER;
    s.n_features = 17;
    learner_start(&l, &s, NULL);
    const size_t count = trpo_save_policy_bytes(l.agent);
    unsigned char *saved = (unsigned char *)take(count);
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        CHECK(trpo_save_policy(l.agent, saved, count) == TRPO_OK);
        unsigned char *at = saved + saved_numbers(saved, count, hostile[i].name);
        put_saved_uint(at, (uint64_t)hostile[i].value, 4);
        put_saved_checksums(saved, count);
        CHECK(trpo_policy_bytes(saved, count, NULL) == 0);
        CHECK(init_status(saved, count, NULL) == TRPO_ERR_MODEL);
    }
    free(saved);
    learner_end(&l);
}

/* ---- bounds and sizes ------------------------------------------------------------------------ */

static void actions_fit_the_environment(void)
{
    const double low[] = {-1, 0}, high[] = {3, (double)INFINITY}, finite[] = {3, 8};
    trpo_real act[] = {2, -9, -2, 20};
    trpo_settings s;
    learner l;
    check_name("bounds");
    small_settings(&s, GAUSSIAN, 0);
    learner_start(&l, &s, NULL);
    CHECK(trpo_set_bounds(l.agent, low, high, TRPO_SCALE_TO_BOUNDS) == TRPO_ERR_SPACES);
    CHECK(trpo_set_bounds(l.agent, high, low, TRPO_CLIP) == TRPO_ERR_SPACES);
    CHECK(trpo_set_bounds(l.agent, low, high, 4) == TRPO_ERR_SPACES);
    actor a = actor_of(l.agent, NULL);
    trpo_policy_to_env(a.policy, act, 2); /* no bounds */
    CHECK(act[0] == 2 && act[1] == -9 && act[2] == -2 && act[3] == 20);
    free(a.memory);
    CHECK(trpo_set_bounds(l.agent, low, high, TRPO_CLIP) == TRPO_OK);
    a = actor_of(l.agent, NULL);
    trpo_policy_to_env(a.policy, act, 2);
    CHECK(act[0] == 2 && act[1] == 0 && act[2] == -1 && act[3] == 20);
    free(a.memory);
    CHECK(trpo_set_bounds(l.agent, low, finite, TRPO_CLIP | TRPO_SCALE_TO_BOUNDS) == TRPO_OK);
    a = actor_of(l.agent, NULL);
    act[0] = (trpo_real)0.5, act[1] = -1, act[2] = 2, act[3] = (trpo_real)-1.5;
    trpo_policy_to_env(a.policy, act, 2);
    CHECK(act[0] == 2 && act[1] == 0 && act[2] == 3 && act[3] == 0);
    free(a.memory);
    learner_end(&l);
}

static void it_is_small(void)
{
    static const int ones[] = {1, 1, 1, 1, 1, 1}, hidden[] = {64, 64};
    const size_t weights = 18 * 64 + 65 * 64 + 65 * 6;
    trpo_settings s;
    trpo_agent *agent;
    check_name("sizes");
    small_settings(&s, GAUSSIAN, 2);
    s.obs_size = 17;
    s.parts = ones;
    s.n_parts = 6;
    s.policy_hidden = s.value_hidden = hidden;
    s.normalize_observations = 1;
    const size_t bytes = trpo_bytes(&s, NULL);
    void *memory = take(bytes);
    CHECK(trpo_init(&agent, &s, NULL, memory, bytes) == TRPO_OK);
    const size_t count = trpo_save_policy_bytes(agent);
    unsigned char *saved = (unsigned char *)take(count);
    CHECK(trpo_save_policy(agent, saved, count) == TRPO_OK);
    CHECK(count <= 48000);
    CHECK(trpo_policy_bytes(saved, count, NULL) <= 2 * weights * sizeof(trpo_real));
    free(saved);
    free(memory);
}

static void a_seed_restarts_the_samples(void)
{
    const trpo_real obs[OBS] = {1, 2, 3};
    trpo_real first[2], again[2];
    trpo_settings s;
    learner l;
    check_name("seeds");
    small_settings(&s, GAUSSIAN, 1);
    learner_start(&l, &s, NULL);
    actor a = actor_of(l.agent, NULL);
    CHECK(trpo_policy_act(a.policy, first, obs, NULL, 0, 1) == TRPO_OK);
    CHECK(trpo_policy_act(a.policy, again, obs, NULL, 0, 1) == TRPO_OK);
    CHECK(first[0] != again[0]);
    trpo_policy_seed(a.policy, s.seed);
    CHECK(trpo_policy_act(a.policy, again, obs, NULL, 0, 1) == TRPO_OK);
    check_same(first, again, 2);
    free(a.memory);
    learner_end(&l);
}

int main(void)
{
    static const char *const sets[] = {"baseline", "avx2", "avx512", "neon"};
    for (int i = 0; i < 4; i++) every_kind(sets[i]);
    bad_observations_are_located();
    bad_bytes_are_refused();
    hostile_sizes_are_refused();
    actions_fit_the_environment();
    it_is_small();
    a_seed_restarts_the_samples();
    return check_result();
}
