/* The table of critics: the methods of fitting V to the returns. Defined in critic.c.
 *
 * To add one: its number in trpo.h, its scratch below, its fit and its entry in critic.c, the same
 * in fasttrpo/portable/critic.py, and its documentation in fasttrpo/settings/critics.py. */
#ifndef TRPO_CRITIC_H
#define TRPO_CRITIC_H

#include "../include/trpo.h"
#include "../kernels/kernels.h"
#include "../memory/arena.h"

#ifdef __cplusplus
extern "C" {
#endif

/* x: the policy's F inputs for an observation. With `features` NULL, V is a network of x with
 * n_value_hidden hidden layers; otherwise V is linear in the features of x, with a bias, and its
 * coefficients start at 0. */
typedef struct trpo_critic_method {
    const char *name;
    void (*features)(real *phi, const real *x, int N, int F); /* phi (N x n_features F)        */
    int n_features;       /* per input; 1 without `features`                                   */
    int has_factors;      /* the fit uses the K-FAC factors                                    */
    int (*minibatch)(const trpo_settings *set, int N); /* default minibatch size for N rows;   */
                          /* NULL: the fit has no minibatches                                  */
    void (*place)(trpo_agent *w, trpo_arena *a); /* places the scratch; NULL: there is none    */
    void (*fit)(trpo_agent *w); /* updates the value parameters, and all rows' cached values   */
} trpo_critic_method;

extern const trpo_critic_method trpo_critics[TRPO_N_CRITICS]; /* in trpo_critic's order */

/* Scratch of one method. */
typedef union trpo_critic_scratch {
    struct {
        double *start;    /* (Pv) the parameters before the first epoch                        */
        double *mean;     /* (Pv) of the parameters after each step of the second half         */
    } kfac;
    struct {
        double *start;    /* (Pv) the parameters before the first epoch                        */
    } adam;
} trpo_critic_scratch;

/* critic.c: the critic's inputs for N rows: obs, or its features, written to phi */
const real *trpo_critic_inputs(const trpo_agent *w, real *phi, const real *obs, int N);
/* critic.c: mean (V - ret)^2 of the cached values */
double trpo_value_loss(const trpo_agent *w);
/* critic.c: fits the critic to ret */
void trpo_fit_critic(trpo_agent *w, trpo_info *info);

/* minibatch.c: the largest minibatch of N rows, for a method with minibatches */
int trpo_minibatch(const trpo_settings *set, int N);
/* minibatch.c: perm = the N rows in this critic step's random order */
void trpo_shuffle(trpo_agent *w);
/* minibatch.c: minibatch = rows perm[first .. first + n - 1]; critic.grad = their gradient */
void trpo_minibatch_gradient(trpo_agent *w, int first, int n);

#ifdef __cplusplus
}
#endif

#endif
