/* The headers of src/bindings.rs: see make_bindings.sh. */
#include "../../include/trpo.h"
#include "../../include/trpo_bindings.h"
#include "../../include/trpo_env.h"
