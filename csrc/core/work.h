/* The work struct: every array of an agent, with its shape, under the stage that writes it.
 * This is the map of the core. A stage reads what earlier stages wrote; update.c calls them in
 * order, and critic.c and cg.c reuse earlier stages for their own systems. Letters as in kernels.h;
 * also L layers, P policy and Pv critic parameters, and F network inputs per observation:
 * n_features of them, or O.
 *
 *     features.c        network inputs from observations
 *     rollout.c         collect: obs act rew term trunc logp val; activations are cached
 *     masks.c           forbidden choices: their outputs are replaced after every forward pass
 *     collect.c         collect, from environments in C
 *     advantages.c      adv, ret by GAE; skipped rows dropped
 *     gradient.c        g
 *     fisher.c          F v
 *     preconditioner.c  M^-1 r, K-FAC
 *     cg.c              x = (F + damping I)^-1 g
 *     line_search.c     theta_new
 *     critic.c          value parameters, by a method of the table in critic.h
 *     minibatch.c       an epoch's rows in random order, copied into minibatches
 *     normalizer.c      running statistics of observations and rewards
 *     update.c          the above, in order
 *     theory.c          the above one at a time, on a batch set by the caller (theory.h)
 */
#ifndef TRPO_WORK_H
#define TRPO_WORK_H

#include "../memory/strict.h" /* first */

#include "../include/trpo_env.h"
#include "../kernels/kernels.h"
#include "../memory/arena.h"
#include "critic.h"
#include "rng.h"
#include "theory.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Rows are processed in tiles, so that intermediate results stay in cache. Tiles form chunks, whose
 * sums are accumulated in `real`; chunks form at most TRPO_BLOCKS blocks, whose sums are
 * accumulated in double and added in a fixed tree (blocks.c). These sizes are part of a result's
 * definition: they depend on N, never on threads. With fewer than TRPO_FEW rows (a minibatch) each
 * tile is a chunk, so that several threads have work. */
enum { TRPO_TILE = 64, TRPO_CHUNK = 256, TRPO_FEW = 1024, TRPO_BLOCKS = 32 };

static inline ptrdiff_t trpo_square(int n) { return trpo_times(n, n); }
static inline int trpo_min(int a, int b) { return a < b ? a : b; }
/* component d's network outputs; where parts is NULL, all have one */
static inline int trpo_part(const int *parts, int d) { return parts != NULL ? parts[d] : 1; }
/* x limited to [low, high]; NaN stays NaN */
static inline double trpo_clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

/* ---- a network with a distribution on top ---------------------------------------------------- */

typedef struct trpo_net {
    int L;                /* layers                                                            */
    int activation;       /* of the hidden layers                                              */
    int width;            /* the largest of size                                               */
    int *size;            /* (L+1) inputs, hidden widths, outputs                              */
    ptrdiff_t *offset;    /* (L+1) where layer l's ((K+1) x M) matrix starts; [L]: their total */
    ptrdiff_t *at;        /* (L+1) where layer l starts in W and V, which are packed           */
    ptrdiff_t *at_t;      /* (L+1) where layer l starts in W_t                                 */
    real *W;              /* (at[L]) theta, rounded and packed, as the passes read it          */
    real *W_t;            /* (at_t[L]) each layer transposed, without bias, packed             */
    real *V;              /* (at[L]) the direction of a tangent pass, rounded and packed       */
    real *unpacked;       /* (2 x the largest layer) scratch of packing                        */
} trpo_net;

/* Rows with their cached activations. */
typedef struct trpo_batch {
    int N;
    real **h;             /* (L+1) pointers: h[0] (N x F) inputs ... h[L] (N x A) outputs      */
    real *act;            /* (N x D); the critic's "action" is ret                             */
    int has_masks;        /* some row has a mask                                               */
    uint8_t *mask;        /* (N x A) 0: the choice is forbidden; policy only, if has_masks     */
} trpo_batch;

/* The Kronecker factors: layer l's block of F is about A_l (x) G_l. Written by preconditioner.c. */
typedef struct trpo_factors {
    int exact_head;       /* the last layer's metric is constant and diagonal: it needs no G   */
    ptrdiff_t *at;        /* (2L+1) where A_1, G_1, A_2, G_2, ... start; [2L]: their total     */
    double *mean;         /* (at[2L]) the factors, later their Cholesky factors                */
    double *inverse;      /* (at[2L]) the damped inverses, at the same offsets                 */
    double *head;         /* (A x (K+1) x (K+1)) Cholesky factor per output of an exact head   */
    double *metric;       /* (A) of an exact head                                              */
    double *split;        /* (L) pi: splits a layer's damping between its factors              */
    double *temp;         /* (P of the network) an intermediate product                        */
} trpo_factors;

typedef struct trpo_model {
    trpo_net net;
    const trpok_dist *dist;
    int A, D;
    int *parts;           /* (D)                                                               */
    ptrdiff_t P;          /* parameters: the network's, then log_std if there is one           */
    int n_log_std;        /* A, or 0 if there is no log_std to learn                           */
    double *theta;        /* (P)                                                               */
    double *log_std;      /* (A) the tail of theta; zeros for the critic                       */
    trpo_batch batch;     /* all rows of the iteration                                         */
    trpo_batch fisher;    /* rows 0, k, 2k, ...; same as `batch` if k = 1                      */
    trpo_factors factors;
    /* conjugate gradient and step: written by gradient.c, cg.c, line_search.c */
    double *grad;         /* (P)                                                               */
    double *x;            /* (P)                                                               */
    double *trial;        /* (P) candidate parameters                                          */
    double *r, *z, *p, *q;   /* (P) each, for trpo_solve; NULL in critics that do not call it  */
} trpo_model;

/* The first error of a worker in trpo_collect. */
typedef struct trpo_collect_error {
    int status;           /* TRPO_OK: none; TRPO_ERR_OBS, _ENVIRONMENT or _NEXT_OBS            */
    trpo_culprit at;
    trpo_env_failure failure; /* for TRPO_ERR_ENVIRONMENT                                      */
} trpo_collect_error;

/* One worker's scratch. */
typedef struct trpo_scratch {
    int tile;             /* its rows: TRPO_TILE, or fewer in a policy that only acts          */
    real *sum;            /* (largest vector summed over rows)                                 */
    real **h;             /* (L+1) pointers into a batch, or into `rows`                       */
    real *rows;           /* (tile x sum of a network's sizes) activations of gathered rows    */
    real *a, *b;          /* (TILE x width) tangents and adjoints                              */
    real *obs;            /* (TILE x O) normalised observations, before features               */
    real *act;            /* (TILE x D)                                                        */
    double *noise;        /* (TILE x max(A, D))                                                */
    real *work;           /* (3 x TILE x A) for distributions                                  */
    real *row1;           /* (TILE) per-row numbers                                            */
    trpo_collect_error error;
} trpo_scratch;

/* Running mean and sum of squared deviations. */
typedef struct trpo_moments {
    double *count;        /* (1)                                                               */
    double *mean, *m2;    /* (O), or (1) for rewards                                           */
} trpo_moments;

/* Indices into `counters`: integers stored as doubles (exact to 2^53), as all state is. */
enum {
    TRPO_SEED_LOW,
    TRPO_SEED_HIGH,
    TRPO_N_ACTS,
    TRPO_N_PREDICTS,
    TRPO_N_UPDATES,
    TRPO_N_CRITIC_STEPS,
    TRPO_ADAM_T,
    TRPO_N_COUNTERS
};

/* Limits of damping_scale. They take the default damping of 0.1 to 1e-8, the order of rounding
 * errors, and to 1e3. */
#define TRPO_LEAST_SCALE 1e-7
#define TRPO_LARGEST_SCALE 1e4

struct trpo_agent {
    trpo_settings set;    /* checked; its arrays point into this memory                        */
    trpo_executor exec;
    const trpok_table *k; /* kernels                                                           */
    trpo_scratch *scratch;/* (n_workers)                                                       */
    double *partial;      /* (TRPO_BLOCKS x largest summed vector) block sums                  */
    trpo_culprit culprit;
    double stage_started; /* update.c: start of the running stage, by the settings' clock      */

    trpo_model policy;
    trpo_model critic;

    /* rollout.c: row t*E + e. Network inputs are policy.batch.h[0]. */
    int t;                /* closed rows                                                       */
    int open;             /* 1 between act and push                                            */
    int drawn;            /* act calls in this rollout, undone if it is discarded              */
    int evaluated;        /* rows that have logp and val                                       */
    real *raw_obs;        /* (N x O) unnormalised, if observations are normalised              */
    real *logp;           /* (N) of the action when it was taken                               */
    real *val;            /* (N) V when the action was taken                                   */
    double *rew;          /* (N) raw; advantages.c scales them                                 */
    uint8_t *done;        /* (N) terminated or truncated                                       */
    uint8_t *skip;        /* (N) no step happened                                              */
    real *boot;           /* (N) V(next_obs) where truncated                                   */
    real *last_obs;       /* (E x F) network inputs of the last row's next_obs                 */
    real *last_val;       /* (E) V(last_obs)                                                   */
    double *episode_return;  /* (N) collect.c: of the episode that ended in this row           */
    int64_t *episode_length; /* (N) likewise; 0 if none ended                                  */
    double *env_act;      /* (E x D) collect.c: actions as the environments get them           */
    real *tile_obs;       /* (tile x F) network inputs of a tile to predict from               */

    /* advantages.c: the N rows that are not skipped */
    int N;
    double *adv;          /* (N)                                                               */
    double *ret;          /* (N)                                                               */
    real *adv_real;       /* (N) as the passes read it                                         */
    real *ret_real;       /* (N)                                                               */

    /* gradient.c */
    real *weight;         /* (N) ratio * adv                                                   */

    /* critic.c */
    const trpo_critic_method *critic_method;
    trpo_critic_scratch critic_scratch;
    double *adam_m;       /* (Pv) for the adam critic; part of every saved state               */
    double *adam_v;       /* (Pv) likewise                                                     */

    /* minibatch.c */
    trpo_batch minibatch; /* its rows, for critics with minibatches                            */
    int32_t *perm;        /* (N) rows in random order; also used by preconditioner.c           */

    /* features.c */
    double *features;     /* (F x O) P or centres, then (F) phases of fourier; NULL otherwise  */
    real *features_W;     /* ((O+1) x F) the same as a layer, packed                           */
    real *features_unpacked; /* ((O+1) x F) scratch of packing                                 */

    /* normalizer.c */
    trpo_moments obs_stat;
    double *obs_inverse;  /* (O) 1 / standard deviation, as observations are divided by it     */
    trpo_moments rew_stat;
    double *rew_running;  /* (E) discounted return after the last step                         */
    double *rew_returns;  /* (N) discounted return after each step of the rollout              */

    double *counters;     /* (TRPO_N_COUNTERS)                                                 */

    /* update.c */
    double *damping_scale;/* (1) adaptive_damping's factor on cg_damping                       */

    /* fields.c: of the environment's actions, for those who read a saved policy */
    int has_bounds;
    double *act_low, *act_high; /* (D)                                                         */
    double *act_to_env;   /* (1) trpo_to_env                                                   */
};

/* ---- network.c: one tile of at most TRPO_TILE rows through a network ------------------------- */

void trpo_net_pack(const trpok_table *k, trpo_net *net, const double *theta);
void trpo_net_direction(const trpok_table *k, trpo_net *net, const double *v);
/* h[1..L] from h[0] */
void trpo_net_forward(const trpok_table *k, const trpo_net *net, real *const *h, int N);
/* tangent of the outputs along net->V: returned in s->a or s->b */
real *trpo_net_tangent(const trpok_table *k, const trpo_net *net, real *const *h, trpo_scratch *s,
                       int N);
/* sum (P) += d (output . dout) / d W; dout is s->a or s->b, and is overwritten */
void trpo_net_adjoint(const trpok_table *k, const trpo_net *net, real *sum, real *dout,
                      real *const *h, trpo_scratch *s, int N);
/* random orthogonal weights, zero biases; `first` is the first layer's count in stream INIT */
void trpo_net_init(double *theta, double *temp, const trpo_net *net, double head_gain,
                   uint64_t seed, uint64_t first);
/* random weights and biases, uniform within +-1 / sqrt(K) in a layer of K inputs */
void trpo_net_init_uniform(double *theta, const trpo_net *net, uint64_t seed, uint64_t first);

/* ---- blocks.c: means over rows, summed in a fixed order -------------------------------------- */

/* One pass over rows of a batch. `tile` handles rows [first, first + n), adding to sum (S). */
typedef struct trpo_pass trpo_pass;
struct trpo_pass {
    trpo_agent *agent;
    trpo_model *model;
    const trpo_batch *batch;
    void (*tile)(const trpo_pass *pass, trpo_scratch *s, real *sum, int first, int n);
    int start;            /* the pass's first row                                              */
    const void *arg;      /* private to the stage                                              */
};
/* number of blocks in a sum over N rows; the maximum over sums of at most N rows */
int trpo_block_count(int N);
int trpo_max_blocks(int N);
/* out (S) = mean over N rows from pass->start on; S = 0: only runs the pass */
void trpo_mean_rows(double *out, const trpo_pass *pass, int N, ptrdiff_t S);
/* s->h: the batch's activations from row `first` on */
real **trpo_tile_rows(trpo_scratch *s, const trpo_model *model, const trpo_batch *batch, int first);
/* s->h: scratch for a tile's activations, with the given inputs as h[0] */
real **trpo_tile_inputs(trpo_scratch *s, const trpo_model *model, const real *inputs);
/* s->h, s->act: copies of the activations and actions of batch rows rows[0..n-1] */
real **trpo_tile_gather(trpo_scratch *s, const trpo_model *model, const trpo_batch *batch,
                        const int32_t *rows, int n);

/* ---- the stages ------------------------------------------------------------------------------ */

/* network.c: activations of rows [first, first + N) from their inputs h[0] */
void trpo_forward(trpo_agent *w, trpo_model *model, int first, int N);
/* policy.c: initial parameters of both networks, and the seed */
void trpo_init_parameters(trpo_agent *w);
/* policy.c: noise (N x A normals or N x D uniforms) for items first, first + 1, ... */
void trpo_draw_noise(double *noise, const trpo_model *model, const trpo_rng *rng, int first, int N);

/* masks.c: n D + d of the first component whose choices are all forbidden, or whose action in act
 * (N x D, or NULL) is; 0 if the distribution does not support masks; -1 if all are valid */
ptrdiff_t trpo_bad_mask(const trpo_model *model, const uint8_t *mask, const real *act, int N);
/* masks.c: stores the masks of rows [first, first + N), NULL: all allowed; row 0 drops old masks */
void trpo_store_masks(trpo_model *model, const uint8_t *mask, int first, int N);
/* masks.c: declares that the caller writes masks for the rows from `first` on; earlier rows without
 * masks allow all choices */
void trpo_start_masks(trpo_model *model, int first);
/* masks.c: out (N x A) = TRPOK_FORBIDDEN where mask (N x A) is 0 */
void trpo_mask_outputs(const trpo_model *model, real *out, const uint8_t *mask, int N);
/* masks.c: the same with the stored masks of rows [first, first + N), if there are any */
void trpo_mask_rows(const trpo_model *model, real *out, int first, int N);

/* rollout.c: V of N rows of network inputs */
void trpo_value_rows(trpo_agent *w, trpo_scratch *s, real *val, const real *obs, int N);
/* rollout.c: act (N x D) drawn for outputs (N x A); items are first, first + 1, ... */
void trpo_draw_actions(trpo_agent *w, trpo_scratch *s, real *act, const real *out,
                       const trpo_rng *rng, int first, int N);
/* rollout.c: val, logp and the critic's activations of rows [first, first + N), from their network
 * inputs, policy outputs and actions */
void trpo_evaluate_rows(trpo_agent *w, int first, int N);
/* rollout.c: val and logp of the rollout's first `rows` rows, where they are not computed yet */
void trpo_evaluate_recorded(trpo_agent *w, int rows);

/* advantages.c: adv, ret, N from the recorded rows */
void trpo_advantages(trpo_agent *w);

/* gradient.c: policy.grad = d/dtheta 1/N sum exp(logp(theta) - logp) adv + ent_coef entropy, but 0
 * for a log_std at a bound that the gradient points beyond */
void trpo_policy_gradient(trpo_agent *w);
/* gradient.c: model.grad = d/dtheta 1/N sum weight logp(act); weight NULL means 1 */
void trpo_gradient(trpo_agent *w, trpo_model *model, const real *weight);

/* fisher.c: the rows of the Fisher product, every k-th of the batch */
void trpo_fisher_rows(trpo_model *model, int k);
/* fisher.c: out = F v */
void trpo_fisher_product(trpo_agent *w, trpo_model *model, double *out, const double *v);

/* preconditioner.c: estimates and inverts the factors; z = M^-1 r */
void trpo_factorize(trpo_agent *w, trpo_model *model, const trpo_rng *rng, double damping);
void trpo_precondition(const trpo_agent *w, const trpo_model *model, double *z, const double *r,
                       double damping);

/* cg.c: model->x = (F + damping I)^-1 model->grad, with the model's products and factors */
trpo_solution trpo_solve(trpo_agent *w, trpo_model *model, double damping, int max_steps,
                         int preconditioned);

/* settings.c: number of monomials of degree 1 .. `degree` in O variables; F; size of `features` */
int trpo_n_monomials(int O, int degree);
int trpo_n_inputs(const trpo_settings *set);
ptrdiff_t trpo_n_drawn(const trpo_settings *set);
/* layout.c: the vectors of trpo_solve */
void trpo_place_solver(trpo_model *model, trpo_arena *a);

/* features.c: network inputs (N x F) from obs (N x O): normalised, then features of that. N is at
 * most a TILE; obs may be scratch->obs, or `inputs` if there are no features. */
void trpo_make_inputs(const trpo_agent *w, trpo_scratch *scratch, real *inputs, const real *obs,
                      int N);
/* features.c: draws the features' random numbers; packs drawn or loaded ones */
void trpo_draw_features(trpo_agent *w);
void trpo_pack_features(trpo_agent *w);
/* features.c: column j of W ((O+1) x F), feature j as part of a layer; drawn (O) and phase: its
 * random numbers */
void trpo_feature_column(real *W, const trpo_settings *set, int j, const double *drawn,
                         double phase);

/* normalizer.c: normalised observations (N x O); obs may be raw */
void trpo_normalize_obs(const trpo_agent *w, real *obs, const real *raw, int N);
/* normalizer.c: obs_inverse, after a change of the statistics */
void trpo_scale_observations(trpo_agent *w);
double trpo_reward_scale(const trpo_agent *w);
void trpo_scale_rewards(trpo_agent *w);
void trpo_merge_statistics(trpo_agent *w);

/* update.c: x and its curvature for the current batch, preconditioned as the settings say */
trpo_solution trpo_solve_policy(trpo_agent *w);
/* policy.c: the agent's random stream, at a counter's current count */
trpo_rng trpo_stream(const trpo_agent *w, uint32_t stream, int counter);

#ifdef __cplusplus
}
#endif
#endif
