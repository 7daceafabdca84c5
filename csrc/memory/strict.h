/* The first include of every source and header of the library: whatever the compiler's flags, the
 * rest of the source is not contracted (include/trpo_strict.h). */
#ifndef TRPO_STRICT_FILE
#define TRPO_STRICT_FILE
#define TRPO_STRICT_NOTICED /* by trpo_init and trpo_envs_init */

#include "../include/trpo_strict.h"

TRPO_STRICT_BEGIN

#endif
