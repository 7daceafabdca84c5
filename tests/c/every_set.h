/* Runs a kernel with every instruction set that this machine supports, compared with plain sums in
 * double; sets with fused multiply-add must give the same bits. Sums may differ by rounding: by
 * (terms + 8) epsilon times the sum of the terms' magnitudes. */
#ifndef TRPO_TESTS_EVERY_SET_H
#define TRPO_TESTS_EVERY_SET_H

#include "arrays.h"

#include "kernel_cases.h"

/* A sum, and the sum of its terms' magnitudes. */
typedef struct sum {
    double value, magnitude;
    int terms;
} sum;

static inline void add(sum *s, double term)
{
    s->value += term;
    s->magnitude += fabs(term);
    s->terms++;
}

static inline int is_near(double found, const sum *s, double epsilon)
{
    return fabs(found - s->value) <= epsilon * (s->terms + 8) * s->magnitude;
}

static inline int has_fma(const trpok_table *k) { return strcmp(k->name, "baseline") != 0; }

/* Runs a case with every set. Those with fused multiply-add must give the same bits. */
static inline void on_every_set(uint64_t (*bits_of_case)(void *arg, const trpok_table *k),
                                void *arg)
{
    const trpok_table *k;
    uint64_t first = 0;
    int n_with_fma = 0;
    char name[sizeof check_case];
    memcpy(name, check_case, sizeof name);
    for (int i = 0; (k = trpok_runnable(i)) != NULL; i++) {
        check_name("%s: %.120s", k->name, name);
        const uint64_t bits = bits_of_case(arg, k);
        if (!has_fma(k)) continue;
        if (n_with_fma++ == 0) first = bits;
        CHECK(bits == first);
    }
}

#endif
