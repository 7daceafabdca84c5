/* The table of critics: the ways to fit V to the returns. Defined in critic.c.
 *
 * To add one: its number in trpo.h, its scratch below, its fit and its entry in critic.c, the same
 * in fasttrpo/portable/critic.py, and what users read of it in fasttrpo/settings/critics.py. */
#ifndef TRPO_CRITIC_H
#define TRPO_CRITIC_H

#include "../include/trpo.h"
#include "../kernels/kernels.h"
#include "../memory/arena.h"

#ifdef __cplusplus
extern "C" {
#endif

/* x: the F numbers of an observation that the policy sees. With `features` NULL the parameters are
 * those of a network with n_value_hidden hidden layers on x; otherwise they are coefficients of the
 * features of x, and a bias, and start at 0. */
typedef struct trpo_critic_method {
    const char *name;
    void (*features)(real *phi, const real *x, int N, int F); /* phi (N x n_features F)        */
    int n_features;       /* per number of x; 1 without `features`                             */
    int has_factors;      /* the fit uses the K-FAC factors                                    */
    int (*minibatch)(const trpo_settings *set, int N); /* rows of a minibatch of N rows where  */
                          /* batch_size is 0; NULL: the fit has no minibatches                 */
    void (*place)(trpo_agent *w, trpo_arena *a); /* the method's scratch; NULL: it has none    */
    void (*fit)(trpo_agent *w); /* new value parameters, with the cached values of all rows    */
} trpo_critic_method;

extern const trpo_critic_method trpo_critics[TRPO_N_CRITICS]; /* in trpo_critic's order */

/* What one method alone needs. */
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

/* minibatch.c: the most rows that a minibatch of N rows has, for a method that has minibatches */
int trpo_minibatch(const trpo_settings *set, int N);
/* minibatch.c: perm = the N rows in the random order of this critic step */
void trpo_shuffle(trpo_agent *w);
/* minibatch.c: minibatch = rows perm[first .. first + n - 1]; critic.grad = their gradient */
void trpo_minibatch_gradient(trpo_agent *w, int first, int n);

#ifdef __cplusplus
}
#endif

#endif
