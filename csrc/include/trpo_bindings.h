/* For bindings in other languages: facts of the library that they are linked with, and the draws of
 * trpo_random.h and trpo_env.h, which are inline functions in C, as functions to call. */
#ifndef TRPO_BINDINGS_H
#define TRPO_BINDINGS_H

#include <stddef.h>
#include <stdint.h>

#include "trpo.h"
#include "trpo_env.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Returns the library's TRPO_VERSION_NUMBER; its TRPO_VERSION. */
int trpo_version(void);
const char *trpo_version_text(void);

/* Returns sizeof(trpo_settings) and sizeof(trpo_real) in the library. Where they differ from those
 * of a binding, it was made for another version, or for the other precision (TRPO_DOUBLE): its
 * structs and arrays are not those that the library reads. */
size_t trpo_settings_size(void);
size_t trpo_real_size(void);

/* trpo_philox: x (4), the counter in, four random words out. */
void trpo_draw_block(uint32_t x[4], uint32_t key0, uint32_t key1);

/* trpo_env_draw, trpo_env_uniform and trpo_env_normal: each advances the stream by one draw. */
void trpo_draw_words(trpo_env_random *random, uint32_t x[4]);
double trpo_draw_uniform(trpo_env_random *random, double low, double high);
double trpo_draw_normal(trpo_env_random *random, double mean, double std);

#ifdef __cplusplus
}
#endif
#endif
