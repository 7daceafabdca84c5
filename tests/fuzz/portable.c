/* No vector kernels: they take minutes to compile with a fuzzer's flags, and the portable ones
 * depend on the input just as much. tests/c runs those of every instruction set. */
#include "../../csrc/kernels/kernels.h"

const trpok_table *trpok_avx2(void) { return NULL; }
const trpok_table *trpok_avx512(void) { return NULL; }
const trpok_table *trpok_neon(void) { return NULL; }
