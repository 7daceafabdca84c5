/* Draws at the ends of [0, 1): a choice with probability 0 is never drawn, however sums are
 * rounded. */
#include "arrays.h"

enum { K = 1000, N_TRIES = 200 };

/* The largest and the smallest uniform number: (word + 1/2) 2^-32. */
static const double last_u = (4294967295.0 + 0.5) / 4294967296.0, first_u = 0.5 / 4294967296.0;

/* A rounded total may exceed the sum of its terms, so that the last draw hits no interval. */
static void forbidden_choices_are_not_drawn(const trpok_table *k, uint64_t *random)
{
    static trpo_real out[K], work[3 * K];
    const int parts[] = {K};
    trpo_real act;
    for (int i = 0; i < K; i++) out[i] = (trpo_real)(3 * next_number(random));
    out[0] = out[K - 1] = out[K - 2] = (trpo_real)TRPOK_FORBIDDEN;
    trpok_categorical.sample(k, &act, out, NULL, &last_u, work, parts, 1, K, 1);
    CHECK(act > 0 && act < K - 2);
    trpok_categorical.sample(k, &act, out, NULL, &first_u, work, parts, 1, K, 1);
    CHECK(act == 1);
}

static void certain_coins_are_not_tossed(const trpok_table *k)
{
    const trpo_real out[] = {800, -800, 800, -800};
    const double noise[] = {first_u, first_u, last_u, last_u};
    const int parts[] = {1, 1, 1, 1};
    trpo_real act[4], work[12];
    trpok_bernoulli.sample(k, act, out, NULL, noise, work, parts, 1, 4, 4);
    CHECK(act[0] == 1 && act[1] == 0 && act[2] == 1 && act[3] == 0);
}

int main(void)
{
    const trpok_table *k;
    uint64_t random = 5;
    for (int i = 0; (k = trpok_runnable(i)) != NULL; i++) {
        check_name("%s", k->name);
        for (int n = 0; n < N_TRIES; n++) forbidden_choices_are_not_drawn(k, &random);
        certain_coins_are_not_tossed(k);
    }
    return check_result();
}
