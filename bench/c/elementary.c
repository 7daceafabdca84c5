/* Nanoseconds per call of trpo_math.h's functions and of the C library's, on the arguments of
 * draws and of simulators: independent calls, and calls that wait for each other.
 *
 *     cc -O3 -o elementary bench/c/elementary.c -lm && ./elementary */
#define _POSIX_C_SOURCE 199309L
#include "../../csrc/include/trpo_math.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { COUNT = 2048, REPEATS = 401 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x)
{
    qsort(x, REPEATS, sizeof *x, compare);
    return x[REPEATS / 2] / COUNT;
}

static double arguments[COUNT], results[COUNT], other[COUNT];
static volatile double zero = 0;

static void fill(double low, double high)
{
    uint64_t state = 88172645463325252u;
    for (int i = 0; i < COUNT; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        arguments[i] = low + (high - low) * ((double)(state >> 11) / 9007199254740992.0);
    }
}

static void show(const char *name, double low, double high, double times[4][REPEATS])
{
    double t[4];
    for (int i = 0; i < 4; i++) t[i] = median(times[i]);
    printf("%-8s [%g, %g]: %5.2f ns, libm %5.2f, ratio %4.2f; one after the other %5.2f, libm %5.2f"
           ", ratio %4.2f\n",
           name, low, high, t[0], t[1], t[0] / t[1], t[2], t[3], t[2] / t[3]);
}

#define MEASURE(name, low, high, ours, theirs)                                                     \
    do {                                                                                           \
        static double times[4][REPEATS];                                                           \
        fill(low, high);                                                                           \
        for (int repeat = 0; repeat < REPEATS; repeat++) {                                         \
            double x, y = 0, start = now();                                                        \
            for (int i = 0; i < COUNT; i++) x = arguments[i], results[i] = ours;                   \
            times[0][repeat] = now() - start, start = now();                                       \
            for (int i = 0; i < COUNT; i++) x = arguments[i], results[i] = theirs;                 \
            times[1][repeat] = now() - start, start = now();                                       \
            const double none = zero;                                                              \
            for (int i = 0; i < COUNT; i++) x = arguments[i] + none * y, y = ours;                 \
            times[2][repeat] = now() - start, start = now();                                       \
            for (int i = 0; i < COUNT; i++) x = arguments[i] + none * y, y = theirs;               \
            times[3][repeat] = now() - start;                                                      \
            results[0] += y;                                                                       \
        }                                                                                          \
        show(name, low, high, times);                                                              \
    } while (0)

static double both(double x, double *cosine)
{
    double sine;
    trpo_sincos(x, &sine, cosine);
    return sine;
}

static double libm_both(double x, double *cosine)
{
    *cosine = cos(x);
    return sin(x);
}

int main(void)
{
    MEASURE("log", 0, 1, trpo_log(x), log(x));
    MEASURE("log", 0.9, 1.1, trpo_log(x), log(x));
    MEASURE("log", 0, 1e10, trpo_log(x), log(x));
    MEASURE("sin", 0, 6.283, trpo_sin(x), sin(x));
    MEASURE("cos", 0, 6.283, trpo_cos(x), cos(x));
    MEASURE("sin", -0.2, 0.2, trpo_sin(x), sin(x));
    MEASURE("cos", -0.2, 0.2, trpo_cos(x), cos(x));
    MEASURE("sin", -1000, 1000, trpo_sin(x), sin(x));
    MEASURE("sin", 1e8, 1e9, trpo_sin(x), sin(x));
    MEASURE("sincos", 0, 6.283, both(x, &other[i]), libm_both(x, &other[i]));
    MEASURE("exp", -5, 5, trpo_exp(x), exp(x));
    MEASURE("expm1", -1, 1, trpo_expm1(x), expm1(x));
    MEASURE("log1p", -0.5, 1, trpo_log1p(x), log1p(x));
    MEASURE("pow", 0.5, 2, trpo_pow(x, 3.7), pow(x, 3.7));
    MEASURE("logf", 0, 10, trpo_logf((float)x), logf((float)x));
    MEASURE("log1pf", 0, 1, trpo_log1pf((float)x), log1pf((float)x));
    return 0;
}
