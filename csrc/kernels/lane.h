/* The type of a vector's lanes: `real`; or always double, in files that define TRPOK_WIDE before
 * they include a simd_*.h. */
#ifndef TRPOK_LANE_H
#define TRPOK_LANE_H

#include "kernels.h"

#if defined(TRPO_DOUBLE) && !defined(TRPOK_WIDE)
#define TRPOK_WIDE
#endif

#ifdef TRPOK_WIDE
typedef double lane;
#else
typedef float lane;
#endif

#endif
