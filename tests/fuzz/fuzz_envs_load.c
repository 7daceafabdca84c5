/* trpo_envs_load: for any bytes, with a valid checksum or not, either nothing changes, or the
 * environments are in a state that can be saved: no forbidden action reaches the simulator. If a
 * simulator's own `load` fails, no environment has an episode. */
#include "simulator.h"

enum { E = 3 };

/* ---- a simulator that checks for forbidden actions ------------------------------------------- */

static int strict_step(const void *config, void *state, const double *act, double *obs, double *rew,
                       uint8_t *term, trpo_env_random *random)
{
    const sim_state *s = (const sim_state *)state;
    MUST(s->open[(int)act[0]] == 1);
    MUST(s->open[2 + (int)act[1]] == 1);
    return sim_step(config, state, act, obs, rew, term, random);
}

/* The first open choice of each component, as an action. */
static void choose(double *act, const uint8_t *mask)
{
    for (int e = 0; e < E; e++, mask += SIM_CHOICES, act += SIM_ACTIONS) {
        act[0] = mask[0] ? 0 : 1;
        act[1] = mask[2] ? 0 : mask[3] ? 1 : 2;
    }
}

static void steps(trpo_envs *envs, int autoreset)
{
    double act[E * SIM_ACTIONS] = {0, 0, 0, 0, 0, 0};
    for (int t = 0; t < 5; t++) {
        const trpo_env_outcome out = trpo_envs_outcome(envs);
        if (out.mask != NULL) choose(act, out.mask);
        for (int e = 0; e < E; e++) (void)trpo_envs_step(envs, act, autoreset, e, 1, NULL);
        check_outcome(envs);
    }
}

static void check_no_episode(trpo_envs *envs)
{
    const double act[E * SIM_ACTIONS] = {0, 0, 0, 0, 0, 0};
    for (int e = 0; e < E; e++)
        MUST(trpo_envs_step(envs, act, TRPO_ENV_SAME_STEP, e, 1, NULL) == TRPO_ENV_ERR_ORDER);
}

static unsigned char *saved_of(const trpo_envs *envs, size_t bytes)
{
    unsigned char *saved = ROOM(unsigned char, bytes);
    MUST(trpo_envs_save(envs, saved, bytes) == TRPO_ENV_OK);
    return saved;
}

static void load(trpo_envs *envs, input *in)
{
    const size_t bytes = trpo_envs_save_bytes(envs);
    unsigned char *before = saved_of(envs, bytes), *given = saved_of(envs, bytes);
    const int is_right = next_of(in, 8) != 0, is_short = next_of(in, 16) == 0;
    damage(in, given, bytes);
    if (is_right) put_checksum(given, bytes);
    const size_t length = is_short ? next_word(in) % bytes : bytes;
    unsigned char *exact = ROOM(unsigned char, length);
    memcpy(exact, given, length);
    if (next_of(in, 2)) sim_input = in;
    const int status = trpo_envs_load(envs, exact, length);
    sim_input = NULL;
    unsigned char *after = saved_of(envs, bytes);
    const int same = memcmp(after, status == TRPO_ENV_OK ? given : before, bytes) == 0;
    if (trpo_envs_spec(envs)->load == NULL)
        MUST(same && (status == TRPO_ENV_OK || status == TRPO_ENV_ERR_SAVED));
    else if (!same && status != TRPO_ENV_OK) /* what was not open is not loaded */
        check_no_episode(envs);
    free(before), free(given), free(exact), free(after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    const int kind = next_of(&in, SIM_KINDS), autoreset = next_of(&in, 3);
    trpo_env env = sim_env(kind, next_of(&in, 4));
    trpo_envs *envs;
    if (kind >= 3) env.step = strict_step;
    const size_t bytes = trpo_envs_bytes(&env, E);
    void *memory = room(bytes);
    MUST(trpo_envs_init(&envs, &env, E, next_long(&in), memory, bytes) == TRPO_ENV_OK);
    sim_input = next_of(&in, 2) ? &in : NULL;
    if (next_of(&in, 8)) (void)trpo_envs_reset(envs, NULL, NULL);
    steps(envs, autoreset);
    sim_input = NULL;
    load(envs, &in);
    steps(envs, autoreset);
    trpo_envs_close(envs);
    free(memory);
    return 0;
}
