/* fasttrpo: Trust Region Policy Optimization in C99, for programs that train a policy in-process.
 *
 * The calls of a training loop:
 *
 *     trpo_settings s;  trpo_default_settings(&s);  s.obs_size = 4;  ...
 *     size_t bytes = trpo_bytes(&s, NULL);  trpo_init(&agent, &s, NULL, malloc(bytes), bytes);
 *     for each step:   trpo_act(agent, act, NULL, NULL, obs, NULL);   (your simulator steps)
 *                      trpo_push(agent, rew, term, trunc, next_obs, NULL);
 *     every n_steps:   trpo_update(agent, &info);
 *
 * If the simulator implements trpo_env.h, trpo_collect takes all the steps.
 *
 * Conventions
 *   Memory     belongs to the caller. The library never allocates, frees, prints or exits, and has
 *              no global state, so any number of agents can coexist. Different agents may be used
 *              from different threads at once; one agent from one thread at a time.
 *   Numbers    `trpo_real` is float, or double when the library and its users are compiled with
 *              -DTRPO_DOUBLE. Parameters, rewards and statistics are always double.
 *   Arrays     are dense and row-major. Sizes: E environments, T steps, N rows (samples),
 *              O = obs_size, F = inputs of the networks (features of observations, or O),
 *              A = network outputs (sum of parts), D = action components (n_parts),
 *              P policy parameters, Pv critic parameters.
 *   Masks      mark the choices allowed in a row: mask (rows x A), 0 forbids, nonzero allows, in
 *              the order of the network's outputs; NULL allows all. Categorical only. A forbidden
 *              choice has probability 0, both when sampling and when learning from the row.
 *   Statuses   0 is success, > 0 a noteworthy outcome, < 0 an error. Errors change nothing unless
 *              documented. When trpo_update returns > 0, the policy is bitwise unchanged.
 *   NULL       is legal only where documented. Arguments of one call must not overlap.
 *
 * Each stage's mathematics is in csrc/core/<stage>.c and csrc/kernels/<kernel>.c; csrc/README.md
 * is the map. Method: Schulman et al. 2015, "Trust Region Policy Optimization"; advantages:
 * Schulman et al. 2016; preconditioner: Martens and Grosse 2015. */
#ifndef TRPO_H
#define TRPO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TRPO_VERSION "0.1.0"
#define TRPO_VERSION_NUMBER 1000 /* 1000000 major + 1000 minor + patch */
#ifdef TRPO_DOUBLE
typedef double trpo_real;
#else
typedef float trpo_real;
#endif

typedef enum trpo_status {
    TRPO_OK = 0,
    TRPO_REJECTED = 1,      /* the line search accepted no step                               */
    TRPO_ZERO_GRADIENT = 2, /* the surrogate is flat, e.g. because advantages are constant    */
    TRPO_NO_CURVATURE = 3,  /* x'Hx is not positive and finite, so no step length is defined  */
    TRPO_ERR_SETTING = -1,  /* a setting is out of range: trpo_bad_setting() names it         */
    TRPO_ERR_MEMORY = -2,   /* memory or buffer is NULL or too small                          */
    TRPO_ERR_OBS = -3,      /* an observation is not finite: trpo_get_culprit() locates it    */
    TRPO_ERR_NEXT_OBS = -4, /* a next observation is not finite                               */
    TRPO_ERR_ACT = -5,      /* an action is not finite, or not a valid choice                 */
    TRPO_ERR_REW = -6,      /* a reward is not finite                                         */
    TRPO_ERR_ORDER = -7,    /* calls out of order: act, push, act, push, ..., update          */
    TRPO_ERR_FULL = -8,     /* the rollout already holds n_steps rows: update or discard it   */
    TRPO_ERR_EMPTY = -9,    /* the rollout has no rows to learn from                          */
    TRPO_ERR_MODEL = -10,   /* saved bytes are truncated, damaged, or hold impossible values  */
    TRPO_ERR_ENVIRONMENT = -11, /* an environment failed: see trpo_env_failure                */
    TRPO_ERR_SPACES = -12,  /* the environments do not match the agent's sizes or number      */
    TRPO_ERR_BUILD = -14,   /* the compiler rounds a b + c once, so results would differ      */
    TRPO_ERR_MASK = -13,    /* a mask forbids every choice of a component, or the given       */
                            /*     action; or the distribution does not support masks         */
    TRPO_ERR_FOREIGN = -15, /* bytes that are not a saved model                               */
    TRPO_ERR_NEWER = -16,   /* saved by a newer version, in a way that this one cannot read   */
    TRPO_ERR_OTHER = -17,   /* saved by a model with other spaces, networks or features:      */
                            /*     trpo_bad_saved() names the setting                         */
    TRPO_ERR_SECTION = -18  /* the saved bytes lack what the call needs (trpo_files.h)        */
} trpo_status;

typedef enum trpo_distribution {
    TRPO_GAUSSIAN = 0,    /* real numbers, each with a state-independent standard deviation   */
    TRPO_CATEGORICAL = 1, /* one of parts[d] choices per component                            */
    TRPO_BERNOULLI = 2    /* 0 or 1 per component                                             */
} trpo_distribution;
#define TRPO_DISTRIBUTION_WORDS "gaussian", "categorical", "bernoulli" /* trpo_settings.h */
typedef enum trpo_activation { TRPO_IDENTITY = 0, TRPO_TANH = 1, TRPO_RELU = 2 } trpo_activation;
typedef enum trpo_features {
    TRPO_NO_FEATURES = 0,  /* the observations are the networks' inputs                       */
    TRPO_FOURIER = 1,      /* sin(P s / nu + phase), P standard normal, phase in [-pi, pi)    */
    TRPO_RBF = 2,          /* exp(-|s - c|^2 / (2 nu^2)), centres c standard normal           */
    TRPO_POLYNOMIAL = 3    /* monomials of degree 1 to feature_degree                         */
} trpo_features;
typedef enum trpo_preconditioner { TRPO_NONE = 0, TRPO_KFAC = 1 } trpo_preconditioner;
typedef enum trpo_critic {
    TRPO_GAUSS_NEWTON = 0, /* steps by preconditioned CG on all rows                          */
    TRPO_ADAM = 1,         /* epochs of minibatches                                           */
    TRPO_RIDGE = 2,        /* ridge regression on the networks' inputs and their squares      */
    TRPO_KFAC_STEPS = 3,   /* a K-FAC natural gradient step per minibatch, for some epochs    */
    TRPO_N_CRITICS
} trpo_critic;
#define TRPO_CRITIC_WORDS "gauss_newton", "adam", "ridge", "kfac" /* trpo_settings.h */

/* Which line search trials are accepted. A trial that is not finite never is. */
typedef enum trpo_acceptance {
    TRPO_ACCEPT_IMPROVEMENT = 0, /* KL <= kl_slack * target_kl, and the surrogate improves    */
    TRPO_ACCEPT_KL = 1,          /* KL <= kl_slack * target_kl                                */
    TRPO_ACCEPT_ALWAYS = 2       /* the full step, without a search: natural policy gradient  */
} trpo_acceptance;

/* The line search measures KL(old || new), or KL(new || old). Their Hessian is the same. */
typedef enum trpo_kl_direction { TRPO_FORWARD = 0, TRPO_REVERSE = 1 } trpo_kl_direction;

/* Why an update left the policy unchanged: the test that the last line search trial failed. */
typedef enum trpo_rejection {
    TRPO_NOT_REJECTED = 0,
    TRPO_REJECTED_KL = 1,            /* outside the trust region                              */
    TRPO_REJECTED_IMPROVEMENT = 2,   /* inside, but the surrogate does not improve            */
    TRPO_REJECTED_NOT_FINITE = 3,    /* parameters, KL or surrogate are not finite            */
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

/* Upper limits: of any size, and of the number of features, whose square K-FAC stores. */
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
    const char *instruction_set; /* "baseline", "avx2", "avx512", "neon"; NULL: best available */
    double (*clock)(void); /* seconds since any epoch, to time stages; NULL: no timing        */
} trpo_settings;

/* Runs the core's tasks on the host's threads. `run` must call task(arg, i, worker) exactly once
 * for each i in [0, n_tasks), in any order, on any threads, with worker in [0, n_workers) unique
 * among concurrent calls, and return when all have finished. Results do not depend on the order. */
typedef struct trpo_executor {
    void *ctx;
    int n_workers; /* >= 1 */
    void (*run)(void *ctx, int n_tasks, void (*task)(void *arg, int index, int worker), void *arg);
} trpo_executor;

/* What one update did. Fields that do not apply are 0, or NaN where documented. */
typedef struct trpo_info {
    int n_samples;              /* rows learnt from                                           */
    int cg_steps;               /* Fisher-vector products in the policy's conjugate gradient  */
    int line_search_steps;      /* trials evaluated                                           */
    int rejected;               /* trpo_rejection; TRPO_NOT_REJECTED if a step was taken      */
    double surr_gain;           /* E[ratio A] + ent_coef entropy, new minus old               */
    double surr_gain_predicted; /* beta g'x, first order                                      */
    double kl;                  /* mean KL(old || new), or as kl_direction says, nats         */
    double kl_predicted;        /* beta^2/2 x'Fx, second order, undamped                      */
    double surr_gain_tried;     /* surr_gain of the last trial, accepted or not               */
    double kl_tried;            /* KL of the last trial                                       */
    double target_kl;           /* size of this update's trust region                         */
    double cg_damping;          /* this update's damping, after adaptive_damping              */
    double entropy;             /* mean, after the step, nats                                 */
    double std;                 /* mean over components of exp(log_std), after; NaN if none   */
    double grad_norm;           /* |g|                                                        */
    double step_norm;           /* |theta_new - theta_old|                                    */
    double curvature;           /* x'Hx, damped                                               */
    double cg_residual;         /* last residual over the first, preconditioned norm          */
    double explained_variance;  /* of the returns, before the fit; NaN if they are constant   */
    double value_loss_before;   /* mean (V - ret)^2 before the fit, in scaled reward units    */
    double value_loss;          /* the same after the fit                                     */
    double seconds[TRPO_N_STAGES]; /* time per trpo_stage, by the settings' clock             */
} trpo_info;

/* Where the last failing call found bad input. */
typedef struct trpo_culprit {
    int step;      /* row of the rollout, or -1 */
    int env;       /* environment, or row of the batch */
    int component; /* of the observation or action */
} trpo_culprit;

/* An episode that ended during trpo_collect. */
typedef struct trpo_episode {
    int row, env;    /* where it ended */
    int64_t length;  /* its steps, including those in earlier rollouts */
    double total;    /* the sum of its raw rewards, likewise */
} trpo_episode;

struct trpo_envs;        /* environments in C: trpo_env.h */
struct trpo_env_failure;

typedef struct trpo_agent trpo_agent; /* lives inside the caller's memory */

/* ---- settings and creation ------------------------------------------------------------------- */

/* Sets the defaults of trpo_settings.h. The caller must then set obs_size and parts. */
void trpo_default_settings(trpo_settings *settings);

/* Returns the name of the first setting that is out of range, or NULL if all are valid. */
const char *trpo_bad_setting(const trpo_settings *settings);

typedef enum trpo_setting_type {
    TRPO_INT,
    TRPO_REAL,  /* double, finite                                                             */
    TRPO_FLAG,  /* int; 0 is off, nonzero on                                                  */
    TRPO_WORD,  /* int; an enumerator, an index into `words`                                  */
    TRPO_SIZES, /* const int *, with its length at `count_offset`                             */
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
    double low, high;         /* bounds of the value; TRPO_SIZES: of each size                */
    int low_open, high_open;  /* 1: that bound itself is excluded                             */
} trpo_setting;

/* Return setting i, counting from 0, or NULL after the last; the setting with a name, or NULL. */
const trpo_setting *trpo_setting_at(int i);
const trpo_setting *trpo_find_setting(const char *name);

/* Set or get a setting by name, as a number: an integer unless TRPO_REAL, 0 or 1 for a flag, at
 * most 2^53 for a seed. TRPO_ERR_SETTING, changing nothing: unknown name, TRPO_SIZES, or a value
 * out of range. Rules that involve several settings are checked by trpo_bad_setting alone. */
int trpo_set_setting(trpo_settings *settings, const char *name, double value);
int trpo_get_setting(const trpo_settings *settings, const char *name, double *value);

/* Sets a TRPO_WORD by its word: trpo_set_word(&s, "critic", "adam"). */
int trpo_set_word(trpo_settings *settings, const char *name, const char *word);

/* Describes a status in English; "unknown status" for any other number. */
const char *trpo_status_text(int status);

/* Returns the bytes that an agent with this executor needs (NULL: one worker), or 0 if a setting
 * is out of range or the size exceeds any address space. The memory must not move, and may be
 * freed at any time: there is no destructor. */
size_t trpo_bytes(const trpo_settings *settings, const trpo_executor *executor);

/* Returns how many of an executor's workers an agent can keep busy: one per 64 rows of a full
 * rollout up to 16, one per 256 rows beyond that, at most 32; 0 if a setting is out of range.
 * Additional workers only use memory. */
int trpo_useful_workers(const trpo_settings *settings);

/* Creates an agent in `mem` (any alignment) with random initial parameters: see ortho_init.
 * executor NULL runs tasks sequentially on the calling thread; trpo_pool.h provides threads.
 * TRPO_ERR_SETTING, TRPO_ERR_MEMORY; TRPO_ERR_BUILD: compile without -ffp-contract=fast. */
int trpo_init(trpo_agent **agent, const trpo_settings *settings, const trpo_executor *executor,
              void *mem, size_t bytes);

/* ---- the rollout ----------------------------------------------------------------------------- */

/* Samples an action per environment from the policy and opens a row of the rollout.
 *   act (E x D) out; logp (E), val (E) out or NULL (both: computed later, which takes less time);
 *   obs (E x O); mask (E x A) or NULL
 * A categorical action is the choice's index, as a trpo_real. Gaussian actions are unclipped.
 * TRPO_ERR_OBS, TRPO_ERR_MASK, TRPO_ERR_ORDER, TRPO_ERR_FULL. */
int trpo_act(trpo_agent *agent, trpo_real *act, trpo_real *logp, trpo_real *val,
             const trpo_real *obs, const uint8_t *mask);

/* Opens a row with actions that the caller has already sampled from this policy.
 *   logp (E) out or NULL; val (E) out or NULL; obs (E x O); act (E x D); mask (E x A), the one
 *   in force when they were sampled, or NULL
 * TRPO_ERR_OBS, TRPO_ERR_ACT, TRPO_ERR_MASK, TRPO_ERR_ORDER, TRPO_ERR_FULL. */
int trpo_record(trpo_agent *agent, trpo_real *logp, trpo_real *val, const trpo_real *obs,
                const trpo_real *act, const uint8_t *mask);

/* Closes the row with the step's outcome.
 *   rew (E); term (E) terminated; trunc (E) truncated; next_obs (E x O) the observation after the
 *   step and before any reset; skip (E) or NULL: environments in which no step happened
 *   (Gymnasium's next-step autoreset); their other entries are ignored, and an episode still
 *   running before such a row counts as truncated there
 * TRPO_ERR_REW, TRPO_ERR_NEXT_OBS, TRPO_ERR_ORDER; the row stays open. */
int trpo_push(trpo_agent *agent, const double *rew, const uint8_t *term, const uint8_t *trunc,
              const trpo_real *next_obs, const uint8_t *skip);

/* Discards the rollout in progress and rewinds its random draws, e.g. after an environment failed:
 * the agent is as it was before the rollout. Required if all rows were skipped, since trpo_update
 * rejects that as empty. */
void trpo_discard(trpo_agent *agent);

/* Call when all environments are reset: discards the rollout in progress, and the discounted
 * returns that normalize_rewards accumulates over unfinished episodes. */
void trpo_restart(trpo_agent *agent);

/* Returns the number of closed rows, 0..n_steps. */
int trpo_recorded(const trpo_agent *agent);

/* ---- the rollout, in environments in C (trpo_env.h) ------------------------------------------ */

/* Records n_rows more rows, or as many as fit. The rows are bit-identical to those of repeating
 *
 *     trpo_act(agent, act, NULL, NULL, obs, mask)     obs, mask: from the environments' outcome
 *     trpo_envs_step(envs, act, TRPO_ENV_SAME_STEP, ...)    act clipped to the bounds
 *     trpo_push(agent, rew, term, trunc, final_obs, NULL)
 *
 * but each worker runs a slice of the environments through all rows, after which values and
 * log-probabilities are computed for all rows at once. A truncated episode is bootstrapped from V
 * of its last observation; the next episode starts in the next row. Neither the number of calls
 * per rollout nor the number of workers changes the bits: to check a clock or signals in between,
 * collect a few rows at a time.
 *   single   1: round observations and actions to float, as if passed through float32 arrays; with
 *            trpo_real = float this matters only for actions clipped to their bounds
 *   failure  filled in with TRPO_ERR_ENVIRONMENT; may be NULL
 * TRPO_ERR_ORDER (a row is open), TRPO_ERR_FULL, TRPO_ERR_SPACES, TRPO_ERR_MASK (the environments
 * have masks, but the distribution does not support them): nothing has changed.
 * TRPO_ERR_ENVIRONMENT: an environment failed, or has no episode (call trpo_envs_reset).
 * TRPO_ERR_OBS, TRPO_ERR_NEXT_OBS: an observation is too large for trpo_real. After these three
 * the rollout is discarded as by trpo_discard, and trpo_get_culprit reports row, environment and
 * component of the first failure, ordered by row, then environment. The failed environment stops
 * where it failed; the others have taken n_rows steps. */
int trpo_collect(trpo_agent *agent, struct trpo_envs *envs, int n_rows, int single,
                 struct trpo_env_failure *failure);

/* Writes the episodes that ended in rows [first_row, trpo_recorded) of trpo_collect, at most `room`
 * (0: may be NULL), by row, then environment. Returns how many ended: at most n_envs per row. */
int trpo_episodes(const trpo_agent *agent, trpo_episode *episodes, int first_row, int room);

/* ---- learning -------------------------------------------------------------------------------- */

/* Runs one iteration on the recorded rows: advantages, gradient, conjugate gradient, step size,
 * line search, critic, normalisers. Empties the rollout. info may be NULL.
 * TRPO_OK: KL(old || new) <= target_kl and the surrogate improved, unless relaxed by kl_slack,
 * kl_direction or acceptance.
 * TRPO_REJECTED, TRPO_ZERO_GRADIENT, TRPO_NO_CURVATURE: the policy is bitwise unchanged; the
 * critic has learnt. TRPO_ERR_EMPTY, TRPO_ERR_ORDER (a row is open): nothing has changed.
 * Cost: about (3 + cg_steps * 4) * N * P multiply-adds for the policy. */
int trpo_update(trpo_agent *agent, trpo_info *info);

/* Names a trpo_rejection; "" for TRPO_NOT_REJECTED, "unknown" for any other number. */
const char *trpo_rejection_text(int rejection);

/* Change the size of the trust region, or Adam's step size, from the next update on. They remain
 * settings and are not part of saved agents. TRPO_ERR_SETTING unless positive and finite. */
int trpo_set_target_kl(trpo_agent *agent, double target_kl);
int trpo_set_learning_rate(trpo_agent *agent, double learning_rate);

/* ---- using the policy ------------------------------------------------------------------------ */

/* Computes actions for N observations without recording them: the distribution's mode if
 * deterministic, else samples from a separate random stream, which leaves training unaffected.
 *   act (N x D) out; obs (N x O); mask (N x A) or NULL
 * TRPO_ERR_OBS, TRPO_ERR_MASK. */
int trpo_predict(trpo_agent *agent, trpo_real *act, const trpo_real *obs, const uint8_t *mask,
                 int deterministic, int N);

/* Computes the parameters of the action distribution for N observations: the means of a Gaussian,
 * else logits, which are -2^100 for forbidden choices.
 *   out (N x A) out; obs (N x O); mask (N x A) or NULL.  TRPO_ERR_OBS, TRPO_ERR_MASK. */
int trpo_outputs(trpo_agent *agent, trpo_real *out, const trpo_real *obs, const uint8_t *mask,
                 int N);

/* Computes V(obs) in scaled reward units.  val (N) out; obs (N x O).  TRPO_ERR_OBS. */
int trpo_value(trpo_agent *agent, trpo_real *val, const trpo_real *obs, int N);

/* Reports where the last call to return TRPO_ERR_OBS, _NEXT_OBS, _ACT, _MASK, _REW or _ENVIRONMENT
 * found the error. */
void trpo_get_culprit(const trpo_agent *agent, trpo_culprit *culprit);

/* Names the instruction set an agent uses: "baseline", "avx2", "avx512" or "neon". */
const char *trpo_instruction_set(const trpo_agent *agent);

#ifdef __cplusplus
}
#endif

#include "trpo_files.h" /* saving and loading; acting without an agent */

#endif
