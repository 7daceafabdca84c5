/* Saturating sizes, and a bump allocator over the caller's memory.
 *
 * A list of arrays is run twice: once to count its bytes, and once to place it. Sizes are never
 * negative. A sum or product beyond PTRDIFF_MAX, the largest possible object, saturates there, so
 * that no settings can cause an overflow, in 32 bits or 64. */
#ifndef TRPO_ARENA_H
#define TRPO_ARENA_H

#include <stddef.h>
#include <stdint.h>

static inline ptrdiff_t trpo_plus(ptrdiff_t a, ptrdiff_t b)
{
    return a > PTRDIFF_MAX - b ? PTRDIFF_MAX : a + b;
}

static inline ptrdiff_t trpo_times(ptrdiff_t a, ptrdiff_t b)
{
    return b > 0 && a > PTRDIFF_MAX / b ? PTRDIFF_MAX : a * b;
}

enum { TRPO_ALIGNMENT = 64 };

/* The next multiple of `unit`, a power of 2. */
static inline ptrdiff_t trpo_round_up(ptrdiff_t bytes, ptrdiff_t unit)
{
    return trpo_plus(bytes, unit - 1) & ~(unit - 1);
}

/* base: aligned, or NULL to count only. used: bytes taken. */
typedef struct trpo_arena {
    char *base;
    ptrdiff_t used;
} trpo_arena;

/* Takes aligned memory for `count` elements of `size` bytes; NULL if it only counts. */
static inline void *trpo_take(trpo_arena *a, ptrdiff_t count, ptrdiff_t size)
{
    const ptrdiff_t at = trpo_round_up(a->used, TRPO_ALIGNMENT);
    a->used = trpo_plus(at, trpo_times(count, size));
    return a->base != NULL ? a->base + at : NULL;
}

#define TRPO_TAKE(a, type, count) ((type *)trpo_take(a, count, (ptrdiff_t)sizeof(type)))

/* The bytes that the caller must provide, at any alignment; 0 if no object can be so large. */
static inline size_t trpo_arena_bytes(const trpo_arena *a)
{
    const ptrdiff_t bytes = trpo_plus(a->used, TRPO_ALIGNMENT);
    return bytes < PTRDIFF_MAX ? (size_t)bytes : 0;
}

/* The first aligned address in the caller's memory. */
static inline char *trpo_align(void *mem)
{
    const size_t beyond = (uintptr_t)mem % TRPO_ALIGNMENT;
    return (char *)mem + (TRPO_ALIGNMENT - beyond) % TRPO_ALIGNMENT;
}

#endif
