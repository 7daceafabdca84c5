/* No vector kernels: with a fuzzer's flags they take minutes to compile, and the portable ones are
 * as much at the mercy of the input. tests/c runs those of every instruction set. */
#include "../../csrc/kernels/kernels.h"

const trpok_table *trpok_avx2(void) { return NULL; }
const trpok_table *trpok_avx512(void) { return NULL; }
const trpok_table *trpok_neon(void) { return NULL; }
