/* Selects kernels by what the machine supports, and distributions by number. */
#include "kernels.h"

#include <string.h>

const trpok_table *trpok_runnable(int i)
{
    const trpok_cpu cpu = trpok_find_cpu();
    const trpok_table *tables[] = {cpu.avx512 ? trpok_avx512() : NULL,
                                   cpu.avx2 ? trpok_avx2() : NULL, trpok_neon(), trpok_baseline()};
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
