/* The most fused multiply-adds per second that this machine does, float32, per instruction set.
 *
 *     cc -O3 -pthread -o peak bench/c/peak.c && ./peak [SECONDS] [THREADS]
 *
 * A line per instruction set that the processor has: its name, GFLOP/s of the best of several short
 * bursts that fill SECONDS (0.1) on each of THREADS (1) threads, summed over the threads. Each
 * loop keeps enough independent accumulators in registers to hide the latency of a multiply-add; a
 * multiply-add counts as two operations. Without FMA (baseline) a multiplication and an addition
 * stand for it. Ends with 2 if the arithmetic went wrong. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#define X86 1
#endif
#if defined(__aarch64__)
#include <arm_neon.h>
#endif

enum { CHAINS = 12, PER_CALL = 20000, MAX_THREADS = 256 };

static const float HALF = 0.5f, ONE = 1.0f; /* x = x/2 + 1 tends to 2 from wherever it starts */

/* PER_CALL rounds over CHAINS vectors (unrolled by -O3); the sum, 2 x lanes x CHAINS. */
typedef float (*loop)(void);

static float first(int chain) { return 1.0f + (float)chain / 16; }

/* ---- one loop per instruction set ------------------------------------------------------------ */

#define ROUNDS(STEP)                                                                               \
    for (int i = 0; i < PER_CALL; i++)                                                             \
        for (int c = 0; c < CHAINS; c++) x[c] = STEP(x[c]);

#ifdef X86
__attribute__((target("sse2"))) static float baseline_loop(void)
{
    const __m128 half = _mm_set1_ps(HALF), one = _mm_set1_ps(ONE);
    __m128 x[CHAINS], sum = _mm_setzero_ps();
    float lanes[4], total = 0;
    for (int c = 0; c < CHAINS; c++) x[c] = _mm_set1_ps(first(c));
#define STEP(v) _mm_add_ps(_mm_mul_ps(v, half), one)
    ROUNDS(STEP)
#undef STEP
    for (int c = 0; c < CHAINS; c++) sum = _mm_add_ps(sum, x[c]);
    _mm_storeu_ps(lanes, sum);
    for (int i = 0; i < 4; i++) total += lanes[i];
    return total;
}

__attribute__((target("avx2,fma"))) static float avx2_loop(void)
{
    const __m256 half = _mm256_set1_ps(HALF), one = _mm256_set1_ps(ONE);
    __m256 x[CHAINS], sum = _mm256_setzero_ps();
    float lanes[8], total = 0;
    for (int c = 0; c < CHAINS; c++) x[c] = _mm256_set1_ps(first(c));
#define STEP(v) _mm256_fmadd_ps(v, half, one)
    ROUNDS(STEP)
#undef STEP
    for (int c = 0; c < CHAINS; c++) sum = _mm256_add_ps(sum, x[c]);
    _mm256_storeu_ps(lanes, sum);
    for (int i = 0; i < 8; i++) total += lanes[i];
    return total;
}

__attribute__((target("avx512f"))) static float avx512_loop(void)
{
    const __m512 half = _mm512_set1_ps(HALF), one = _mm512_set1_ps(ONE);
    __m512 x[CHAINS], sum = _mm512_setzero_ps();
    float lanes[16], total = 0;
    for (int c = 0; c < CHAINS; c++) x[c] = _mm512_set1_ps(first(c));
#define STEP(v) _mm512_fmadd_ps(v, half, one)
    ROUNDS(STEP)
#undef STEP
    for (int c = 0; c < CHAINS; c++) sum = _mm512_add_ps(sum, x[c]);
    _mm512_storeu_ps(lanes, sum);
    for (int i = 0; i < 16; i++) total += lanes[i];
    return total;
}
#elif defined(__aarch64__)
static float neon_loop(void)
{
    const float32x4_t half = vdupq_n_f32(HALF), one = vdupq_n_f32(ONE);
    float32x4_t x[CHAINS], sum = vdupq_n_f32(0);
    for (int c = 0; c < CHAINS; c++) x[c] = vdupq_n_f32(first(c));
#define STEP(v) vfmaq_f32(one, v, half)
    ROUNDS(STEP)
#undef STEP
    for (int c = 0; c < CHAINS; c++) sum = vaddq_f32(sum, x[c]);
    return vaddvq_f32(sum);
}
#else
static float baseline_loop(void)
{
    float x[CHAINS], total = 0;
    for (int c = 0; c < CHAINS; c++) x[c] = first(c);
#define STEP(v) ((v) * HALF + ONE)
    ROUNDS(STEP)
#undef STEP
    for (int c = 0; c < CHAINS; c++) total += x[c];
    return total;
}
#endif

typedef struct set {
    const char *name;
    loop run;
    int lanes, has;
} set;

/* The sets that this program was compiled for, and whether the processor has them. */
static int find_sets(set sets[3])
{
#ifdef X86
    const int fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    sets[0] = (set){"baseline", baseline_loop, 4, 1};
    sets[1] = (set){"avx2", avx2_loop, 8, fma};
    sets[2] = (set){"avx512", avx512_loop, 16, __builtin_cpu_supports("avx512f") != 0};
    return 3;
#elif defined(__aarch64__)
    sets[0] = (set){"neon", neon_loop, 4, 1};
    return 1;
#else
    sets[0] = (set){"baseline", baseline_loop, 1, 1};
    return 1;
#endif
}

/* ---- timing ---------------------------------------------------------------------------------- */

typedef struct job {
    const set *set;
    double seconds, best; /* GFLOP/s */
    int wrong;
} job;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Bursts of one call each until the time is over. */
static void *bursts(void *argument)
{
    job *j = (job *)argument;
    const double flops = 2.0 * PER_CALL * CHAINS * j->set->lanes, end = now() + j->seconds;
    do {
        const double start = now();
        const float total = j->set->run();
        const double rate = flops / (now() - start) * 1e-9;
        if (rate > j->best) j->best = rate;
        j->wrong |= fabsf(total - 2.0f * (float)(j->set->lanes * CHAINS)) > 1e-3f;
    } while (now() < end);
    return NULL;
}

/* GFLOP/s of n threads together; negative if the arithmetic went wrong */
static double rate(const set *s, double seconds, int n)
{
    pthread_t threads[MAX_THREADS];
    job jobs[MAX_THREADS];
    double sum = 0;
    for (int i = 0; i < n; i++) jobs[i] = (job){s, seconds, 0, 0};
    for (int i = 1; i < n; i++)
        if (pthread_create(&threads[i], NULL, bursts, &jobs[i]) != 0) return -1;
    bursts(&jobs[0]);
    for (int i = 1; i < n; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < n; i++) sum = jobs[i].wrong || sum < 0 ? -1 : sum + jobs[i].best;
    return sum;
}

int main(int argc, char **argv)
{
    const double seconds = argc > 1 ? atof(argv[1]) : 0.1;
    const int threads = argc > 2 ? atoi(argv[2]) : 1;
    set sets[3];
    const int n_sets = find_sets(sets);
    if (threads < 1 || threads > MAX_THREADS) return 2;
    for (int i = 0; i < n_sets; i++) {
        if (!sets[i].has) continue;
        const double found = rate(&sets[i], seconds / n_sets, threads);
        if (found < 0) return 2;
        printf("%s %.2f\n", sets[i].name, found);
    }
    return 0;
}
