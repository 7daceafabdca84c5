/* The parts of an update one at a time, on a batch set by the caller: for tests, and for hosts that
 * expose them (fasttrpo.theory). The agent is as opaque here as in trpo.h; letters as there.
 *
 * Load a batch first; the functions below refer to it until act, record or an update. They return
 * no statuses: sizes are the caller's responsibility. */
#ifndef TRPO_THEORY_H
#define TRPO_THEORY_H

#include "../include/trpo.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- a batch --------------------------------------------------------------------------------- */

/* Sets a batch of N <= T*E rows and discards the rollout in progress.
 * obs (N x F) network inputs, act (N x D), adv, ret (N), logp (N) or NULL: those at theta,
 * mask (N x A) as for trpo_record, or NULL.
 * TRPO_ERR_EMPTY, TRPO_ERR_FULL, TRPO_ERR_OBS, TRPO_ERR_ACT, TRPO_ERR_MASK. */
int trpo_load_batch(trpo_agent *agent, const trpo_real *obs, const trpo_real *act,
                    const double *adv, const double *ret, const trpo_real *logp,
                    const uint8_t *mask, int N);

/* Selects the rows of the Fisher product, every k-th. Call it after each trpo_load_batch. */
void trpo_theory_prepare(trpo_agent *agent);

/* Updates the batch after parameters were written (trpo_refresh). */
void trpo_theory_refresh(trpo_agent *agent);

/* F, the number of network inputs; N, the rows of the batch. */
int trpo_theory_inputs(const trpo_agent *agent);
int trpo_theory_rows(const trpo_agent *agent);

/* out (N x A): the policy's outputs on the batch */
void trpo_theory_outputs(const trpo_agent *agent, trpo_real *out);

/* ---- the policy ------------------------------------------------------------------------------ */

/* g (P) = d/dtheta of the surrogate */
void trpo_theory_gradient(trpo_agent *agent, double *g);

/* out (P) = F v, undamped */
void trpo_theory_product(trpo_agent *agent, double *out, const double *v);

/* Estimates the K-FAC factors of the batch; z (P) = M^-1 r. Only with TRPO_KFAC. */
void trpo_theory_factorize(trpo_agent *agent);
void trpo_theory_precondition(trpo_agent *agent, double *z, const double *r);

/* The number that this update adds to the Fisher matrix's diagonal. */
double trpo_damping(const trpo_agent *agent);

/* ---- conjugate gradient: cg.c ---------------------------------------------------------------- */

/* (F + damping I) x = g */
typedef struct trpo_system {
    void (*product)(void *ctx, double *out, const double *v);    /* out = (F + damping I) v       */
    void (*precondition)(void *ctx, double *z, const double *r); /* z = M^-1 r, or NULL: z = r    */
    void *ctx;
} trpo_system;
typedef struct trpo_solution {
    int steps;            /* products computed                                                 */
    double residual;      /* last over first, preconditioned norm                              */
    double curvature;     /* x'(F + damping I)x                                                */
} trpo_solution;
trpo_solution trpo_conjugate_gradient(double *x, const double *g, const trpo_system *system,
                                      double *r, double *z, double *p, double *q, int max_steps,
                                      double tolerance, ptrdiff_t P);

/* x (P) for the batch's gradient, preconditioned as the settings say */
trpo_solution trpo_theory_solve(trpo_agent *agent, double *x);

/* ---- line search: line_search.c -------------------------------------------------------------- */

typedef struct trpo_trial {
    double surr, kl, entropy;
} trpo_trial;
typedef struct trpo_search {
    int rejected;         /* trpo_rejection of the last trial                                  */
    int trials;
    trpo_trial last;      /* the accepted trial, or the last one rejected                      */
} trpo_search;
/* Which trials are made, and which of them is accepted. */
typedef struct trpo_rule {
    int acceptance;       /* trpo_acceptance                                                   */
    double kl_limit;      /* the largest KL that is accepted                                   */
    double surr_old;      /* what the surrogate must exceed                                    */
    double shrink;        /* factor between the lengths of consecutive trials                  */
    int max_trials;
    double low, high;     /* bounds that a trial's parameters are clamped to,                  */
    ptrdiff_t bounded;    /* from this index on; P: none                                       */
} trpo_rule;
typedef trpo_trial (*trpo_evaluate_fn)(void *ctx, const double *theta);
/* theta_new (P) = theta + scale shrink^j dir, j = 0, 1, ...: the first that the rule accepts */
trpo_search trpo_line_search(double *theta_new, const double *theta, const double *dir,
                             double scale, const trpo_rule *rule, trpo_evaluate_fn evaluate,
                             void *ctx, ptrdiff_t P);

/* Compares the policy at theta (P) with the current one. */
trpo_trial trpo_evaluate(trpo_agent *agent, const double *theta);

/* ---- the critic ------------------------------------------------------------------------------ */

/* g (Pv) = d/dtheta of 1/2 mean (V - ret)^2 */
void trpo_theory_value_gradient(trpo_agent *agent, double *g);

/* out (Pv) = 1/N J'J v, undamped */
void trpo_theory_value_product(trpo_agent *agent, double *out, const double *v);

/* Fits the critic as an update does; returns the resulting mean (V - ret)^2. */
double trpo_theory_fit_value(trpo_agent *agent);

/* ---- the rollout in progress ----------------------------------------------------------------- */

/* 1 between trpo_act or trpo_record and trpo_push. */
int trpo_is_open(const trpo_agent *agent);

/* The action (D) recorded in a row of an environment. */
const trpo_real *trpo_recorded_action(const trpo_agent *agent, int step, int env);

/* ---- distributions --------------------------------------------------------------------------- */

/* An action distribution's properties, from its table. */
typedef struct trpo_distribution_facts {
    const char *name;
    int outputs;          /* network outputs per component; 0: one per choice                  */
    int is_real;          /* actions are real numbers, not choices                             */
    int n_choices_of_3;   /* choices of a component with 3 outputs; 0 if is_real               */
    int has_log_std;      /* theta ends with a log_std per output                              */
    int takes_masks;
} trpo_distribution_facts;

/* Returns 1 and the properties of distribution i, or 0 after the last. */
int trpo_distribution_at(int i, trpo_distribution_facts *facts);

/* ---- arrays in, arrays out ------------------------------------------------------------------- */

/* Name i of the instruction sets that this machine supports, best first; NULL after the last. */
const char *trpo_instruction_set_at(int i);

/* The kernels' elementary functions, in place if out is x. */
typedef enum trpo_function { TRPO_EXP, TRPO_EXPM1, TRPO_TANH_OF, TRPO_SIN } trpo_function;

/* out (N) = function(x), by the kernels of a supported instruction set. */
void trpo_apply(const char *instruction_set, trpo_function function, trpo_real *out,
                const trpo_real *x, ptrdiff_t N);

/* adv, ret (T x E) by GAE, from rew, val, boot (V(next_obs) where truncated), done, skip (T x E);
 * by the kernels of a supported instruction set. */
void trpo_gae(const char *instruction_set, double *adv, double *ret, const double *rew,
              const trpo_real *val, const trpo_real *boot, const uint8_t *done,
              const uint8_t *skip, double gamma, double gae_lambda, int T, int E);

#ifdef __cplusplus
}
#endif
#endif
