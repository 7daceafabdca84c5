/* The environment interface: what a simulator implements so that fasttrpo can train in it.
 *
 * An environment is a constant struct of sizes and functions, in any language that can fill a C
 * struct. A shared library exports one function,
 *
 *     const trpo_env *trpo_environment(void);
 *
 * and is used as  TRPO("MlpPolicy", "./my_sim.so")  or  fasttrpo train ./my_sim.so.
 * A complete example: csrc/examples/balance_env.c. It need not link against fasttrpo.
 *
 * A library may also export
 *
 *     const char *trpo_environment_error(const void *state);
 *
 * the reason, in UTF-8, for which a function has just returned an error for this state; "" or NULL
 * if there is none. For state NULL: why trpo_environment has returned NULL. Python adds it to its
 * message.
 *
 * The batch loop provides vectorisation, threads, the step limit and truncation, resets at the end
 * of episodes, episode statistics, and checks of the results (an observation or reward that is not
 * finite is an error). A simulation that can become unstable ends its episode itself instead, with
 * TRPO_ENV_TRUNCATED.
 *
 * Conventions
 *   State    is state_bytes of caller-owned memory, aligned to 16 bytes, zero before the first
 *            call. It must hold the complete simulation, without pointers, so that a copy of the
 *            bytes is a copy of the simulation. An environment that needs more (memory of its own,
 *            a handle from another library) acquires it in `open`, releases it in `close`, and can
 *            be saved if it has `save` and `load`.
 *   Threads  functions are called concurrently for distinct states.
 *   Errors   0 is success; any other number ends the rollout, and is reported with the environment
 *            and the step. The other environments and the model are unaffected.
 *   Bits     those of C libraries' sin, exp, ... differ from machine to machine; those of
 *            trpo_math.h (trpo_sin, ...) do not. Compilers may also fuse a product and a sum of
 *            yours, unless the source begins as trpo_strict.h says.
 *   Numbers  are double. Sizes: O = obs_size, D = n_actions, A = sum of choices over components.
 */
#ifndef TRPO_ENV_H
#define TRPO_ENV_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "trpo_math.h"
#include "trpo_random.h"
#include "trpo_strict.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TRPO_ENV_VERSION 1
#define TRPO_ENV_SYMBOL "trpo_environment"
#define TRPO_ENV_ERROR_SYMBOL "trpo_environment_error"

/* Exports trpo_environment, with C's linkage, even if symbols are hidden by default
 * (-fvisibility=hidden, Windows):
 *
 *     TRPO_ENV_EXPORT const trpo_env *trpo_environment(void) { return &my_environment; } */
#if defined(_WIN32)
#define TRPO_ENV_VISIBLE __declspec(dllexport)
#elif defined(__GNUC__)
#define TRPO_ENV_VISIBLE __attribute__((visibility("default")))
#else
#define TRPO_ENV_VISIBLE
#endif
#ifdef __cplusplus
#define TRPO_ENV_EXPORT extern "C" TRPO_ENV_VISIBLE
#else
#define TRPO_ENV_EXPORT TRPO_ENV_VISIBLE
#endif

/* ---- randomness ------------------------------------------------------------------------------ */

/* One environment's stream of random numbers; its position is saved and restored with the state.
 * Any language can draw from it: draw number `count` is Philox4x32-10 with the key `seed` and the
 * counter (low word of count, env, high word of count, TRPO_ENV_STREAM). */
typedef struct trpo_env_random {
    uint64_t seed;
    uint64_t count; /* draws made */
    uint32_t env;   /* index of the environment */
    uint32_t contracted; /* 1: the source that draws is not strict (TRPO_ENV_ERR_BUILD) */
} trpo_env_random;

enum { TRPO_ENV_STREAM = 6 };

/* Makes the next draw: four random words. */
static inline void trpo_env_draw(trpo_env_random *random, uint32_t x[4])
{
    x[0] = (uint32_t)random->count;
    x[1] = random->env;
    x[2] = (uint32_t)(random->count >> 32);
    x[3] = TRPO_ENV_STREAM;
    trpo_philox(x, (uint32_t)random->seed, (uint32_t)(random->seed >> 32));
    random->count++;
}

/* The upper 53 bits of two words. */
static inline uint64_t trpo_env_bits(uint32_t high, uint32_t low)
{
    return ((uint64_t)high << 32 | low) >> 11;
}

TRPO_STRICT_BEGIN

/* Some compilers fuse despite trpo_strict.h; the batch loop then returns TRPO_ENV_ERR_BUILD. */
TRPO_STRICT_PART void trpo_env_notice(trpo_env_random *random)
{
    if (!TRPO_STRICT_IS_CERTAIN && !trpo_is_strict()) random->contracted = 1;
}

/* Uniform in [low, high), from one draw. */
TRPO_STRICT double trpo_env_uniform(trpo_env_random *random, double low, double high)
{
    uint32_t x[4];
    trpo_env_draw(random, x);
    trpo_env_notice(random);
    return low + (high - low) * ((double)trpo_env_bits(x[0], x[1]) / 9007199254740992.0);
}

/* Normally distributed, from one draw: sqrt(-2 ln u) cos(2 pi v), u in (0, 1] from its first two
 * words, v in [0, 1) from the others (Box and Muller 1958). */
TRPO_STRICT double trpo_env_normal(trpo_env_random *random, double mean, double std)
{
    uint32_t x[4];
    trpo_env_draw(random, x);
    trpo_env_notice(random);
    const double u = ((double)trpo_env_bits(x[0], x[1]) + 1.0) / 9007199254740992.0;
    const double v = (double)trpo_env_bits(x[2], x[3]) / 9007199254740992.0;
    return mean + std * (sqrt(-2.0 * trpo_log(u)) * trpo_cos(2.0 * 3.141592653589793 * v));
}

TRPO_STRICT_END

/* ---- the struct ------------------------------------------------------------------------------ */

/* How a step ended the episode: what `step` sets *term to. 0: it did not; numbers other than these
 * count as TRPO_ENV_TERMINATED. */
enum {
    TRPO_ENV_TERMINATED = 1, /* nothing follows: the value of what comes next is 0            */
    TRPO_ENV_TRUNCATED = 2   /* cut, as by the step limit: what comes next is worth V(obs)    */
};

/* A number that the user may set. Flags are 0 or 1. */
typedef struct trpo_env_option {
    const char *name;
    int of_reset;          /* 1: only reset reads it, so it may differ from reset to reset    */
} trpo_env_option;

typedef struct trpo_env {
    int version;           /* TRPO_ENV_VERSION                                                */
    int struct_size;       /* sizeof(trpo_env), or its size before `mask` or `open` was added */
    const char *name;      /* "CartPole-v1"                                                   */
    size_t state_bytes;    /* >= 1                                                            */

    int obs_size;          /* O >= 1                                                          */
    const double *obs_low; /* (O) bounds, possibly infinite; NULL: unbounded                  */
    const double *obs_high;

    int n_actions;         /* D >= 1, action components                                       */
    const int *choices;    /* (D) number of choices 0, 1, ... per component; NULL: components */
                           /*     are real numbers                                            */
    const double *act_low; /* (D) bounds that real actions are clipped to; NULL: unbounded    */
    const double *act_high;

    int max_episode_steps; /* the step limit, at which an episode is truncated; 0: none       */
    double reward_threshold; /* the mean return that counts as solved; NaN: none              */
    const void *config;    /* private to the environment, passed to every call; may be NULL   */

    int n_options;         /* 0: none. Otherwise config is (n_options) doubles, the defaults  */
    const trpo_env_option *options; /* of these options, which a host may set in its own copy */

    /* Starts an episode: state and obs (O) out. */
    int (*reset)(const void *config, void *state, double *obs, trpo_env_random *random);

    /* Takes a step with act (D): state in and out; obs (O), *rew and *term out. *term is 0 on
     * entry; TRPO_ENV_TERMINATED or TRPO_ENV_TRUNCATED ends the episode, after which obs must be
     * finite as always. The action is a valid choice, or within the bounds. */
    int (*step)(const void *config, void *state, const double *act, double *obs, double *rew,
                uint8_t *term, trpo_env_random *random);

    /* Computes obs (O) of a state that was set from outside. NULL: states cannot be set. */
    int (*observe)(const void *config, const void *state, double *obs);

    /* Releases resources that a state holds outside its bytes. Called once for each state that
     * was opened, or reset if there is no `open`. NULL: there are none. */
    void (*close)(const void *config, void *state);

    /* Sets mask (A), the choices of component 0, then 1, ..., to 1 where a choice is allowed in
     * this state; it is all 0 on entry. Each component needs an allowed choice. Called after reset,
     * step and observe while an episode is running. The policy takes only allowed choices; actions
     * from other sources are not checked against the mask. NULL: everything is always allowed. */
    int (*mask)(const void *config, const void *state, uint8_t *mask);

    /* Acquires resources once per environment, before its first reset: state, all zero, in and out.
     * If it fails, it leaves nothing to release: the state is zeroed again, `close` is not called,
     * and the next reset tries again. NULL: nothing to acquire. */
    int (*open)(const void *config, void *state);

    /* Save and load one environment, where a copy of the state's bytes does not.
     * save  writes all that the simulation's future depends on to bytes (save_bytes), which are 0
     *       on entry; they go into files, so they contain no pointers
     * load  makes an open state the saved one, whatever it was before; it must not trust the bytes
     * The bytes are aligned to 16. 0 and NULL: the state's bytes are saved instead, or nothing can
     * be saved if the environment has `open` or `close`. */
    size_t save_bytes;
    int (*save)(const void *config, const void *state, void *bytes);
    int (*load)(const void *config, void *state, const void *bytes);
} trpo_env;

typedef const trpo_env *(*trpo_environment_fn)(void);

/* ---- vectorised environments ----------------------------------------------------------------- */

/* E environments of one kind, in the caller's memory. */
typedef struct trpo_envs trpo_envs;

typedef enum trpo_env_status {
    TRPO_ENV_OK = 0,
    TRPO_ENV_ERR_VERSION = -1,  /* the struct has another version or size than this header's    */
    TRPO_ENV_ERR_SPEC = -2,     /* a size, bound or function is missing or invalid              */
    TRPO_ENV_ERR_MEMORY = -3,   /* memory is NULL or too small                                  */
    TRPO_ENV_ERR_FAILED = -4,   /* the environment returned an error: trpo_env_failure.code     */
    TRPO_ENV_ERR_OBS = -5,      /* an observation is not finite                                 */
    TRPO_ENV_ERR_REW = -6,      /* a reward is not finite                                       */
    TRPO_ENV_ERR_ACT = -7,      /* an action is not finite, or not a valid choice               */
    TRPO_ENV_ERR_ORDER = -8,    /* no episode is running: call reset first                      */
    TRPO_ENV_ERR_SAVED = -9,    /* saved bytes are damaged, or from different environments      */
    TRPO_ENV_ERR_NONE = -10,    /* the environment does not support this call                   */
    TRPO_ENV_ERR_MASK = -11,    /* a mask forbids all choices of a component, or has an entry   */
                                /*     other than 0 and 1; or `mask` returned an error: code    */
    TRPO_ENV_ERR_OPEN = -12,    /* `open` returned an error: trpo_env_failure.code              */
    TRPO_ENV_ERR_BUILD = -13    /* compiled so that a b + c is rounded once: other results      */
} trpo_env_status;

/* Where a call failed. */
typedef struct trpo_env_failure {
    int env;               /* index of the environment                                        */
    int64_t step;          /* of its episode, from 1; 0 is the reset                          */
    int code;              /* what the environment returned, else 0                           */
    int component;         /* of the observation, action or mask, else 0                      */
    int status;            /* what the call returned                                          */
} trpo_env_failure;

/* When an episode that has ended (term or trunc) is followed by the next one. */
typedef enum trpo_env_autoreset {
    TRPO_ENV_DISABLED = 0,  /* on trpo_envs_reset                                              */
    TRPO_ENV_SAME_STEP = 1, /* at the end of the same step                                     */
    TRPO_ENV_NEXT_STEP = 2  /* in place of the next step, whose reward is 0                    */
} trpo_env_autoreset;

/* The outcome of the last reset or step of each environment; (E x O) or (E). */
typedef struct trpo_env_outcome {
    double *obs;           /* the next input of the agent, after any reset                    */
    double *final_obs;     /* after the step, before any reset; equals obs if there was none  */
    double *rew;
    uint8_t *term, *trunc;
    double *episode_return;  /* of the episode that ended here, else of the running one       */
    int64_t *episode_length; /* likewise                                                      */
    uint8_t *mask;         /* (E x A) choices allowed next, as trpo_act takes them; all after */
                           /*     an episode's end; NULL: the environment has no masks        */
} trpo_env_outcome;

/* Returns the name of the first invalid field, or NULL. Of a struct with another version or size
 * no further field is read. */
const char *trpo_env_bad_field(const trpo_env *env);

/* Sets an agent's obs_size, distribution and parts (trpo.h) for an environment: categorical if it
 * has choices, else Gaussian. Other settings, such as n_envs, are unchanged. `parts` then points to
 * the environment's choices, until trpo_init copies them. TRPO_ENV_ERR_VERSION, _SPEC. */
struct trpo_settings;
int trpo_settings_for_env(struct trpo_settings *settings, const trpo_env *env);

/* Returns the bytes that n_envs environments need; 0 if the struct is invalid or n_envs < 1. */
size_t trpo_envs_bytes(const trpo_env *env, int n_envs);

/* Creates environments in mem (any alignment). The struct must outlive them.
 * TRPO_ENV_ERR_VERSION, _SPEC, _MEMORY; _BUILD: compile without -ffp-contract=fast. If only the
 * environment was compiled so, reset and step return _BUILD once it has drawn, where it matters. */
int trpo_envs_init(trpo_envs **envs, const trpo_env *env, int n_envs, uint64_t seed, void *mem,
                   size_t bytes);

/* Releases the states' resources; the environments are then as after init, and reset opens them
 * again. */
void trpo_envs_close(trpo_envs *envs);

/* Restarts the random streams: environment e gets stream e of this seed, for any E. */
void trpo_envs_seed(trpo_envs *envs, uint64_t seed);

/* Returns environment e's stream, to read or to set. */
trpo_env_random *trpo_envs_random(trpo_envs *envs, int e);

/* Starts new episodes where mask (E) is set, or everywhere if NULL, with rewards and flags 0.
 * Opens those that are not open. failure may be NULL. TRPO_ENV_ERR_OPEN, _FAILED, _OBS, _MASK: the
 * failed environment has no episode, and those after it are unchanged. */
int trpo_envs_reset(trpo_envs *envs, const uint8_t *mask, trpo_env_failure *failure);

/* Steps environments [first, first + n) by their rows of act (E x D), with a trpo_env_autoreset.
 * Distinct ranges may be stepped by different threads at once. failure may be NULL.
 * TRPO_ENV_ERR_ACT, _ORDER: the failed environment is unchanged. TRPO_ENV_ERR_FAILED, _OBS, _REW,
 * _MASK: it has no episode until it is reset, and its row of the outcome is undefined. Either way
 * the environments before it in the range have stepped, and those after it have not. */
int trpo_envs_step(trpo_envs *envs, const double *act, int autoreset, int first, int n,
                   trpo_env_failure *failure);

int trpo_envs_count(const trpo_envs *envs);
const trpo_env *trpo_envs_spec(const trpo_envs *envs);
trpo_env_outcome trpo_envs_outcome(trpo_envs *envs);

/* Save and load everything: states, streams, running episodes. The bytes are portable between
 * machines of the same byte order, for environments of the same name, sizes and number. If the
 * environment has `open` or `close` but no `save`, and so cannot be copied: 0 bytes,
 * TRPO_ENV_ERR_NONE.
 * TRPO_ENV_ERR_MEMORY, _SAVED: nothing has changed. Besides the checksum, loading rejects (_SAVED)
 * impossible values: episode lengths that are negative or above 2^52, flags other than 0 and 1,
 * numbers of a running episode that are not finite, a mask that `mask` does not give for the state.
 * Only the simulator can check its states: load only bytes that you saved.
 * With `save` and `load`: environments that are open are saved by `save`, in order. Loading opens
 * those that need it and closes those that were not open when they were saved.
 * TRPO_ENV_ERR_FAILED: `save` or `load` returned an error, which trpo_envs_get_failure has.
 * Environments are unchanged by a failed save; after a failed `load` or `open` (_OPEN), or a mask
 * that the loaded state does not give (_SAVED), none has an episode: call trpo_envs_reset. */
size_t trpo_envs_save_bytes(const trpo_envs *envs);
int trpo_envs_save(const trpo_envs *envs, void *buffer, size_t bytes);
int trpo_envs_load(trpo_envs *envs, const void *buffer, size_t bytes);

/* Reports where the last save or load to return TRPO_ENV_ERR_FAILED or _OPEN failed. */
void trpo_envs_get_failure(const trpo_envs *envs, trpo_env_failure *failure);

/* Returns environment e's state, to read, or to set (then call trpo_envs_observe). */
void *trpo_envs_state(trpo_envs *envs, int e);

/* Starts an episode of environment e from its current state. failure may be NULL.
 * TRPO_ENV_ERR_FAILED, _OBS, _MASK; _NONE if the environment has no `observe`; _ORDER if it has
 * `open`, which the next reset will call. */
int trpo_envs_observe(trpo_envs *envs, int e, trpo_env_failure *failure);

/* Describes a status in English; "unknown status" for any other number. */
const char *trpo_env_status_text(int status);

/* Built-in environments by name ("CartPole-v1"), or by number 0, 1, ...; NULL if there is none. */
const trpo_env *trpo_env_named(const char *name);
const trpo_env *trpo_env_builtin(int i);

#ifdef __cplusplus
}
#endif
#endif
