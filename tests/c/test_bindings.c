/* What bindings ask a library, and the draws that they call. */
#include "check.h"

#include "../../csrc/include/trpo_bindings.h"

static void facts_are_those_of_the_headers(void)
{
    int major, minor, patch;
    CHECK(sscanf(TRPO_VERSION, "%d.%d.%d", &major, &minor, &patch) == 3);
    CHECK(TRPO_VERSION_NUMBER == (major * 1000 + minor) * 1000 + patch);
    CHECK(trpo_version() == TRPO_VERSION_NUMBER);
    CHECK(strcmp(trpo_version_text(), TRPO_VERSION) == 0);
    CHECK(trpo_settings_size() == sizeof(trpo_settings));
    CHECK(trpo_real_size() == sizeof(trpo_real));
}

/* The vectors published with Random123, philox4x32-10. */
static void a_block_is_philox(void)
{
    uint32_t x[4] = {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344};
    const uint32_t known[4] = {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1};
    trpo_draw_block(x, 0xa4093822, 0x299f31d0);
    CHECK(memcmp(x, known, sizeof x) == 0);
}

static void draws_are_those_of_the_inline_functions(void)
{
    trpo_env_random ours = {12345678901u, 0, 3, 0}, theirs = ours;
    uint32_t x[4], y[4];
    for (int i = 0; i < 1000; i++) {
        CHECK(trpo_draw_uniform(&theirs, -2, 3) == trpo_env_uniform(&ours, -2, 3));
        CHECK(trpo_draw_normal(&theirs, 1, 0.1) == trpo_env_normal(&ours, 1, 0.1));
        trpo_draw_words(&theirs, x);
        trpo_env_draw(&ours, y);
        CHECK(memcmp(x, y, sizeof x) == 0);
        CHECK(theirs.count == ours.count);
    }
    CHECK(ours.count == 3000);
}

int main(void)
{
    facts_are_those_of_the_headers();
    a_block_is_philox();
    draws_are_those_of_the_inline_functions();
    return check_result();
}
