/* Which kernels this machine runs, and which distribution a number means. */
#include "kernels.h"

const trpok_table *trpok_best(void) { return trpok_baseline(); }

const trpok_dist *trpok_distribution(int distribution)
{
    switch (distribution) {
    case TRPO_GAUSSIAN: return &trpok_gaussian;
    case TRPO_CATEGORICAL: return &trpok_categorical;
    default: return NULL;
    }
}
