/* Minibatches of the critic: rows in random order, copied into a contiguous batch. */
#include "work.h"

#include <string.h>

int trpo_minibatch(const trpo_settings *s, int N)
{
    const int rows = s->batch_size > 0 ? s->batch_size : trpo_critics[s->critic].minibatch(s, N);
    return trpo_min(rows, N);
}

void trpo_shuffle(trpo_agent *w)
{
    const trpo_rng rng = trpo_stream(w, TRPO_STREAM_CRITIC, TRPO_N_CRITIC_STEPS);
    trpo_permute(w->perm, &rng, w->N, w->N);
}

/* Copies a tile of rows, runs the critic on them and sums their gradient. */
static void minibatch_tile(const trpo_pass *pass, trpo_scratch *s, real *sum, int first, int n)
{
    const trpo_model *c = pass->model;
    const trpok_table *k = pass->agent->k;
    const int32_t *rows = (const int32_t *)pass->arg + first;
    const size_t K = (size_t)c->net.size[0];
    real **h = trpo_tile_rows(s, c, pass->batch, first);
    for (int i = 0; i < n; i++) {
        memcpy(h[0] + (size_t)i * K, c->batch.h[0] + (size_t)rows[i] * K, K * sizeof(real));
        pass->batch->act[first + i] = c->batch.act[rows[i]];
    }
    trpo_net_forward(k, &c->net, h, n);
    for (int i = 0; i < n; i++) s->a[i] = pass->batch->act[first + i] - h[c->net.L][i];
    trpo_net_adjoint(k, &c->net, sum, s->a, h, s, n);
}

void trpo_minibatch_gradient(trpo_agent *w, int first, int n)
{
    const trpo_pass pass = {w, &w->critic, &w->minibatch, minibatch_tile, 0, w->perm + first};
    w->minibatch.N = n;
    trpo_mean_rows(w->critic.grad, &pass, n, w->critic.P);
}
