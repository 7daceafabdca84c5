/* Preconditioned conjugate gradient (Hestenes and Stiefel 1952) for  (F + damping I) x = g.
 *
 *     x = 0,  r = g,  z = M^-1 r,  p = z
 *     q = (F + damping I) p
 *     alpha = r'z / p'q,   x += alpha p,   r -= alpha q,   z = M^-1 r
 *     p = z + (r'z new / r'z old) p
 *
 * Stops after max_steps products, when sqrt(r'z) has fallen to `tolerance` times its initial value,
 * or at a direction whose curvature p'q is not positive and finite. The final x'(F + damping I)x
 * needs no further product: it is x'(g - r). */
#include "work.h"

#include <string.h>

static void precondition(double *z, const double *r, const trpo_system *system, ptrdiff_t P)
{
    if (system->precondition != NULL)
        system->precondition(system->ctx, z, r);
    else
        memcpy(z, r, (size_t)P * sizeof *z);
}

/* x'(g - r); scratch (P) */
static double curvature(const double *x, const double *g, const double *r, double *scratch,
                        ptrdiff_t P)
{
    for (ptrdiff_t i = 0; i < P; i++) scratch[i] = g[i] - r[i];
    return trpok_dot(x, scratch, P);
}

trpo_solution trpo_conjugate_gradient(double *x, const double *g, const trpo_system *system,
                                      double *r, double *z, double *p, double *q, int max_steps,
                                      double tolerance, ptrdiff_t P)
{
    for (ptrdiff_t i = 0; i < P; i++) x[i] = 0;
    memcpy(r, g, (size_t)P * sizeof *r);
    precondition(z, r, system, P);
    memcpy(p, z, (size_t)P * sizeof *p);
    const double rz_first = trpok_dot(r, z, P);
    trpo_solution solution = {0, rz_first > 0 ? 1.0 : 0.0, 0};
    double rz = rz_first;
    while (solution.steps < max_steps) {
        system->product(system->ctx, q, p);
        const double pq = trpok_dot(p, q, P);
        if (!(pq > 0 && isfinite(pq))) break;
        const double alpha = rz / pq;
        trpok_axpy(x, alpha, p, P);
        trpok_axpy(r, -alpha, q, P);
        precondition(z, r, system, P);
        const double rz_next = trpok_dot(r, z, P);
        solution.steps++;
        solution.residual = sqrt((rz_next > 0 ? rz_next : 0) / rz_first);
        if (!(rz_next > tolerance * tolerance * rz_first)) break;
        for (ptrdiff_t i = 0; i < P; i++) p[i] = z[i] + (rz_next / rz) * p[i];
        rz = rz_next;
    }
    solution.curvature = curvature(x, g, r, q, P);
    return solution;
}

/* ---- a model's system ------------------------------------------------------------------------ */

typedef struct model_system {
    trpo_agent *agent;
    trpo_model *model;
    double damping;
} model_system;

static void damped_product(void *ctx, double *out, const double *v)
{
    const model_system *s = (const model_system *)ctx;
    trpo_fisher_product(s->agent, s->model, out, v);
    trpok_axpy(out, s->damping, v, s->model->P);
}

static void model_precondition(void *ctx, double *z, const double *r)
{
    const model_system *s = (const model_system *)ctx;
    trpo_precondition(s->agent, s->model, z, r, s->damping);
}

trpo_solution trpo_solve(trpo_agent *w, trpo_model *model, double damping, int max_steps,
                         int preconditioned)
{
    model_system own = {w, model, damping};
    const trpo_system system = {damped_product, preconditioned ? model_precondition : NULL, &own};
    return trpo_conjugate_gradient(model->x, model->grad, &system, model->r, model->z, model->p,
                                   model->q, max_steps, w->set.cg_tolerance, model->P);
}
