/* Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as
 * easy as 1, 2, 3"). A draw is a function of its key and counter alone: it is independent of the
 * order of draws, of threads, and of where a run was interrupted. */
#ifndef TRPO_RANDOM_H
#define TRPO_RANDOM_H

#include <stdint.h>

/* x (4): counter in, four random words out. Known-answer tests: tests/test_rng.py. */
static inline void trpo_philox(uint32_t x[4], uint32_t key0, uint32_t key1)
{
    for (int round = 0; round < 10; round++) {
        const uint64_t left = (uint64_t)0xD2511F53u * x[0];
        const uint64_t right = (uint64_t)0xCD9E8D57u * x[2];
        const uint32_t y[4] = {(uint32_t)(right >> 32) ^ x[1] ^ key0, (uint32_t)right,
                               (uint32_t)(left >> 32) ^ x[3] ^ key1, (uint32_t)left};
        for (int i = 0; i < 4; i++) x[i] = y[i];
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
}

#endif
