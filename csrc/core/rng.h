/* The core's random numbers, by Philox4x32-10 (include/trpo_random.h). A draw is a function of
 * (seed, stream, count, item, word) alone: it is independent of the order of draws, of threads, and
 * of where a run was interrupted.
 *
 *     key     = seed
 *     counter = (block, item, low word of count, stream + 256 * high word of count)
 *     word i of an item is lane i % 4 of block i / 4
 *
 * Stream 6, TRPO_ENV_STREAM, belongs to the environments: include/trpo_env.h. */
#ifndef TRPO_RNG_H
#define TRPO_RNG_H

#include <stdint.h>

#include "../include/trpo_random.h"
#include "../kernels/kernels.h"

enum {
    TRPO_STREAM_INIT = 0,
    TRPO_STREAM_ACTION = 1,
    TRPO_STREAM_PREDICT = 2,
    TRPO_STREAM_CRITIC = 3,
    TRPO_STREAM_KFAC = 4,
    TRPO_STREAM_KFAC_CRITIC = 5,
    TRPO_STREAM_FEATURES = 7
};

#define TRPO_2_TO_MINUS_32 2.3283064365386962890625e-10

typedef struct trpo_rng {
    uint64_t seed;
    uint32_t stream;
    uint64_t count; /* number of the use of the stream: the step, the update, ... */
} trpo_rng;

static inline void trpo_rng_block(uint32_t x[4], const trpo_rng *rng, uint32_t item, uint32_t block)
{
    x[0] = block;
    x[1] = item;
    x[2] = (uint32_t)rng->count;
    x[3] = rng->stream + 256u * (uint32_t)(rng->count >> 32);
    trpo_philox(x, (uint32_t)rng->seed, (uint32_t)(rng->seed >> 32));
}

/* In the open interval (0, 1). */
static inline double trpo_uniform(uint32_t word) { return (word + 0.5) * TRPO_2_TO_MINUS_32; }

/* Standard normals 0..count-1 of an item, by Box and Muller. */
static inline void trpo_normals(double *normal, const trpo_rng *rng, uint32_t item, int count)
{
    for (int i = 0; i < count; i += 2) {
        uint32_t x[4];
        trpo_rng_block(x, rng, item, (uint32_t)(i / 4));
        double pair[2];
        trpok_normal_pair(pair, trpo_uniform(x[i % 4]), trpo_uniform(x[i % 4 + 1]));
        normal[i] = pair[0];
        if (i + 1 < count) normal[i + 1] = pair[1];
    }
}

/* One uniform per block 0..count-1 of an item. */
static inline void trpo_uniforms(double *uniform, const trpo_rng *rng, uint32_t item, int count)
{
    for (int i = 0; i < count; i++) {
        uint32_t x[4];
        trpo_rng_block(x, rng, item, (uint32_t)i);
        uniform[i] = trpo_uniform(x[0]);
    }
}

/* The first k entries of a random permutation of 0..n-1 (Fisher and Yates); perm has room for n. */
static inline void trpo_permute(int32_t *perm, const trpo_rng *rng, int k, int n)
{
    uint32_t x[4];
    for (int i = 0; i < n; i++) perm[i] = i;
    for (int i = 0; i < k; i++) {
        if (i % 4 == 0) trpo_rng_block(x, rng, 0, (uint32_t)(i / 4));
        const int j = i + (int)(((uint64_t)x[i % 4] * (uint64_t)(n - i)) >> 32);
        const int32_t chosen = perm[j];
        perm[j] = perm[i];
        perm[i] = chosen;
    }
}

#endif
