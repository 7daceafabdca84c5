/* fasttrpo: Trust Region Policy Optimization in C99, for programs that train inside themselves.
 *
 * The whole of it in five calls:
 *
 *     trpo_settings s;  trpo_default_settings(&s);  s.obs_size = 4;  ...
 *     size_t bytes = trpo_bytes(&s, NULL);  trpo_init(&agent, &s, NULL, malloc(bytes), bytes);
 *     for each step:   trpo_act(agent, act, NULL, NULL, obs, NULL);   (your simulator steps)
 *                      trpo_push(agent, rew, term, trunc, next_obs, NULL);
 *     every n_steps:   trpo_update(agent, &info);
 *
 * Where the simulator is behind trpo_env.h, trpo_collect takes all the steps.
 *
 * Conventions
 *   Memory     belongs to the caller. Nothing is allocated, freed, printed or exited, and there is
 *              no global state: a thousand agents can live side by side. Distinct agents may be
 *              used from distinct threads; one agent from one thread at a time.
 *   Numbers    `trpo_real` is float, or double when compiled with -DTRPO_DOUBLE (the library and
 *              all its users alike). Parameters, rewards and statistics are double always.
 *   Arrays     are dense and row-major. Sizes: E environments, T steps, N rows (samples),
 *              O = obs_size, F = inputs of the networks (features of observations, or O),
 *              A = network outputs (sum of parts), D = action components (n_parts),
 *              P policy parameters, Pv critic parameters.
 *   Masks      say which choices a row leaves open: mask (rows x A), 0: forbidden, else allowed, in
 *              the order of the network's outputs; NULL: all are. Categorical only. A forbidden
 *              choice has probability 0, in the draw and in all that is learnt from the row.
 *   Statuses   0 is success, > 0 an outcome worth telling, < 0 an error. After an error nothing
 *              has changed. After an outcome > 0 of trpo_update the policy is bitwise what it was.
 *   NULL       is legal only where said. Arguments of one call must not overlap.
 *
 * The mathematics of each stage stands in csrc/core/<stage>.c and csrc/kernels/<kernel>.c; the map
 * is csrc/README.md. Source of the method: Schulman et al. 2015, "Trust Region Policy
 * Optimization"; advantages: Schulman et al. 2016; preconditioner: Martens and Grosse 2015.
 */
#ifndef TRPO_H
#define TRPO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TRPO_VERSION "0.1.0"

#ifdef TRPO_DOUBLE
typedef double trpo_real;
#else
typedef float trpo_real;
#endif

typedef enum trpo_status {
    TRPO_OK = 0,
    TRPO_REJECTED = 1,      /* no step along the line search was acceptable                   */
    TRPO_ZERO_GRADIENT = 2, /* the surrogate is flat here, e.g. constant advantages           */
    TRPO_NO_CURVATURE = 3,  /* x'Hx was not positive and finite: there is no step to scale    */
    TRPO_ERR_SETTING = -1,  /* a setting is out of range: trpo_bad_setting() names it         */
    TRPO_ERR_MEMORY = -2,   /* memory or buffer NULL or too small                             */
    TRPO_ERR_OBS = -3,      /* an observation is not finite: trpo_culprit() says which        */
    TRPO_ERR_NEXT_OBS = -4, /* a next observation is not finite                               */
    TRPO_ERR_ACT = -5,      /* an action is not finite, or not one of the choices             */
    TRPO_ERR_REW = -6,      /* a reward is not finite                                         */
    TRPO_ERR_ORDER = -7,    /* calls out of order: act, push, act, push, ..., update          */
    TRPO_ERR_FULL = -8,     /* the rollout holds n_steps rows already: update or discard it   */
    TRPO_ERR_EMPTY = -9,    /* no rows to learn from                                          */
    TRPO_ERR_MODEL = -10,   /* saved bytes are damaged or of another model; impossible values */
    TRPO_ERR_ENVIRONMENT = -11, /* an environment failed: trpo_env_failure says how           */
    TRPO_ERR_SPACES = -12,  /* the environments are not of the agent's sizes or number        */
    TRPO_ERR_MASK = -13     /* a mask forbids every choice of a component, or the action      */
                            /*     given; or the distribution has no choices to forbid        */
} trpo_status;

typedef enum trpo_distribution {
    TRPO_GAUSSIAN = 0,    /* real numbers; a standard deviation for each, the same in all states */
    TRPO_CATEGORICAL = 1, /* one of so many choices for each component                        */
    TRPO_BERNOULLI = 2    /* 0 or 1 for each component                                        */
} trpo_distribution;
#define TRPO_DISTRIBUTION_WORDS "gaussian", "categorical", "bernoulli" /* trpo_settings.h */
typedef enum trpo_activation { TRPO_IDENTITY = 0, TRPO_TANH = 1, TRPO_RELU = 2 } trpo_activation;
typedef enum trpo_features {
    TRPO_NO_FEATURES = 0,  /* the networks see observations themselves                        */
    TRPO_FOURIER = 1,      /* sin(P s / nu + phase), P standard normal, phase in [-pi, pi)    */
    TRPO_RBF = 2,          /* exp(-|s - c|^2 / (2 nu^2)), centres c standard normal           */
    TRPO_POLYNOMIAL = 3    /* monomials of degree 1 to feature_degree                         */
} trpo_features;
typedef enum trpo_preconditioner { TRPO_NONE = 0, TRPO_KFAC = 1 } trpo_preconditioner;
typedef enum trpo_critic {
    TRPO_GAUSS_NEWTON = 0, /* steps by preconditioned CG on all rows                          */
    TRPO_ADAM = 1,         /* epochs of minibatches                                           */
    TRPO_RIDGE = 2,        /* ridge regression on the networks' inputs and their squares      */
    TRPO_KFAC_STEPS = 3,   /* epochs of minibatches, a K-FAC natural gradient step each       */
    TRPO_N_CRITICS
} trpo_critic;
#define TRPO_CRITIC_WORDS "gauss_newton", "adam", "ridge", "kfac" /* trpo_settings.h */

/* Which trials of the line search are taken. What is not finite never is. */
typedef enum trpo_acceptance {
    TRPO_ACCEPT_IMPROVEMENT = 0, /* KL <= kl_slack * target_kl, and the surrogate has grown   */
    TRPO_ACCEPT_KL = 1,          /* KL <= kl_slack * target_kl                                */
    TRPO_ACCEPT_ALWAYS = 2       /* the full step, without a search: natural policy gradient  */
} trpo_acceptance;

/* Which KL the line search measures. The Fisher matrix is the Hessian of both. */
typedef enum trpo_kl_direction {
    TRPO_FORWARD = 0, /* KL(old || new) */
    TRPO_REVERSE = 1  /* KL(new || old) */
} trpo_kl_direction;

/* Why an update left the policy as it was: what the last trial of the line search failed by. */
typedef enum trpo_rejection {
    TRPO_NOT_REJECTED = 0,
    TRPO_REJECTED_KL = 1,            /* it lies outside the trust region                      */
    TRPO_REJECTED_IMPROVEMENT = 2,   /* inside, but the surrogate has not grown               */
    TRPO_REJECTED_NOT_FINITE = 3,    /* its parameters, KL or surrogate are no finite numbers */
    TRPO_REJECTED_ZERO_GRADIENT = 4, /* no trial: TRPO_ZERO_GRADIENT                          */
    TRPO_REJECTED_NO_CURVATURE = 5   /* no trial: TRPO_NO_CURVATURE                           */
} trpo_rejection;

/* The parts of an update that are timed, in this order. */
typedef enum trpo_stage {
    TRPO_STAGE_ADVANTAGES,  /* and explained_variance                                         */
    TRPO_STAGE_GRADIENT,
    TRPO_STAGE_SOLVE,       /* preconditioner and conjugate gradient                          */
    TRPO_STAGE_LINE_SEARCH,
    TRPO_STAGE_CRITIC,      /* and the running statistics                                     */
    TRPO_N_STAGES
} trpo_stage;

/* Upper limits: of any size or count, and of the number of features, whose square K-FAC stores. */
enum { TRPO_LARGEST_SIZE = 1 << 24, TRPO_MOST_FEATURES = 10000 };

/* An agent's settings. The fields are the rows of trpo_settings.h, which gives each one's default,
 * range and meaning (rendered: docs/settings.md), and two about the machine. Arrays are copied. */
typedef struct trpo_settings {
#define TRPO_INT_SETTING(name, default_, range, meaning) int name;
#define TRPO_REAL_SETTING(name, default_, range, meaning) double name;
#define TRPO_FLAG_SETTING(name, default_, meaning) int name;
#define TRPO_WORD_SETTING(name, default_, words, meaning) int name;
#define TRPO_SIZES_SETTING(name, least, meaning) int n_##name; const int *name;
#define TRPO_SEED_SETTING(name, meaning) uint64_t name;
#include "trpo_settings.h"
#undef TRPO_INT_SETTING
#undef TRPO_REAL_SETTING
#undef TRPO_FLAG_SETTING
#undef TRPO_WORD_SETTING
#undef TRPO_SIZES_SETTING
#undef TRPO_SEED_SETTING
    const char *instruction_set; /* "baseline", "avx2", "avx512", "neon"; NULL: the best here */
    double (*clock)(void); /* seconds since any moment, for trpo_info's; NULL: those are 0    */
} trpo_settings;

/* How the core asks the host to run tasks. `run` must call task(arg, i, worker) exactly once for
 * each i in [0, n_tasks), in any order, on any threads, with worker in [0, n_workers) unique among
 * the calls under way, and return when all have ended. Results do not depend on the order. */
typedef struct trpo_executor {
    void *ctx;
    int n_workers; /* >= 1 */
    void (*run)(void *ctx, int n_tasks, void (*task)(void *arg, int index, int worker), void *arg);
} trpo_executor;

/* What one update did. Fields that do not apply are 0 (or NaN where said). */
typedef struct trpo_info {
    int n_samples;              /* rows learnt from                                           */
    int cg_steps;               /* products used by the policy's conjugate gradient           */
    int line_search_steps;      /* trial steps evaluated                                      */
    int rejected;               /* trpo_rejection; TRPO_NOT_REJECTED where a step was taken   */
    double surr_gain;           /* E[ratio A] + ent_coef entropy, new minus old               */
    double surr_gain_predicted; /* beta g'x, first order                                      */
    double kl;                  /* mean KL(old || new), or as kl_direction says, nats         */
    double kl_predicted;        /* beta^2/2 x'Fx, second order, undamped                      */
    double surr_gain_tried;     /* surr_gain of the last trial, whether it was taken or not   */
    double kl_tried;            /* its KL                                                     */
    double target_kl;           /* the trust region of this update                            */
    double cg_damping;          /* the damping of this update: adaptive_damping's, if it is on */
    double entropy;             /* mean, after the step, nats                                 */
    double std;                 /* mean over components of exp(log_std), after; NaN if none   */
    double grad_norm;           /* |g|                                                        */
    double step_norm;           /* |theta_new - theta_old|                                    */
    double curvature;           /* x'Hx, damped                                               */
    double cg_residual;         /* last residual over the first, preconditioned norm          */
    double explained_variance;  /* of the returns, before the fit; NaN if they are constant   */
    double value_loss_before;   /* mean (V - ret)^2 in scaled reward units                    */
    double value_loss;          /* the same after the fit                                     */
    double seconds[TRPO_N_STAGES]; /* of each trpo_stage, by the settings' clock              */
} trpo_info;

/* Where bad input was found by the call that failed last. */
typedef struct trpo_culprit {
    int step;      /* row of the rollout, or -1 */
    int env;       /* environment, or row of the batch */
    int component; /* of the observation or action */
} trpo_culprit;

/* An episode that ended in a rollout of trpo_collect. */
typedef struct trpo_episode {
    int row, env;    /* where */
    int64_t length;  /* its steps, those in earlier rollouts included */
    double total;    /* the sum of its raw rewards, likewise */
} trpo_episode;

struct trpo_envs;        /* environments in C: trpo_env.h */
struct trpo_env_failure;

typedef struct trpo_agent trpo_agent; /* lives inside the caller's memory */

/* ---- birth ----------------------------------------------------------------------------------- */

/* The defaults of trpo_settings.h; obs_size and parts are left to be set. */
void trpo_default_settings(trpo_settings *settings);

/* The name of the first setting that is out of range, or NULL if all is well. */
const char *trpo_bad_setting(const trpo_settings *settings);

typedef enum trpo_setting_type {
    TRPO_INT,
    TRPO_REAL,  /* double; infinity is out of range                                           */
    TRPO_FLAG,  /* int; 0 is off, all else on                                                 */
    TRPO_WORD,  /* int; the enumerator that `words` names                                     */
    TRPO_SIZES, /* const int *; how many there are is at `count_offset`                       */
    TRPO_SEED   /* uint64_t                                                                   */
} trpo_setting_type;

/* A row of trpo_settings.h. */
typedef struct trpo_setting {
    const char *name;
    const char *meaning;
    const char *const *words; /* TRPO_WORD: the names of 0, 1, ..., then NULL; NULL otherwise */
    trpo_setting_type type;
    size_t offset;            /* of the field in trpo_settings                                */
    size_t count_offset;      /* TRPO_SIZES: of the int n_...                                 */
    double initial;           /* the default, as a number                                     */
    double low, high;         /* legal are low <= x <= high; TRPO_SIZES: of each size         */
    int low_open, high_open;  /* 1: that bound itself is not legal                            */
} trpo_setting;

/* Setting i, counting from 0; NULL after the last. */
const trpo_setting *trpo_setting_at(int i);

/* The setting of that name, or NULL. */
const trpo_setting *trpo_find_setting(const char *name);

/* A setting by name, as a number: whole unless TRPO_REAL, 0 or 1 for a flag, at most 2^53 for a
 * seed. TRPO_ERR_SETTING, and nothing has changed: no such name, TRPO_SIZES, or a value out of the
 * setting's own range. Rules that involve other settings are trpo_bad_setting's. */
int trpo_set_setting(trpo_settings *settings, const char *name, double value);
int trpo_get_setting(const trpo_settings *settings, const char *name, double *value);

/* The same for a TRPO_WORD by its word: trpo_set_word(&s, "critic", "adam"). */
int trpo_set_word(trpo_settings *settings, const char *name, const char *word);

/* A sentence for each status; "unknown status" for any other number. */
const char *trpo_status_text(int status);

/* Bytes an agent needs, for the executor it will be given (NULL: one worker). 0 if a setting is
 * out of range, or if they are more than any machine has. The memory must not move, and may be
 * freed at any time: there is no destructor. */
size_t trpo_bytes(const trpo_settings *settings, const trpo_executor *executor);

/* How many workers of an executor an agent can keep busy at once: one per 64 rows of a full rollout
 * up to 16, one per 256 rows from there on, at most 32; 0 if a setting is out of range. More of
 * them are memory without use. */
int trpo_useful_workers(const trpo_settings *settings);

/* Places an agent in `mem` (any alignment) with freshly drawn parameters: orthogonal weights with
 * gain sqrt(2), the policy's last layer 0.01, the critic's 1 (0 for ridge), biases 0.
 * executor NULL runs tasks one after the other on the calling thread; trpo_pool.h has threads.
 * TRPO_ERR_SETTING, TRPO_ERR_MEMORY. */
int trpo_init(trpo_agent **agent, const trpo_settings *settings, const trpo_executor *executor,
              void *mem, size_t bytes);

/* ---- the rollout ----------------------------------------------------------------------------- */

/* Draws an action per environment from the policy and opens a row of the rollout.
 *   act (E x D) out; logp (E) out, NULL if not wanted; val (E) out, NULL; obs (E x O);
 *   mask (E x A), NULL: all choices are open
 * Categorical actions are the choice's number, as a trpo_real. Gaussian actions are unclipped.
 * TRPO_ERR_OBS, TRPO_ERR_MASK, TRPO_ERR_ORDER, TRPO_ERR_FULL. */
int trpo_act(trpo_agent *agent, trpo_real *act, trpo_real *logp, trpo_real *val,
             const trpo_real *obs, const uint8_t *mask);

/* Opens a row with actions the caller has taken already (drawn from this policy).
 *   logp (E) out, NULL; val (E) out, NULL; obs (E x O); act (E x D); mask (E x A) that they were
 *   drawn under, NULL: all choices were open
 * TRPO_ERR_OBS, TRPO_ERR_ACT, TRPO_ERR_MASK, TRPO_ERR_ORDER, TRPO_ERR_FULL. */
int trpo_record(trpo_agent *agent, trpo_real *logp, trpo_real *val, const trpo_real *obs,
                const trpo_real *act, const uint8_t *mask);

/* Closes the row: what the environments answered.
 *   rew (E); term (E) the task ended; trunc (E) it was cut short; next_obs (E x O) the observation
 *   after the step and before any reset; skip (E), NULL if none: rows that were no step at all
 *   (Gymnasium's next-step autoreset), whose other entries are not looked at; an episode that was
 *   open before such a row counts as cut short there.
 * TRPO_ERR_REW, TRPO_ERR_NEXT_OBS, TRPO_ERR_ORDER; the row stays open. */
int trpo_push(trpo_agent *agent, const double *rew, const uint8_t *term, const uint8_t *trunc,
              const trpo_real *next_obs, const uint8_t *skip);

/* Drops the rollout in progress (after an environment failed, say), its random draws included: the
 * agent is as it was before the rollout began. Also the way on if all rows were skipped, which
 * trpo_update refuses as empty. */
void trpo_discard(trpo_agent *agent);

/* The environments begin anew: drops the rollout in progress, and what normalize_rewards has summed
 * up over unfinished episodes. */
void trpo_restart(trpo_agent *agent);

/* Rows closed so far, 0..n_steps. */
int trpo_recorded(const trpo_agent *agent);

/* ---- the rollout, in environments in C (trpo_env.h) ------------------------------------------ */

/* Records n_rows more rows, or as many as there is room for: bit for bit those of
 *
 *     trpo_act(agent, act, NULL, NULL, obs, mask)     obs: what the environments show, as trpo_real
 *     trpo_envs_step(envs, act, TRPO_ENV_SAME_STEP, ...)    act clipped to the bounds
 *     trpo_push(agent, rew, term, trunc, final_obs, NULL)
 *
 * over and over, mask being their outcome's, without leaving C: each worker takes a slice of the
 * environments through all rows, then values and log-probabilities are computed of all rows at
 * once. An episode that is cut is bootstrapped from V of its last observation, and the next begins
 * in the next row. In how many calls a rollout is collected, and by how many workers, cannot be
 * seen in the bits: to look at the clock or for signals, collect a few rows at a time.
 *   single   1: observations and actions pass through float on their way, as through arrays of
 *            float32; says nothing new where trpo_real is float, but for the actions' bounds
 *   failure  filled in with TRPO_ERR_ENVIRONMENT; may be NULL
 * TRPO_ERR_ORDER (a row is open), TRPO_ERR_FULL, TRPO_ERR_SPACES, TRPO_ERR_MASK (they have masks,
 * the distribution no choices to forbid): nothing has changed.
 * TRPO_ERR_ENVIRONMENT: an environment failed in its turn, or has no episode (trpo_envs_reset).
 * TRPO_ERR_OBS, TRPO_ERR_NEXT_OBS: an observation is too large for trpo_real. With each of these
 * three the rollout in progress is dropped, as by trpo_discard, and trpo_get_culprit has row,
 * environment and component of the first that failed: of the lowest row, and there of the lowest
 * environment. It stands where it failed; the others have made n_rows steps. */
int trpo_collect(trpo_agent *agent, struct trpo_envs *envs, int n_rows, int single,
                 struct trpo_env_failure *failure);

/* The episodes that ended in rows [first_row, trpo_recorded) of what trpo_collect recorded, in
 * order of row and environment: how many. At most `room` of them are written to episodes. */
int trpo_episodes(const trpo_agent *agent, trpo_episode *episodes, int first_row, int room);

/* ---- learning -------------------------------------------------------------------------------- */

/* One iteration on the recorded rows: advantages, gradient, conjugate gradient, step size, line
 * search, critic, normalisers; then the rollout is empty. info may be NULL.
 * After TRPO_OK:  KL(old || new) <= target_kl and the surrogate has grown, unless kl_slack,
 * kl_direction and acceptance ask for less.
 * TRPO_REJECTED, TRPO_ZERO_GRADIENT, TRPO_NO_CURVATURE: the policy is bitwise unchanged; the
 * critic has learnt. TRPO_ERR_EMPTY, TRPO_ERR_ORDER (a row is open): nothing has changed.
 * Cost: about (3 + cg_steps * 4) * N * P multiply-adds for the policy. */
int trpo_update(trpo_agent *agent, trpo_info *info);

/* A trpo_rejection in a word or two; "" for TRPO_NOT_REJECTED, "unknown" for any other number. */
const char *trpo_rejection_text(int rejection);

/* Two settings that may change as an agent learns, at any time: from the next update on it has a
 * trust region of this size, and Adam steps of this length. They are settings still, and as such no
 * part of what is saved. TRPO_ERR_SETTING unless positive and finite. */
int trpo_set_target_kl(trpo_agent *agent, double target_kl);
int trpo_set_learning_rate(trpo_agent *agent, double learning_rate);

/* ---- using the policy ------------------------------------------------------------------------ */

/* Actions for N observations, recording nothing; deterministic: the mode. Draws come from a
 * stream of their own, so that looking does not change training.
 *   act (N x D) out; obs (N x O); mask (N x A), NULL: all choices are open
 * TRPO_ERR_OBS, TRPO_ERR_MASK. */
int trpo_predict(trpo_agent *agent, trpo_real *act, const trpo_real *obs, const uint8_t *mask,
                 int deterministic, int N);

/* V(obs) in scaled reward units.  val (N) out; obs (N x O).  TRPO_ERR_OBS. */
int trpo_value(trpo_agent *agent, trpo_real *val, const trpo_real *obs, int N);

/* Where the call that last answered TRPO_ERR_OBS, _NEXT_OBS, _ACT, _MASK, _REW or _ENVIRONMENT
 * found what it refused. */
void trpo_get_culprit(const trpo_agent *agent, trpo_culprit *culprit);

/* ---- keeping it ------------------------------------------------------------------------------ */

/* Everything needed to act and to go on training, bit for bit: parameters, critic, normalisers,
 * random streams, what features were drawn. The rollout in progress is not saved. The bytes are the
 * same for both precisions, and read only by machines of the same byte order. */
size_t trpo_save_bytes(const trpo_agent *agent);
/* TRPO_ERR_MEMORY; TRPO_ERR_MODEL, nothing written: it diverged, and trpo_load would refuse it. */
int trpo_save(const trpo_agent *agent, void *buffer, size_t bytes);
/* Drops the rollout in progress. TRPO_ERR_MODEL also for values that cannot have been saved: not
 * finite, counts not whole or not in 0..2^52, squares below 0, a damping_scale out of range. */
int trpo_load(trpo_agent *agent, const void *buffer, size_t bytes);

/* The same, field by field: i counts from 0 until NULL is returned; writing through the pointer
 * is what trpo_load does. Follow a write with trpo_refresh, which readies the agent for it, moves a
 * log_std beyond its bounds to them, and drops the rollout in progress. TRPO_ERR_MODEL for values
 * that trpo_load would refuse: they stay, and are harmless, but results are meaningless. */
double *trpo_state_field(trpo_agent *agent, int i, const char **name, size_t *count);
int trpo_refresh(trpo_agent *agent);

/* The kernels that an agent uses: "baseline", "avx2", "avx512" or "neon". */
const char *trpo_instruction_set(const trpo_agent *agent);

#ifdef __cplusplus
}
#endif
#endif
