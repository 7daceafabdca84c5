/* A simulator controlled by a fuzzer: each call takes its results from the input. */
#ifndef TRPO_TESTS_FUZZ_SIMULATOR_H
#define TRPO_TESTS_FUZZ_SIMULATOR_H

#include "../../csrc/include/trpo_env.h"
#include "input.h"

enum { SIM_OBS = 3, SIM_ACTIONS = 2, SIM_CHOICES = 5, SIM_KINDS = 5, SIM_SAVE_BYTES = 11 };

/* The state; all other results come from `sim_input`. */
typedef struct sim_state {
    unsigned char open[SIM_CHOICES]; /* the open choices */
    unsigned char rest[6];
    void *held;                      /* what `open` acquires */
} sim_state;

static input *sim_input; /* the current input; NULL: no call fails */

static inline int sim_code(void)
{
    return sim_input != NULL && next_of(sim_input, 16) == 15 ? 1 + next_of(sim_input, 9) : 0;
}

static inline double sim_number(void)
{
    if (sim_input == NULL) return 0.25;
    return next_of(sim_input, 24) == 23 ? next_double(sim_input) : next_byte(sim_input) / 16.0;
}

static inline int sim_observe(const void *config, const void *state, double *obs)
{
    (void)config, (void)state;
    for (int i = 0; i < SIM_OBS; i++) obs[i] = sim_number();
    return sim_code();
}

static inline int sim_reset(const void *config, void *state, double *obs, trpo_env_random *random)
{
    sim_state *s = (sim_state *)state;
    const int wild = sim_input != NULL && next_of(sim_input, 12) == 11;
    for (int i = 0; i < SIM_CHOICES; i++)
        s->open[i] = (unsigned char)(wild ? next_of(sim_input, 3) : i % 2 == 0);
    s->rest[0] = (unsigned char)trpo_env_uniform(random, 0, 256);
    return sim_observe(config, state, obs);
}

static inline int sim_step(const void *config, void *state, const double *act, double *obs,
                           double *rew, uint8_t *term, trpo_env_random *random)
{
    sim_state *s = (sim_state *)state;
    (void)random;
    for (int d = 0; d < SIM_ACTIONS; d++) MUST(isfinite(act[d]));
    s->rest[1]++;
    *rew = sim_number();
    *term = (uint8_t)(sim_input != NULL && next_of(sim_input, 6) == 5 ? next_byte(sim_input) : 0);
    return sim_observe(config, state, obs);
}

static inline int sim_mask(const void *config, const void *state, uint8_t *mask)
{
    const sim_state *s = (const sim_state *)state;
    (void)config;
    memcpy(mask, s->open, SIM_CHOICES);
    return s->rest[5] == 0xEE; /* only in a damaged state */
}

static inline int sim_open(const void *config, void *state)
{
    sim_state *s = (sim_state *)state;
    const int code = sim_code();
    (void)config;
    MUST(s->held == NULL);
    if (code == 0) s->held = room(1);
    return code;
}

static inline void sim_close(const void *config, void *state)
{
    (void)config;
    MUST(((sim_state *)state)->held != NULL);
    free(((sim_state *)state)->held);
}

static inline int sim_save(const void *config, const void *state, void *bytes)
{
    const sim_state *s = (const sim_state *)state;
    (void)config;
    MUST(s->held != NULL);
    memcpy(bytes, s->open, SIM_CHOICES);
    memcpy((unsigned char *)bytes + SIM_CHOICES, s->rest, sizeof s->rest);
    return sim_code();
}

static inline int sim_load(const void *config, void *state, const void *bytes)
{
    sim_state *s = (sim_state *)state;
    (void)config;
    MUST(s->held != NULL);
    memcpy(s->open, bytes, SIM_CHOICES);
    memcpy(s->rest, (const unsigned char *)bytes + SIM_CHOICES, sizeof s->rest);
    return sim_code();
}

/* kind: 0 real actions, 1 bounded ones, 2 choices, 3 choices and masks, 4 these and resources */
static inline trpo_env sim_env(int kind, int limit)
{
    static const int choices[] = {2, 3};
    static const double low[] = {-1, -2}, high[] = {1, 2};
    trpo_env env;
    memset(&env, 0, sizeof env);
    env.version = TRPO_ENV_VERSION;
    env.struct_size = (int)sizeof env;
    env.name = "Simulator";
    env.state_bytes = sizeof(sim_state);
    env.obs_size = SIM_OBS;
    env.n_actions = SIM_ACTIONS;
    env.choices = kind >= 2 ? choices : NULL;
    env.act_low = kind == 1 ? low : NULL;
    env.act_high = kind == 1 ? high : NULL;
    env.max_episode_steps = limit;
    env.reset = sim_reset;
    env.step = sim_step;
    env.observe = sim_observe;
    env.mask = kind >= 3 ? sim_mask : NULL;
    if (kind < 4) return env;
    env.open = sim_open;
    env.close = sim_close;
    env.save_bytes = SIM_SAVE_BYTES;
    env.save = sim_save;
    env.load = sim_load;
    return env;
}

/* Asserts what must always hold for environments. */
static inline void check_outcome(trpo_envs *envs)
{
    const trpo_env_outcome out = trpo_envs_outcome(envs);
    for (int e = 0; e < trpo_envs_count(envs); e++) {
        MUST(out.term[e] <= 1 && out.trunc[e] <= 1);
        MUST(out.episode_length[e] >= 0 && out.episode_length[e] < INT64_MAX / 2);
        MUST(isfinite(out.rew[e]));
        MUST(!isnan(out.episode_return[e]));
    }
}

#endif
