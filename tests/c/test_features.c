/* Features of observations: their formulas; updates with them do not depend on executors, resume
 * from saved bytes, and reject other features' bytes; numbers of features out of range. */
#include <limits.h>

#include "check.h"

enum { N_KINDS = TRPO_POLYNOMIAL + 1 };

/* A linear policy and critic on features. */
static void feature_settings(trpo_settings *s, int features)
{
    small_settings(s, GAUSSIAN, 0);
    s->features = features;
    s->n_features = 13;
    s->feature_degree = 3;
    s->n_envs = 70; /* more than a tile */
    s->n_steps = 16;
    s->n_value_hidden = 1;
    s->normalize_observations = 1;
}

/* ---- formulas -------------------------------------------------------------------------------- */

/* phi_j of s, by its formula */
static double feature(const trpo_settings *s, const double *drawn, const double *obs, int j)
{
    double sum = 0;
    for (int i = 0; i < OBS; i++) {
        const double d = obs[i] - drawn[j * OBS + i];
        sum += s->features == TRPO_FOURIER ? obs[i] * drawn[j * OBS + i] : d * d;
    }
    if (s->features == TRPO_RBF) return exp(-sum / (2 * 0.7 * 0.7));
    return sin(sum / 0.7 + drawn[s->n_features * OBS + j]);
}

static double monomial(const double *obs, int j)
{
    static const int factors[][3] = {{0, 3, 3}, {1, 3, 3}, {2, 3, 3}, {0, 0, 3}, {0, 1, 3},
                                     {0, 2, 3}, {1, 1, 3}, {1, 2, 3}, {2, 2, 3}, {0, 0, 0},
                                     {0, 0, 1}, {0, 0, 2}, {0, 1, 1}, {0, 1, 2}, {0, 2, 2},
                                     {1, 1, 1}, {1, 1, 2}, {1, 2, 2}, {2, 2, 2}};
    double product = 1;
    for (int i = 0; i < 3; i++)
        if (factors[j][i] < OBS) product *= obs[factors[j][i]];
    return product;
}

/* Makes the policy's first mean equal to feature j. */
static void one_feature(learner *l, const trpo_settings *s, int j)
{
    const double obs[] = {0.3, -1.7, 0.9};
    trpo_real given[OBS], act[MAX_PARTS];
    size_t count;
    const double *drawn = state_field(l->agent, "features", &count);
    double *theta = state_field(l->agent, "theta", &count);
    for (size_t i = 0; i < count; i++) theta[i] = i == (size_t)j * 2;
    trpo_refresh(l->agent);
    for (int i = 0; i < OBS; i++) given[i] = (trpo_real)obs[i];
    CHECK(trpo_predict(l->agent, act, given, NULL, 1, 1) == TRPO_OK);
    const double phi = drawn != NULL ? feature(s, drawn, obs, j) : monomial(obs, j);
    CHECK(fabs((double)act[0] - phi) < (sizeof *act == 4 ? 2e-6 : 1e-14));
}

static void features_are_their_formulas(int features)
{
    trpo_settings s;
    learner l;
    check_name("features %d by their formula", features);
    feature_settings(&s, features);
    s.feature_bandwidth = 0.7;
    learner_start(&l, &s, NULL);
    for (int j = 0; j < (features == TRPO_POLYNOMIAL ? 19 : s.n_features); j++)
        one_feature(&l, &s, j);
    learner_end(&l);
}

/* ---- whole updates --------------------------------------------------------------------------- */

static void run_reversed(void *ctx, int n_tasks, void (*task)(void *arg, int index, int worker),
                         void *arg)
{
    (void)ctx;
    for (int i = n_tasks - 1; i >= 0; i--) task(arg, i, i % 3);
}

static void executors_change_nothing(int features)
{
    const trpo_executor reversed = {NULL, 3, run_reversed};
    trpo_settings s;
    learner a, b;
    check_name("executors, features %d", features);
    feature_settings(&s, features);
    learner_start(&a, &s, NULL);
    learner_start(&b, &s, &reversed);
    for (int i = 0; i < 3; i++) {
        learner_iterate(&a, NULL);
        learner_iterate(&b, NULL);
    }
    CHECK(saved_bits(a.agent) == saved_bits(b.agent));
    CHECK(state_is_finite(a.agent));
    learner_end(&a);
    learner_end(&b);
}

/* ---- saving ---------------------------------------------------------------------------------- */

static int moved(learner *to, const learner *from)
{
    const size_t count = trpo_save_bytes(from->agent);
    void *bytes = take(count);
    CHECK(trpo_save(from->agent, bytes, count) == TRPO_OK);
    const int status = trpo_load(to->agent, bytes, count);
    free(bytes);
    return status;
}

/* In an agent with another seed, and so with other features. */
static void training_resumes_bit_for_bit(int features)
{
    trpo_settings s;
    learner original, resumed;
    check_name("going on, features %d", features);
    feature_settings(&s, features);
    learner_start(&original, &s, NULL);
    s.seed += 1000;
    learner_start(&resumed, &s, NULL);
    learner_iterate(&original, NULL);
    CHECK(moved(&resumed, &original) == TRPO_OK);
    resumed.world = original.world;
    learner_iterate(&original, NULL);
    learner_iterate(&resumed, NULL);
    CHECK(saved_bits(original.agent) == saved_bits(resumed.agent));
    learner_end(&original);
    learner_end(&resumed);
}

/* With the same number of features, so with the same or nearly the same number of bytes. */
static void other_features_are_rejected(int features, int other)
{
    trpo_settings s;
    learner a, b;
    check_name("features %d into %d", other, features);
    feature_settings(&s, features);
    s.n_features = 19;
    learner_start(&a, &s, NULL);
    s.features = other;
    if (other == features) s.feature_bandwidth = 0.5, s.feature_degree++;
    learner_start(&b, &s, NULL);
    const uint64_t bits = saved_bits(a.agent);
    CHECK(moved(&a, &b) == TRPO_ERR_OTHER);
    CHECK(saved_bits(a.agent) == bits);
    learner_end(&b);
    learner_end(&a);
}

/* ---- rejected settings ----------------------------------------------------------------------- */

static int is_bad(const trpo_settings *s, const char *name)
{
    const char *bad = trpo_bad_setting(s);
    return bad != NULL && strcmp(bad, name) == 0 && trpo_bytes(s, NULL) == 0;
}

static void features_beyond_their_limit(void)
{
    static const int numbers[] = {0, -1, 10001, INT_MAX}, degrees[] = {0, -1, 38, INT_MAX};
    trpo_settings s;
    check_name("features");
    small_settings(&s, GAUSSIAN, 0);
    for (int i = 0; i < 4; i++) {
        s.features = i % 2 ? TRPO_FOURIER : TRPO_RBF;
        s.n_features = numbers[i];
        CHECK(is_bad(&s, "n_features"));
        s.features = TRPO_POLYNOMIAL; /* does not use n_features */
        s.feature_degree = degrees[i];
        CHECK(is_bad(&s, "feature_degree"));
    }
    s.feature_degree = 37; /* C(40, 3) - 1 = 9,879 monomials of 3 components */
    CHECK(trpo_bad_setting(&s) == NULL);
    s.features = TRPO_NO_FEATURES;
    s.n_features = s.feature_degree = 0; /* both unused */
    CHECK(trpo_bad_setting(&s) == NULL);
}

int main(void)
{
    for (int features = TRPO_FOURIER; features < N_KINDS; features++) {
        features_are_their_formulas(features);
        executors_change_nothing(features);
        training_resumes_bit_for_bit(features);
        for (int other = 0; other < N_KINDS; other++) other_features_are_rejected(features, other);
    }
    features_beyond_their_limit();
    return check_result();
}
