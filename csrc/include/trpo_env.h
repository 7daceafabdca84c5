/* The environment interface: what a simulator provides so that fasttrpo can train in it.
 *
 * An environment is a constant struct of sizes and functions. Any language that can fill a C struct
 * can provide one; as a shared library it exports one function,
 *
 *     const trpo_env *trpo_environment(void);
 *
 * and is used as  TRPO("MlpPolicy", "./my_sim.so")  or  fasttrpo train ./my_sim.so.
 * A complete example: csrc/examples/balance_env.c. It need not link to anything of fasttrpo's.
 *
 * What the batch loop does, so that an environment need not: many environments side by side,
 * threads, the step limit and truncation, resets at the end of episodes, episode statistics,
 * checks of what comes back (an observation or reward that is not finite is an error).
 *
 * Conventions
 *   State    is state_bytes of caller-owned memory, aligned to 16 bytes, zero before the first
 *            reset. It must hold all there is to a simulation, without pointers into itself: then
 *            a copy of the bytes is a copy of the simulation. An environment that needs more than
 *            that (a handle of another library) provides `close`, and cannot be copied.
 *   Threads  functions are called for distinct states from several threads at once.
 *   Errors   0 is success; any other number ends the rollout, and is reported with the environment
 *            and the step. The other environments, and the model, are as they were.
 *   Numbers  are double. Sizes: O = obs_size, D = n_actions, A = all components' choices together.
 */
#ifndef TRPO_ENV_H
#define TRPO_ENV_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "trpo_random.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TRPO_ENV_VERSION 1
#define TRPO_ENV_SYMBOL "trpo_environment"

/* ---- randomness ------------------------------------------------------------------------------ */

/* A stream of random numbers of one environment's own. Its place is saved and restored with the
 * state. Any language can draw from it: draw number `count` is Philox4x32-10 of the key `seed` and
 * the counter (low word of count, env, high word of count, TRPO_ENV_STREAM). */
typedef struct trpo_env_random {
    uint64_t seed;
    uint64_t count; /* draws until now */
    uint32_t env;   /* number of the environment */
    uint32_t unused;
} trpo_env_random;

enum { TRPO_ENV_STREAM = 6 };

/* The next draw: four random words. */
static inline void trpo_env_draw(trpo_env_random *random, uint32_t x[4])
{
    x[0] = (uint32_t)random->count;
    x[1] = random->env;
    x[2] = (uint32_t)(random->count >> 32);
    x[3] = TRPO_ENV_STREAM;
    trpo_philox(x, (uint32_t)random->seed, (uint32_t)(random->seed >> 32));
    random->count++;
}

/* 53 of two words' bits. */
static inline uint64_t trpo_env_bits(uint32_t high, uint32_t low)
{
    return ((uint64_t)high << 32 | low) >> 11;
}

/* In [low, high), from one draw. */
static inline double trpo_env_uniform(trpo_env_random *random, double low, double high)
{
    uint32_t x[4];
    trpo_env_draw(random, x);
    return low + (high - low) * ((double)trpo_env_bits(x[0], x[1]) / 9007199254740992.0);
}

/* Normally distributed, from one draw: sqrt(-2 ln u) cos(2 pi v), u in (0, 1] from its first two
 * words, v in [0, 1) from the others (Box and Muller 1958). */
static inline double trpo_env_normal(trpo_env_random *random, double mean, double std)
{
    uint32_t x[4];
    trpo_env_draw(random, x);
    const double u = ((double)trpo_env_bits(x[0], x[1]) + 1.0) / 9007199254740992.0;
    const double v = (double)trpo_env_bits(x[2], x[3]) / 9007199254740992.0;
    return mean + std * (sqrt(-2.0 * log(u)) * cos(2.0 * 3.141592653589793 * v));
}

/* ---- the struct ------------------------------------------------------------------------------ */

/* A number that the user may set. Flags are 0 or 1. */
typedef struct trpo_env_option {
    const char *name;
    int of_reset;          /* 1: it matters to reset alone, and may differ from one to another */
} trpo_env_option;

typedef struct trpo_env {
    int version;           /* TRPO_ENV_VERSION                                                */
    int struct_size;       /* sizeof(trpo_env), or as it was before `mask` was added          */
    const char *name;      /* "CartPole-v1"                                                   */
    size_t state_bytes;    /* >= 1                                                            */

    int obs_size;          /* O >= 1                                                          */
    const double *obs_low; /* (O) bounds, infinite where there is none; NULL: none anywhere   */
    const double *obs_high;

    int n_actions;         /* D >= 1, action components                                       */
    const int *choices;    /* (D) how many choices 0, 1, ... each component has; NULL: the    */
                           /*     components are real numbers                                 */
    const double *act_low; /* (D) bounds of real actions, which are clipped to them; NULL:    */
    const double *act_high;/*     none                                                        */

    int max_episode_steps; /* the step limit, at which an episode is truncated; 0: none       */
    double reward_threshold; /* the mean return that counts as solved; NaN: none              */
    const void *config;    /* the environment's own, passed to every call; may be NULL        */

    int n_options;         /* 0: none. Else config is (n_options) doubles, the defaults of    */
    const trpo_env_option *options; /* these options, which a host may set in a copy of both  */

    /* Begins an episode: state and obs (O) out. */
    int (*reset)(const void *config, void *state, double *obs, trpo_env_random *random);

    /* One step by act (D): state in and out; obs (O), *rew and *term (1: the task ended) out. The
     * action is one of the choices, or within the bounds. */
    int (*step)(const void *config, void *state, const double *act, double *obs, double *rew,
                uint8_t *term, trpo_env_random *random);

    /* obs (O) of a state: for states that are set from outside. NULL: states cannot be set. */
    int (*observe)(const void *config, const void *state, double *obs);

    /* Lets go of what a state holds beside its bytes. NULL: nothing. */
    void (*close)(const void *config, void *state);

    /* Which choices a state leaves open: mask (A), the components' choices in a row, 1 those that
     * are open; it is 0 when this is called. One of each component must be. Called after reset,
     * step and observe, where an episode goes on. The policy takes no other choice; actions that
     * come from elsewhere are not checked against it. NULL: all are open, always. */
    int (*mask)(const void *config, const void *state, uint8_t *mask);
} trpo_env;

typedef const trpo_env *(*trpo_environment_fn)(void);

/* ---- environments side by side --------------------------------------------------------------- */

/* E environments of one kind, in the caller's memory. */
typedef struct trpo_envs trpo_envs;

typedef enum trpo_env_status {
    TRPO_ENV_OK = 0,
    TRPO_ENV_ERR_VERSION = -1,  /* the struct's version or size is not this header's           */
    TRPO_ENV_ERR_SPEC = -2,     /* a size, bound or function is missing or impossible           */
    TRPO_ENV_ERR_MEMORY = -3,   /* memory NULL or too small                                     */
    TRPO_ENV_ERR_FAILED = -4,   /* the environment returned an error: trpo_env_failure.code     */
    TRPO_ENV_ERR_OBS = -5,      /* an observation is not finite                                 */
    TRPO_ENV_ERR_REW = -6,      /* a reward is not finite                                       */
    TRPO_ENV_ERR_ACT = -7,      /* an action is not finite, or not one of the choices          */
    TRPO_ENV_ERR_ORDER = -8,    /* no episode is under way: reset first                         */
    TRPO_ENV_ERR_SAVED = -9,    /* the saved bytes are damaged, or of other environments        */
    TRPO_ENV_ERR_NONE = -10,    /* the environment cannot do that                               */
    TRPO_ENV_ERR_MASK = -11     /* a mask leaves a component no choice, or holds other than 0   */
                                /*     and 1; or `mask` returned an error: failure.code         */
} trpo_env_status;

/* Where a call failed. */
typedef struct trpo_env_failure {
    int env;               /* number of the environment                                       */
    int64_t step;          /* of its episode, from 1; 0 is the reset                          */
    int code;              /* what the environment returned, else 0                           */
    int component;         /* of the observation, action or mask, else 0                      */
    int status;            /* what the call returned                                          */
} trpo_env_failure;

/* When the next episode begins where one has ended (term or trunc). */
typedef enum trpo_env_autoreset {
    TRPO_ENV_DISABLED = 0,  /* by trpo_envs_reset                                              */
    TRPO_ENV_SAME_STEP = 1, /* at the end of that step                                         */
    TRPO_ENV_NEXT_STEP = 2  /* instead of the next step, whose reward is then 0                */
} trpo_env_autoreset;

/* What stands for each environment after reset or step; (E x O) or (E). */
typedef struct trpo_env_outcome {
    double *obs;           /* what the agent sees next: of a new episode where one has begun  */
    double *final_obs;     /* after the step, before any reset; as obs where none has begun   */
    double *rew;
    uint8_t *term, *trunc;
    double *episode_return;  /* of the episode that ended here, else of the one under way     */
    int64_t *episode_length; /* likewise                                                      */
    uint8_t *mask;         /* (E x A) which choices are open next, as trpo_act takes it: all  */
                           /*     where an episode has ended; NULL: the environment has none  */
} trpo_env_outcome;

/* What is wrong with a struct, as the field's name; NULL if nothing is. Of a struct of another
 * version or size nothing more is read. */
const char *trpo_env_bad_field(const trpo_env *env);

/* Bytes that n_envs environments need; 0 if the struct is bad or n_envs < 1. */
size_t trpo_envs_bytes(const trpo_env *env, int n_envs);

/* Places environments in mem (any alignment). The struct must outlive them.
 * TRPO_ENV_ERR_VERSION, _SPEC, _MEMORY. */
int trpo_envs_init(trpo_envs **envs, const trpo_env *env, int n_envs, uint64_t seed, void *mem,
                   size_t bytes);

/* Lets go of what states hold beside their bytes; the environments are then as after init. */
void trpo_envs_close(trpo_envs *envs);

/* The streams begin anew: environment e's is number e of this seed, whatever E is. */
void trpo_envs_seed(trpo_envs *envs, uint64_t seed);

/* Environment e's stream, to be read or set. */
trpo_env_random *trpo_envs_random(trpo_envs *envs, int e);

/* New episodes where mask (E) is set; NULL: everywhere. Rewards and flags are 0 there.
 * failure may be NULL. TRPO_ENV_ERR_FAILED, _OBS, _MASK: that environment has no episode; those
 * after it are as they were. */
int trpo_envs_reset(trpo_envs *envs, const uint8_t *mask, trpo_env_failure *failure);

/* A step of environments [first, first + n) by their rows of act (E x D), under autoreset (a
 * trpo_env_autoreset). Distinct ranges may be stepped by distinct threads at once.
 * failure may be NULL. TRPO_ENV_ERR_ACT, _ORDER: that environment is as it was.
 * TRPO_ENV_ERR_FAILED, _OBS, _REW, _MASK: it has no episode until it is reset, and its row of the
 * outcome means nothing. Either way those before it in the range have stepped, those after it have
 * not. */
int trpo_envs_step(trpo_envs *envs, const double *act, int autoreset, int first, int n,
                   trpo_env_failure *failure);

int trpo_envs_count(const trpo_envs *envs);
const trpo_env *trpo_envs_spec(const trpo_envs *envs);
trpo_env_outcome trpo_envs_outcome(trpo_envs *envs);

/* All that there is to the environments, as bytes: states, streams, episodes under way. 0 bytes and
 * TRPO_ENV_ERR_NONE if the environment has `close`, and so cannot be copied. Read by machines of
 * the same byte order, for environments of the same name, sizes and number. TRPO_ENV_ERR_MEMORY,
 * _SAVED: nothing has changed. _SAVED, whatever the checksum says, also for what cannot have been
 * saved: an episode's length that is negative or above 2^52, flags that are not 0 or 1, numbers of
 * an episode under way that are not finite, a mask other than the environment's of that state.
 * The states are the simulator's, and believed: load what you have saved. */
size_t trpo_envs_save_bytes(const trpo_envs *envs);
int trpo_envs_save(const trpo_envs *envs, void *buffer, size_t bytes);
int trpo_envs_load(trpo_envs *envs, const void *buffer, size_t bytes);

/* Environment e's state, to be read, or set (then call trpo_envs_observe). */
void *trpo_envs_state(trpo_envs *envs, int e);

/* Begins an episode of environment e at its state as it stands. failure may be NULL.
 * TRPO_ENV_ERR_FAILED, _OBS, _MASK, and _NONE if the environment has no `observe`. */
int trpo_envs_observe(trpo_envs *envs, int e, trpo_env_failure *failure);

/* A sentence for each status; "unknown status" for any other number. */
const char *trpo_env_status_text(int status);

/* Built-in environments by name ("CartPole-v1"), and by number 0, 1, ...; NULL if there is none. */
const trpo_env *trpo_env_named(const char *name);
const trpo_env *trpo_env_builtin(int i);

#ifdef __cplusplus
}
#endif
#endif
