/* What include/trpo_bindings.h declares. */
#include "../memory/strict.h" /* first */

#include "../include/trpo_bindings.h"

int trpo_version(void) { return TRPO_VERSION_NUMBER; }

const char *trpo_version_text(void) { return TRPO_VERSION; }

size_t trpo_settings_size(void) { return sizeof(trpo_settings); }

size_t trpo_real_size(void) { return sizeof(trpo_real); }

void trpo_draw_block(uint32_t x[4], uint32_t key0, uint32_t key1) { trpo_philox(x, key0, key1); }

void trpo_draw_words(trpo_env_random *random, uint32_t x[4]) { trpo_env_draw(random, x); }

double trpo_draw_uniform(trpo_env_random *random, double low, double high)
{
    return trpo_env_uniform(random, low, high);
}

double trpo_draw_normal(trpo_env_random *random, double mean, double std)
{
    return trpo_env_normal(random, mean, std);
}
