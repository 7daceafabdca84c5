/* The critic: fits V to ret by one of the methods of `trpo_critics`.
 *
 * The critic is a unit Gaussian with mean V: its log-likelihood of ret is -1/2 (V - ret)^2 + const,
 * so it shares the policy's gradient, Fisher product (F = J'J/N) and preconditioner.
 *
 *     kfac           epochs of minibatches, a natural gradient step each: along d = M^-1 g, with g
 *                    and J of the minibatch and M the iteration's K-FAC factors, by a share of the
 *                    length that is best for the minibatch,  g'd / (|J d|^2/n + damping d'd).
 *                    The parameters after each step of the second half are averaged (Polyak and
 *                    Juditsky 1992), which removes the minibatches' noise. The step from the start
 *                    to this mean is halved until the loss falls. bench/critics.py compares the
 *                    methods
 *     gauss_newton   (J'J/N + damping I) x = J'(ret - V)/N by preconditioned CG; value + s x for
 *                    s = 1, 1/2, ... until the loss falls
 *     adam           epochs of minibatches (Kingma and Ba 2015)
 *     ridge          coefficients of [x, x^2], x being the policy's inputs. The preconditioner is
 *                    exact for them, so
 *                    w + M^-1 (gradient - damping w) = (A + damping I)^-1 E[phi ret] */
#include "work.h"

#include <string.h>

enum { CG_STEPS = 5, MAX_HALVINGS = 10 };

/* of a minibatch's best step, which would fit the minibatch's noise */
static const double SHARE = 0.7;

const real *trpo_critic_inputs(const trpo_agent *w, real *phi, const real *obs, int N)
{
    if (w->critic_method->features == NULL) return obs;
    w->critic_method->features(phi, obs, N, w->policy.net.size[0]);
    return phi;
}

double trpo_value_loss(const trpo_agent *w)
{
    const real *V = w->critic.batch.h[w->critic.net.L];
    double sum = 0;
    for (int n = 0; n < w->N; n++) {
        const double e = (double)V[n] - (double)w->ret_real[n];
        sum += e * e;
    }
    return sum / w->N;
}

/* Makes theta the parameters of the network and of the cached values. */
static void use_parameters(trpo_agent *w, const double *theta)
{
    trpo_net_pack(w->k, &w->critic.net, theta);
    trpo_forward(w, &w->critic, 0, w->N);
}

/* Computes the factors at the current parameters. */
static void factorize(trpo_agent *w)
{
    const trpo_rng rng = trpo_stream(w, TRPO_STREAM_KFAC_CRITIC, TRPO_N_CRITIC_STEPS);
    trpo_fisher_rows(&w->critic, 1);
    trpo_factorize(w, &w->critic, &rng, w->set.critic_damping);
}

/* Takes the first of theta + x, + x/2, + x/4, ... with a smaller loss. Returns 0, leaving theta, if
 * there is none. The parameters are checked too: a saturated unit hides an infinite weight. */
static int descend(trpo_agent *w)
{
    trpo_model *c = &w->critic;
    const double loss = trpo_value_loss(w);
    double scale = 1;
    for (int i = 0; i < MAX_HALVINGS; i++, scale /= 2) {
        for (ptrdiff_t p = 0; p < c->P; p++) c->trial[p] = c->theta[p] + scale * c->x[p];
        use_parameters(w, c->trial);
        if (trpo_value_loss(w) < loss && trpok_finite(c->trial, c->P)) {
            memcpy(c->theta, c->trial, (size_t)c->P * sizeof(double));
            return 1;
        }
    }
    use_parameters(w, c->theta);
    return 0;
}

/* ---- K-FAC ----------------------------------------------------------------------------------- */

static void slope_tile(const trpo_pass *pass, trpo_scratch *s, real *sum, int first, int n)
{
    const trpo_model *c = pass->model;
    real **h = trpo_tile_rows(s, c, pass->batch, first);
    const real *slope = trpo_net_tangent(pass->agent->k, &c->net, h, s, n);
    for (int i = 0; i < n; i++) *sum += slope[i] * slope[i];
}

/* x'(J'J/n + damping I) x on the minibatch, with the critic's x */
static double minibatch_curvature(trpo_agent *w)
{
    trpo_model *c = &w->critic;
    const trpo_pass pass = {w, c, &w->minibatch, slope_tile, 0, NULL};
    double squares;
    trpo_net_direction(w->k, &c->net, c->x);
    trpo_mean_rows(&squares, &pass, w->minibatch.N, 1);
    return squares + w->set.critic_damping * trpok_dot(c->x, c->x, c->P);
}

/* Steps along the minibatch's natural gradient, by a share of the best length. */
static void kfac_step(trpo_agent *w, double share)
{
    trpo_model *c = &w->critic;
    trpo_precondition(w, c, c->x, c->grad, w->set.critic_damping);
    const double length = share * trpok_dot(c->grad, c->x, c->P) / minibatch_curvature(w);
    if (!(length > 0 && isfinite(length))) return;
    trpok_axpy(c->theta, length, c->x, c->P);
    trpo_net_pack(w->k, &c->net, c->theta);
}

/* Minibatch sizes differ by at most 1: a small last minibatch would give a step of pure noise. */
static void kfac_epoch(trpo_agent *w, int epoch)
{
    const trpo_model *c = &w->critic;
    double *mean = w->critic_scratch.kfac.mean;
    const int n_steps = 1 + (w->N - 1) / trpo_minibatch(&w->set, w->N);
    const int64_t n_all = (int64_t)n_steps * w->set.n_critic_updates, half = n_all / 2;
    trpo_shuffle(w);
    for (int i = 0; i < n_steps; i++) {
        const int first = (int)((int64_t)i * w->N / n_steps);
        trpo_minibatch_gradient(w, first, (int)((int64_t)(i + 1) * w->N / n_steps) - first);
        kfac_step(w, n_steps > 1 ? SHARE : 1);
        if ((int64_t)epoch * n_steps + i >= half)
            trpok_axpy(mean, 1.0 / (double)(n_all - half), c->theta, c->P);
    }
    w->counters[TRPO_N_CRITIC_STEPS]++;
}

/* Runs the epochs, then takes one step from their start to the mean. */
static void fit_kfac(trpo_agent *w)
{
    trpo_model *c = &w->critic;
    double *start = w->critic_scratch.kfac.start, *mean = w->critic_scratch.kfac.mean;
    memcpy(start, c->theta, (size_t)c->P * sizeof(double));
    memset(mean, 0, (size_t)c->P * sizeof(double));
    factorize(w);
    for (int i = 0; i < w->set.n_critic_updates; i++) kfac_epoch(w, i);
    for (ptrdiff_t p = 0; p < c->P; p++) c->x[p] = mean[p] - start[p];
    memcpy(c->theta, start, (size_t)c->P * sizeof(double));
    descend(w);
}

/* ---- Gauss-Newton ---------------------------------------------------------------------------- */

static void find_direction(trpo_agent *w)
{
    trpo_model *c = &w->critic;
    trpo_gradient(w, c, NULL);
    factorize(w);
    trpo_solve(w, c, w->set.critic_damping, CG_STEPS, 1);
    w->counters[TRPO_N_CRITIC_STEPS]++;
}

static void fit_gauss_newton(trpo_agent *w)
{
    for (int i = 0; i < w->set.n_critic_updates; i++) {
        find_direction(w);
        if (!descend(w)) break;
    }
}

/* ---- Adam ------------------------------------------------------------------------------------ */

/* Skips a gradient that overflowed: it would stay in the moments forever. */
static void adam_step(trpo_agent *w)
{
    const double *grad = w->critic.grad; /* of the log-likelihood: uphill */
    if (!isfinite(trpok_dot(grad, grad, w->critic.P))) return;
    const double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-5;
    double *m = w->adam_m, *v = w->adam_v, *theta = w->critic.theta;
    const double t = ++w->counters[TRPO_ADAM_T];
    const double unbias1 = 1 - trpok_pow(beta1, t), unbias2 = 1 - trpok_pow(beta2, t);
    for (ptrdiff_t i = 0; i < w->critic.P; i++) {
        m[i] = beta1 * m[i] - (1 - beta1) * grad[i];
        v[i] = beta2 * v[i] + (1 - beta2) * grad[i] * grad[i];
        theta[i] -= w->set.learning_rate * (m[i] / unbias1) / (sqrt(v[i] / unbias2) + epsilon);
    }
}

static void adam_epoch(trpo_agent *w)
{
    const int size = trpo_minibatch(&w->set, w->N);
    trpo_shuffle(w);
    for (int first = 0, n; first < w->N; first += n) {
        n = trpo_min(size, w->N - first);
        trpo_minibatch_gradient(w, first, n);
        adam_step(w);
        trpo_net_pack(w->k, &w->critic.net, w->critic.theta);
    }
    w->counters[TRPO_N_CRITIC_STEPS]++;
}

/* If the parameters overflow, restores the old ones. */
static void fit_adam(trpo_agent *w)
{
    trpo_model *c = &w->critic;
    double *start = w->critic_scratch.adam.start;
    memcpy(start, c->theta, (size_t)c->P * sizeof(double));
    for (int i = 0; i < w->set.n_critic_updates; i++) adam_epoch(w);
    if (!trpok_finite(c->theta, c->P)) memcpy(c->theta, start, (size_t)c->P * sizeof(double));
    use_parameters(w, c->theta);
}

/* ---- ridge regression ------------------------------------------------------------------------ */

static void fit_ridge(trpo_agent *w)
{
    trpo_model *c = &w->critic;
    trpo_gradient(w, c, NULL);
    trpok_axpy(c->grad, -w->set.critic_damping, c->theta, c->P);
    factorize(w);
    trpo_precondition(w, c, c->x, c->grad, w->set.critic_damping);
    if (trpok_finite(c->x, c->P)) trpok_axpy(c->theta, 1, c->x, c->P);
    use_parameters(w, c->theta);
}

/* ---- the table ------------------------------------------------------------------------------- */

/* All rows for a linear network, for which K-FAC is exact. */
static int kfac_minibatch(const trpo_settings *s, int N)
{
    const int part = N / 16;
    return s->n_value_hidden == 0 ? N : part < 64 ? 64 : part > 512 ? 512 : part;
}

static int adam_minibatch(const trpo_settings *s, int N)
{
    (void)s;
    (void)N;
    return 128;
}

static void place_gauss_newton(trpo_agent *w, trpo_arena *a) { trpo_place_solver(&w->critic, a); }

static void place_adam(trpo_agent *w, trpo_arena *a)
{
    w->critic_scratch.adam.start = TRPO_TAKE(a, double, w->critic.P);
}

static void place_kfac(trpo_agent *w, trpo_arena *a)
{
    w->critic_scratch.kfac.start = TRPO_TAKE(a, double, w->critic.P);
    w->critic_scratch.kfac.mean = TRPO_TAKE(a, double, w->critic.P);
}

/* name, features, n_features, has_factors, minibatch, place, fit */
const trpo_critic_method trpo_critics[TRPO_N_CRITICS] = {
    {"gauss_newton", NULL, 1, 1, NULL, place_gauss_newton, fit_gauss_newton},
    {"adam", NULL, 1, 0, adam_minibatch, place_adam, fit_adam},
    {"ridge", trpok_quadratic_features, 2, 1, NULL, NULL, fit_ridge},
    {"kfac", NULL, 1, 1, kfac_minibatch, place_kfac, fit_kfac},
};

void trpo_fit_critic(trpo_agent *w, trpo_info *info)
{
    info->value_loss_before = trpo_value_loss(w);
    w->critic_method->fit(w);
    info->value_loss = trpo_value_loss(w);
}
