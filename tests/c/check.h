/* Shared by the C tests: a check that counts failures, a toy simulator, an agent with its memory,
 * and an agent's state as a hash.
 * Tests of the core use only the public header; kernel tests also kernels.h (arrays.h). All compile
 * as C99 and as C++11 in both precisions. A test program ends with check_result(): 0 if all checks
 * passed. */
#ifndef TRPO_TESTS_CHECK_H
#define TRPO_TESTS_CHECK_H

#include "../../csrc/memory/strict.h" /* first: so flags do not matter here either */

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../csrc/include/trpo.h"
#include "../../csrc/include/trpo_math.h"

/* ---- checks ---------------------------------------------------------------------------------- */

enum { MAX_REPORTS = 20 };

static int check_failures = 0;
static char check_case[160] = "";

/* Names the case of the following checks. */
static inline void check_name(const char *format, ...)
{
    va_list rest;
    va_start(rest, format);
    vsnprintf(check_case, sizeof check_case, format, rest);
    va_end(rest);
}

static inline int check_that(int ok, const char *what, const char *file, int line)
{
    if (ok) return 1;
    if (check_failures++ < MAX_REPORTS)
        printf("%s:%d: check failed: %s   [%s]\n", file, line, what, check_case);
    return 0;
}

#define CHECK(condition) check_that((condition) ? 1 : 0, #condition, __FILE__, __LINE__)

static inline int check_result(void)
{
    if (check_failures > 0) printf("%d checks failed\n", check_failures);
    return check_failures > 0;
}

static inline int all_finite(const double *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(x[i])) return 0;
    return 1;
}

/* |a - b| within `share` of |b| */
static inline int is_close(double a, double b, double share)
{
    return fabs(a - b) <= share * fabs(b);
}

/* malloc that exits on failure */
static inline void *take(size_t bytes)
{
    void *memory = malloc(bytes);
    if (memory == NULL) exit(2);
    return memory;
}

/* ---- spaces and settings --------------------------------------------------------------------- */

enum { MAX_ENVS = 128, MAX_PARTS = 2, OBS = 3 };
enum { GAUSSIAN, CATEGORICAL, TWO_PARTS, BERNOULLI, N_SPACES };
enum { N_CRITICS = TRPO_N_CRITICS };

static inline const char *space_name(int space)
{
    static const char *const names[] = {"gaussian", "categorical", "two parts", "bernoulli"};
    return names[space];
}

/* A small agent for a space, with n_hidden hidden layers in both networks. */
static inline void small_settings(trpo_settings *s, int space, int n_hidden)
{
    static const int ones[] = {1, 1}, three_choices[] = {3}, two_parts[] = {2, 3};
    static const int *const parts[] = {ones, three_choices, two_parts, ones};
    static const int distributions[] = {TRPO_GAUSSIAN, TRPO_CATEGORICAL, TRPO_CATEGORICAL,
                                        TRPO_BERNOULLI};
    static const int hidden[] = {8, 6, 5};
    trpo_default_settings(s);
    s->obs_size = OBS;
    s->distribution = distributions[space];
    s->parts = parts[space];
    s->n_parts = space == CATEGORICAL ? 1 : 2;
    s->policy_hidden = s->value_hidden = hidden;
    s->n_policy_hidden = s->n_value_hidden = n_hidden;
    s->n_steps = 32;
    s->n_envs = 4;
    s->batch_size = 48;
    s->seed = 5;
}

/* ---- the toy simulator ----------------------------------------------------------------------- */

/* A randomly moving point per environment, pushed by the actions. The reward is for an action close
 * to the point (Gaussian) or that names its side (categorical). A plain struct: a copy saves the
 * simulator. */
typedef struct toy {
    uint64_t random;
    double place[MAX_ENVS];
    int age[MAX_ENVS];
} toy;

/* In (-1, 1), by Knuth's linear congruential generator. */
static inline double toy_random(toy *world)
{
    world->random = world->random * 6364136223846793005u + 1442695040888963407u;
    return (double)(world->random >> 11) / 4503599627370496.0 - 1;
}

static inline void toy_start(toy *world)
{
    memset(world, 0, sizeof *world);
    for (int e = 0; e < MAX_ENVS; e++) world->place[e] = toy_random(world);
}

static inline void toy_observe(const toy *world, trpo_real *obs, int n_envs)
{
    for (int e = 0; e < n_envs; e++)
        for (int i = 0; i < OBS; i++)
            obs[e * OBS + i] = (trpo_real)trpo_sin((i + 1) * world->place[e]);
}

static inline double toy_reward(const trpo_settings *s, const trpo_real *act, double place)
{
    double reward = 0;
    for (int d = 0; d < s->n_parts; d++) {
        const double miss = (double)act[d] - place;
        const int right = ((double)act[d] > 0) == (place > 0);
        reward += s->distribution == TRPO_GAUSSIAN ? -miss * miss : right;
    }
    return reward;
}

static inline void toy_step(toy *world, double *rew, uint8_t *term, uint8_t *trunc,
                            const trpo_real *act, const trpo_settings *s)
{
    for (int e = 0; e < s->n_envs; e++) {
        const trpo_real *row = act + (ptrdiff_t)e * s->n_parts;
        const double push = (double)row[0] / (1 + fabs((double)row[0]));
        rew[e] = toy_reward(s, row, world->place[e]);
        world->place[e] = 0.3 * world->place[e] + toy_random(world) + 0.05 * push;
        term[e] = toy_random(world) > 0.9;
        trunc[e] = ++world->age[e] >= 12 && !term[e];
    }
}

static inline void toy_reset(toy *world, const uint8_t *term, const uint8_t *trunc, int n_envs)
{
    for (int e = 0; e < n_envs; e++) {
        if (!term[e] && !trunc[e]) continue;
        world->place[e] = toy_random(world);
        world->age[e] = 0;
    }
}

/* ---- an agent in its simulator --------------------------------------------------------------- */

typedef struct learner {
    trpo_settings set;
    void *memory;
    trpo_agent *agent;
    toy world;
    trpo_real obs[MAX_ENVS * OBS], act[MAX_ENVS * MAX_PARTS]; /* of the open row */
} learner;

/* executor may be NULL; the memory has exactly trpo_bytes */
static inline void learner_start(learner *l, const trpo_settings *s, const trpo_executor *executor)
{
    const size_t bytes = trpo_bytes(s, executor);
    l->set = *s;
    l->memory = take(bytes);
    l->agent = NULL;
    CHECK(trpo_init(&l->agent, s, executor, l->memory, bytes) == TRPO_OK);
    if (l->agent == NULL) exit(2);
    toy_start(&l->world);
}

static inline void learner_end(learner *l) { free(l->memory); }

/* Opens a row ... */
static inline void learner_act(learner *l)
{
    toy_observe(&l->world, l->obs, l->set.n_envs);
    CHECK(trpo_act(l->agent, l->act, NULL, NULL, l->obs, NULL) == TRPO_OK);
}

/* ... and closes it. */
static inline void learner_push(learner *l)
{
    double rew[MAX_ENVS];
    uint8_t term[MAX_ENVS], trunc[MAX_ENVS];
    toy_step(&l->world, rew, term, trunc, l->act, &l->set);
    toy_observe(&l->world, l->obs, l->set.n_envs);
    CHECK(trpo_push(l->agent, rew, term, trunc, l->obs, NULL) == TRPO_OK);
    toy_reset(&l->world, term, trunc, l->set.n_envs);
}

static inline void learner_steps(learner *l, int n_steps)
{
    for (int t = 0; t < n_steps; t++) {
        learner_act(l);
        learner_push(l);
    }
}

/* A full rollout and its update; info may be NULL. */
static inline int learner_iterate(learner *l, trpo_info *info)
{
    learner_steps(l, l->set.n_steps);
    const int status = trpo_update(l->agent, info);
    CHECK(status >= 0);
    return status;
}

/* ---- an agent's bits ------------------------------------------------------------------------- */

#define NO_BITS ((uint64_t)14695981039346656037u)

/* Continues a hash over more bytes (FNV-1a). */
static inline uint64_t more_bits(uint64_t hash, const void *x, size_t bytes)
{
    const unsigned char *byte = (const unsigned char *)x;
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ byte[i]) * 1099511628211u;
    return hash;
}

/* A hash of the bytes of trpo_save. */
static inline uint64_t saved_bits(const trpo_agent *agent)
{
    const size_t bytes = trpo_save_bytes(agent);
    unsigned char *buffer = (unsigned char *)take(bytes);
    CHECK(trpo_save(agent, buffer, bytes) == TRPO_OK);
    const uint64_t bits = more_bits(NO_BITS, buffer, bytes);
    free(buffer);
    return bits;
}

/* A field of the state by name; NULL if there is none. */
static inline double *state_field(trpo_agent *agent, const char *wanted, size_t *count)
{
    const char *name;
    double *value;
    for (int i = 0; (value = trpo_state_field(agent, i, &name, count)) != NULL; i++)
        if (strcmp(name, wanted) == 0) return value;
    return NULL;
}

static inline int state_is_finite(trpo_agent *agent)
{
    const char *name;
    const double *value;
    size_t count;
    for (int i = 0; (value = trpo_state_field(agent, i, &name, &count)) != NULL; i++)
        if (!all_finite(value, count)) return 0;
    return 1;
}

/* A copy of theta; the caller frees it. */
static inline double *copy_theta(trpo_agent *agent, size_t *count)
{
    const double *theta = state_field(agent, "theta", count);
    double *copy = (double *)take(*count * sizeof *copy);
    memcpy(copy, theta, *count * sizeof *copy);
    return copy;
}

#endif
