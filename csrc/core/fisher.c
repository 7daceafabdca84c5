/* The Fisher-vector product, exact and matrix-free.
 *
 * The Hessian of the mean KL at the current parameters is  F = 1/N sum_n J_n' M_n J_n,  with J the
 * Jacobian of the outputs and M the distribution's Fisher metric in them. (log_std has a separate
 * block, log_std_curvature times I.) So
 *
 *     F v = 1/N sum_n J_n' ( M_n ( J_n v ) ):     tangent forward, metric, adjoint backward,
 *
 * on cached activations: no second-order terms, no first-order backward pass. A tile's tangents
 * stay in cache. Source: Schraudolph 2002, "Fast curvature matrix-vector products". Proved against
 * the dense matrix by tests/test_fisher.py. */
#include "work.h"

#include <string.h>

void trpo_fisher_rows(trpo_model *model, int k)
{
    const trpo_batch *batch = &model->batch;
    trpo_batch *fisher = &model->fisher;
    fisher->N = 1 + (batch->N - 1) / k;
    if (k == 1) return; /* fisher->h is batch->h */
    for (int l = 0; l <= model->net.L; l++) {
        const ptrdiff_t size = model->net.size[l];
        for (int n = 0; n < fisher->N; n++)
            memcpy(fisher->h[l] + n * size, batch->h[l] + (ptrdiff_t)n * k * size,
                   (size_t)size * sizeof(real));
    }
}

static void product_tile(const trpo_pass *pass, trpo_scratch *s, real *sum, int first, int n)
{
    const trpo_model *m = pass->model;
    const trpok_table *k = pass->agent->k;
    real **h = trpo_tile_rows(s, m, pass->batch, first);
    real *tout = trpo_net_tangent(k, &m->net, h, s, n);
    m->dist->metric(k, tout, tout, h[m->net.L], m->log_std, s->work, m->parts, n, m->A, m->D);
    trpo_net_adjoint(k, &m->net, sum, tout, h, s, n);
}

void trpo_fisher_product(trpo_agent *w, trpo_model *model, double *out, const double *v)
{
    const ptrdiff_t P_net = model->net.offset[model->net.L];
    const double curvature = model->dist->log_std_curvature;
    const trpo_pass pass = {w, model, &model->fisher, product_tile, 0, NULL};
    trpo_net_direction(w->k, &model->net, v);
    trpo_mean_rows(out, &pass, model->fisher.N, P_net);
    for (ptrdiff_t i = P_net; i < model->P; i++) out[i] = curvature * v[i];
}
