/* Time of trpo_predict on one observation, in C: 64-64 tanh networks.
 *
 *     cc -O3 -o predict bench/c/predict.c csrc/core/[a-z]*.c csrc/envs/[a-z]*.c \
 *         csrc/kernels/[a-z]*.c -lm && ./predict
 *
 * A line per policy: its name, nanoseconds per call, the median of many short rounds, and the
 * quartiles. Ends with 2 if an action is not what it should be. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../../csrc/include/trpo.h"

enum { ROUNDS = 101, CALLS = 2000, MAX_OBS = 17, MAX_PARTS = 6 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void describe(trpo_settings *s, int is_gaussian)
{
    static const int choices[] = {2}, ones[] = {1, 1, 1, 1, 1, 1}, hidden[] = {64, 64};
    trpo_default_settings(s);
    s->obs_size = is_gaussian ? 17 : 4;
    s->distribution = is_gaussian ? TRPO_GAUSSIAN : TRPO_CATEGORICAL;
    s->parts = is_gaussian ? ones : choices;
    s->n_parts = is_gaussian ? 6 : 1;
    s->policy_hidden = s->value_hidden = hidden;
    s->n_policy_hidden = s->n_value_hidden = 2;
    s->n_steps = 16;
}

/* A fresh policy's means are near 0, its choices 0 or 1. */
static int is_wrong(const trpo_real *act, int n_parts, int is_gaussian)
{
    for (int i = 0; i < n_parts; i++) {
        if (is_gaussian && !(fabs((double)act[i]) < 1)) return 1;
        if (!is_gaussian && act[i] != 0 && act[i] != 1) return 1;
    }
    return 0;
}

/* times (ROUNDS) of one call, in nanoseconds; 1 if an action was wrong */
static int measure(double *times, trpo_agent *agent, const trpo_settings *s)
{
    trpo_real obs[MAX_OBS], act[MAX_PARTS];
    int wrong = 0;
    for (int i = 0; i < s->obs_size; i++) obs[i] = (trpo_real)0.1 * (trpo_real)(i - 2);
    for (int round = 0; round < ROUNDS; round++) {
        const double start = now();
        for (int call = 0; call < CALLS; call++) {
            obs[0] = (trpo_real)call / CALLS;
            trpo_predict(agent, act, obs, NULL, 1, 1);
        }
        times[round] = (now() - start) / CALLS;
        wrong |= is_wrong(act, s->n_parts, s->distribution == TRPO_GAUSSIAN);
    }
    qsort(times, ROUNDS, sizeof *times, ascending);
    return wrong;
}

static int run(const char *name, int is_gaussian)
{
    trpo_settings settings;
    trpo_agent *agent;
    double times[ROUNDS];
    describe(&settings, is_gaussian);
    const size_t bytes = trpo_bytes(&settings, NULL);
    void *memory = malloc(bytes);
    int status = trpo_init(&agent, &settings, NULL, memory, bytes);
    if (status == TRPO_OK) status = measure(times, agent, &settings);
    if (status == TRPO_OK)
        printf("%s %.1f %.1f %.1f\n", name, times[ROUNDS / 2], times[ROUNDS / 4],
               times[3 * ROUNDS / 4]);
    free(memory);
    return status;
}

int main(void)
{
    return run("17-64-64-6", 1) != TRPO_OK || run("4-64-64-2", 0) != TRPO_OK ? 2 : 0;
}
