/* Structs and calls of environments in any order: a struct is rejected with the field's name, or
 * needs the bytes that it reports; a simulator may return anything. */
#include "simulator.h"

enum { MANY = 20, FEW_BYTES = 1 << 20, MOST = 40 };

static int choices[MANY];
static double low[MANY], high[MANY];
static trpo_env_option options[3] = {{"a", 0}, {"b", 1}, {NULL, 0}};
static double config[3];

/* ---- structs --------------------------------------------------------------------------------- */

static void change_field(trpo_env *env, input *in)
{
    switch (next_of(in, 16)) {
    case 0: env->version = next_int(in); break;
    case 1: env->struct_size = next_int(in); break;
    case 2: env->name = NULL; break;
    case 3: env->state_bytes = (size_t)next_long(in); break;
    case 4: env->state_bytes = (size_t)(unsigned)next_int(in); break;
    case 5: env->obs_size = next_int(in); break;
    case 6: env->n_actions = next_of(in, MANY), env->choices = choices; break;
    case 7: env->max_episode_steps = next_int(in); break;
    case 8: env->n_options = next_of(in, 4), env->options = options, env->config = config; break;
    case 9: env->reset = NULL; break;
    case 10: env->act_low = low; break;
    case 11: env->obs_low = low, env->obs_high = high; break;
    case 12: env->mask = sim_mask; break;
    case 13: env->save_bytes = (size_t)next_long(in); break;
    case 14: env->save_bytes = (size_t)(unsigned)next_int(in), env->save = sim_save; break;
    default: env->observe = NULL; break;
    }
}

/* Checks the struct without running anything of it. */
static void try_struct(input *in)
{
    trpo_env env = sim_env(next_of(in, SIM_KINDS), next_int(in));
    trpo_envs *envs = NULL;
    for (int i = 0; i < MANY; i++)
        choices[i] = next_int(in), low[i] = next_double(in), high[i] = next_double(in);
    for (int changes = next_of(in, 4); changes > 0; changes--) change_field(&env, in);
    /* bounds of the given sizes, which are the caller's duty */
    if (env.act_low != NULL) env.act_low = low;
    if (env.act_high != NULL) env.act_high = high;
    if (env.obs_size > MANY) env.obs_low = env.obs_high = NULL;
    const int n_envs = next_int(in), is_bad = trpo_env_bad_field(&env) != NULL;
    const size_t bytes = trpo_envs_bytes(&env, n_envs);
    if (is_bad || n_envs < 1) MUST(bytes == 0);
    if (bytes == 0) MUST(trpo_envs_init(&envs, &env, n_envs, 1, &envs, sizeof envs) < 0);
    if (bytes == 0 || bytes > FEW_BYTES) return;
    void *memory = room(bytes);
    MUST(trpo_envs_init(&envs, &env, n_envs, 1, memory, bytes - 1) == TRPO_ENV_ERR_MEMORY);
    MUST(trpo_envs_init(&envs, &env, n_envs, 1, memory, bytes) == TRPO_ENV_OK);
    if (env.save == NULL) MUST(trpo_envs_save_bytes(envs) < bytes);
    memset(trpo_envs_state(envs, n_envs - 1), 0x5A, env.state_bytes);
    const trpo_env_outcome out = trpo_envs_outcome(envs);
    out.obs[(size_t)env.obs_size * (size_t)n_envs - 1] = 1;
    out.episode_length[n_envs - 1] = 1;
    free(memory);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void step(trpo_envs *envs, input *in, int E)
{
    double *act = ROOM(double, E * SIM_ACTIONS);
    const int first = next_of(in, E), n = next_of(in, E - first + 1);
    trpo_env_failure failure;
    for (int i = 0; i < E * SIM_ACTIONS; i++)
        act[i] = next_of(in, 8) ? next_of(in, 2) : next_double(in);
    const int status = trpo_envs_step(envs, act, next_of(in, 3), first, n, &failure);
    if (status != TRPO_ENV_OK) MUST(failure.status == status && failure.env < first + n);
    free(act);
}

static void reset(trpo_envs *envs, input *in, int E)
{
    uint8_t *mask = ROOM(uint8_t, E);
    for (int e = 0; e < E; e++) mask[e] = (uint8_t)next_of(in, 2);
    (void)trpo_envs_reset(envs, next_of(in, 2) ? mask : NULL, NULL);
    free(mask);
}

/* A saved state loads, whatever happened to the environments since, unless the simulator fails. */
static void save_and_load(trpo_envs *envs, input *in, int E)
{
    const size_t bytes = trpo_envs_save_bytes(envs);
    const int may_fail = trpo_envs_spec(envs)->save != NULL;
    unsigned char *saved = ROOM(unsigned char, bytes);
    int status = trpo_envs_save(envs, saved, bytes);
    MUST(status == TRPO_ENV_OK || (may_fail && status == TRPO_ENV_ERR_FAILED));
    if (next_of(in, 2)) step(envs, in, E);
    if (next_of(in, 4) == 3) trpo_envs_close(envs);
    if (status == TRPO_ENV_OK) status = trpo_envs_load(envs, saved, bytes);
    MUST(status == TRPO_ENV_OK || (may_fail && (status == TRPO_ENV_ERR_FAILED ||
                                                status == TRPO_ENV_ERR_OPEN)));
    free(saved);
}

static void call(trpo_envs *envs, input *in, int E)
{
    switch (next_of(in, 9)) {
    case 0: reset(envs, in, E); break;
    case 1: save_and_load(envs, in, E); break;
    case 2: trpo_envs_close(envs); break;
    case 3: trpo_envs_seed(envs, next_long(in)); break;
    case 4: trpo_envs_random(envs, next_of(in, E))->count = next_long(in); break;
    case 5: (void)trpo_envs_observe(envs, next_of(in, E), NULL); break;
    default: step(envs, in, E); break;
    }
}

static void try_calls(input *in)
{
    const int E = 1 + next_of(in, 4);
    const trpo_env env = sim_env(next_of(in, SIM_KINDS), next_of(in, 5));
    const size_t bytes = trpo_envs_bytes(&env, E);
    void *memory = room(bytes);
    trpo_envs *envs;
    MUST(trpo_envs_init(&envs, &env, E, next_long(in), memory, bytes) == TRPO_ENV_OK);
    for (int i = 0; i < MOST && in->left > 0; i++) {
        call(envs, in, E);
        check_outcome(envs);
    }
    trpo_envs_close(envs);
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    sim_input = &in;
    (next_of(&in, 3) == 0 ? try_struct : try_calls)(&in);
    sim_input = NULL;
    return 0;
}
