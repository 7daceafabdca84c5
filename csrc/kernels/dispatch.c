/* Which kernels this machine runs, and which distribution a number means. */
#include "kernels.h"

#include <string.h>

static int has_avx2(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return 0;
#endif
}

const trpok_table *trpok_named(const char *name)
{
    const trpok_table *tables[] = {has_avx2() ? trpok_avx2() : NULL, trpok_baseline()};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (tables[i] != NULL && (name == NULL || strcmp(name, tables[i]->name) == 0))
            return tables[i];
    return NULL;
}

const trpok_dist *trpok_distribution(int distribution)
{
    switch (distribution) {
    case TRPO_GAUSSIAN: return &trpok_gaussian;
    case TRPO_CATEGORICAL: return &trpok_categorical;
    default: return NULL;
    }
}
