/* Selects kernels by what the machine supports, and distributions by number. */
#include "kernels.h"

#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
static int has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
}
#else
static int has_avx2(void) { return 0; }
static int has_avx512(void) { return 0; }
#endif

const trpok_table *trpok_runnable(int i)
{
    const trpok_table *tables[] = {has_avx512() ? trpok_avx512() : NULL,
                                   has_avx2() ? trpok_avx2() : NULL, trpok_neon(),
                                   trpok_baseline()};
    for (size_t j = 0; j < sizeof tables / sizeof *tables; j++)
        if (tables[j] != NULL && i-- == 0) return tables[j];
    return NULL;
}

const trpok_table *trpok_named(const char *name)
{
    const trpok_table *table;
    for (int i = 0; (table = trpok_runnable(i)) != NULL; i++)
        if (name == NULL || strcmp(name, table->name) == 0) return table;
    return NULL;
}

const trpok_dist *trpok_distribution(int distribution)
{
#define ENTRY(name) &trpok_##name,
    static const trpok_dist *const table[] = {TRPOK_DISTRIBUTIONS(ENTRY)};
#undef ENTRY
    const int count = (int)(sizeof table / sizeof *table);
    return distribution >= 0 && distribution < count ? table[distribution] : NULL;
}
