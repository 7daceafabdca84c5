/* Arrays for kernel tests: each ends at the end of its memory, before a protected page, so that
 * reading or writing beyond it (masked vectors included) crashes; and pseudo-random numbers that
 * are the same on every machine.
 * Needs POSIX. Include it first, since it defines feature macros. */
#ifndef TRPO_TESTS_ARRAYS_H
#define TRPO_TESTS_ARRAYS_H

#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

#include "../../csrc/kernels/kernels.h"

/* ---- places ---------------------------------------------------------------------------------- */

/* A place holds one array, and is reused by the next case. */
enum { N_PLACES = 16, PLACE_BYTES = 1 << 18, MARGIN = 64 };
enum { MARK = 0x5a };

static unsigned char *places = NULL; /* N_PLACES, each followed by a protected page */
static size_t place_stride = 0;
static size_t place_size[N_PLACES];

static inline void report_overrun(int signal_number)
{
    (void)signal_number;
    printf("check failed: an array was left at its end   [%s]\n", check_case);
    fflush(stdout);
    _Exit(1);
}

static inline void places_open(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *memory;
    place_stride = (PLACE_BYTES + page - 1) / page * page + page;
    memory = mmap(NULL, N_PLACES * place_stride, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) exit(2);
    places = (unsigned char *)memory;
    for (size_t i = 1; i <= N_PLACES; i++)
        if (mprotect(places + i * place_stride - page, page, PROT_NONE) != 0) exit(2);
    signal(SIGSEGV, report_overrun);
    signal(SIGBUS, report_overrun);
}

static inline unsigned char *place_end(int place)
{
    return places + (size_t)(place + 1) * place_stride - (size_t)sysconf(_SC_PAGESIZE);
}

/* `bytes` at the end of the place, with a marked margin before them. */
static inline void *place_array(int place, size_t bytes)
{
    unsigned char *array = place_end(place) - bytes;
    if (bytes + MARGIN > PLACE_BYTES) exit(2);
    place_size[place] = bytes;
    memset(array - MARGIN, MARK, MARGIN);
    return array;
}

/* Whether nothing was written before the place's array. */
static inline int place_is_intact(int place)
{
    const unsigned char *margin = place_end(place) - place_size[place] - MARGIN;
    for (int i = 0; i < MARGIN; i++)
        if (margin[i] != MARK) return 0;
    return 1;
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* In [-1, 1), a multiple of 2^-20: computed with integers, exact in every precision. */
static inline double next_number(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (double)((int64_t)(*random >> 43) - (1 << 20)) / (1 << 20);
}

static inline real *place_reals(int place, ptrdiff_t count, double scale, uint64_t *random)
{
    real *x = (real *)place_array(place, (size_t)count * sizeof *x);
    for (ptrdiff_t i = 0; i < count; i++) x[i] = (real)(scale * next_number(random));
    return x;
}

static inline double *place_doubles(int place, ptrdiff_t count, double scale, uint64_t *random)
{
    double *x = (double *)place_array(place, (size_t)count * sizeof *x);
    for (ptrdiff_t i = 0; i < count; i++) x[i] = scale * next_number(random);
    return x;
}

/* 1 with this probability, else 0 */
static inline uint8_t *place_flags(int place, ptrdiff_t count, double probability,
                                   uint64_t *random)
{
    uint8_t *x = (uint8_t *)place_array(place, (size_t)count);
    for (ptrdiff_t i = 0; i < count; i++) x[i] = (next_number(random) + 1) / 2 < probability;
    return x;
}

/* ---- bits ------------------------------------------------------------------------------------ */

static inline uint64_t place_bits(uint64_t hash, int place)
{
    return more_bits(hash, place_end(place) - place_size[place], place_size[place]);
}

#endif
