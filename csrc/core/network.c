/* A network on one tile of rows: forward, tangent, adjoint; and its initial parameters.
 *
 *     h_0 = x,   z_l = [h_{l-1} 1] W_l,   h_l = activation(z_l) for l < L,   output = z_L
 *
 * `h` points to the tile's h_0 ... h_L; derivatives are computed from the activations. */
#include "work.h"

void trpo_net_pack(const trpok_table *k, trpo_net *net, const double *theta)
{
    for (int l = 0; l < net->L; l++) {
        const int K = net->size[l], M = net->size[l + 1];
        real *W = net->unpacked, *W_t = W + (ptrdiff_t)(K + 1) * M;
        trpok_to_real(W, theta + net->offset[l], (ptrdiff_t)(K + 1) * M);
        trpok_transpose(W_t, W, K, M);
        k->pack(net->W + net->at[l], W, K + 1, M);
        k->pack(net->W_t + net->at_t[l], W_t, M, K);
    }
}

void trpo_net_direction(const trpok_table *k, trpo_net *net, const double *v)
{
    for (int l = 0; l < net->L; l++) {
        const int K = net->size[l], M = net->size[l + 1];
        trpok_to_real(net->unpacked, v + net->offset[l], (ptrdiff_t)(K + 1) * M);
        k->pack(net->V + net->at[l], net->unpacked, K + 1, M);
    }
}

void trpo_net_forward(const trpok_table *k, const trpo_net *net, real *const *h, int N)
{
    for (int l = 0; l < net->L; l++) {
        const int activation = l + 1 < net->L ? net->activation : TRPO_IDENTITY;
        k->dense_forward(h[l + 1], h[l], net->W + net->at[l], activation, N, net->size[l],
                         net->size[l + 1]);
    }
}

/* Forward: z_l = [h 1] W_l,           h_l = act(z_l).
 * Along V: tz_l = [h 1] V_l + th W_l, th_l = act' tz_l. */
real *trpo_net_tangent(const trpok_table *k, const trpo_net *net, real *const *h, trpo_scratch *s,
                       int N)
{
    real *th = NULL, *tz = s->a;
    for (int l = 0; l < net->L; l++) {
        k->dense_tangent(tz, th, h[l], l + 1 < net->L ? h[l + 1] : NULL, net->V + net->at[l],
                         net->W + net->at[l], net->activation, N, net->size[l], net->size[l + 1]);
        th = tz;
        tz = tz == s->a ? s->b : s->a;
    }
    return th;
}

/* Forward: z_l = [h 1] W_l, h_l = act(z_l).
 * So dW_l += [h 1]' dz_l,   dh = dz_l W_l',   dz_{l-1} = act' dh. */
void trpo_net_adjoint(const trpok_table *k, const trpo_net *net, real *sum, real *dout,
                      real *const *h, trpo_scratch *s, int N)
{
    real *dz = dout;
    for (int l = net->L - 1; l >= 0; l--) {
        k->dense_adjoint_weight(sum + net->offset[l], h[l], dz, N, net->size[l],
                                net->size[l + 1]);
        if (l == 0) break;
        real *dh = dz == s->a ? s->b : s->a;
        k->dense_adjoint_input(dh, dz, h[l], net->W_t + net->at_t[l], net->activation, N,
                               net->size[l], net->size[l + 1]);
        dz = dh;
    }
}

static void forward_tile(const trpo_pass *pass, trpo_scratch *s, real *sum, int first, int n)
{
    const trpo_model *m = pass->model;
    real **h = trpo_tile_rows(s, m, pass->batch, first);
    (void)sum;
    trpo_net_forward(pass->agent->k, &m->net, h, n);
    trpo_mask_rows(m, h[m->net.L], first, n);
}

void trpo_forward(trpo_agent *w, trpo_model *model, int first, int N)
{
    const trpo_pass pass = {w, model, &model->batch, forward_tile, first, NULL};
    trpo_mean_rows(NULL, &pass, N, 0);
}

/* Orthonormalises G's rows (count x size) by modified Gram-Schmidt: r_ii > 0, so Q is unique. */
static void orthonormalize(double *G, int count, int size)
{
    for (int i = 0; i < count; i++) {
        double *row = G + (ptrdiff_t)i * size;
        for (int j = 0; j < i; j++) {
            const double *other = G + (ptrdiff_t)j * size;
            trpok_axpy(row, -trpok_dot(row, other, size), other, size);
        }
        const double norm = sqrt(trpok_dot(row, row, size));
        for (int c = 0; c < size; c++) row[c] /= norm;
    }
}

/* G[k, m] = normal m of item k; then the vectors along the longer side are orthonormalised. */
static void init_layer(double *W, double *temp, const trpo_rng *rng, double gain, int K, int M)
{
    const int tall = K >= M, count = tall ? M : K, size = tall ? K : M;
    for (int k = 0; k < K; k++) trpo_normals(W + (ptrdiff_t)k * M, rng, (uint32_t)k, M);
    for (int k = 0; k < K; k++)
        for (int m = 0; m < M; m++)
            temp[tall ? (ptrdiff_t)m * K + k : (ptrdiff_t)k * M + m] = W[(ptrdiff_t)k * M + m];
    orthonormalize(temp, count, size);
    for (int k = 0; k < K; k++)
        for (int m = 0; m < M; m++)
            W[(ptrdiff_t)k * M + m] =
                gain * temp[tall ? (ptrdiff_t)m * K + k : (ptrdiff_t)k * M + m];
    for (int m = 0; m < M; m++) W[(ptrdiff_t)K * M + m] = 0;
}

void trpo_net_init(double *theta, double *temp, const trpo_net *net, double head_gain,
                   uint64_t seed, uint64_t first)
{
    for (int l = 0; l < net->L; l++) {
        const trpo_rng rng = {seed, TRPO_STREAM_INIT, first + (uint64_t)l};
        const double gain = l + 1 < net->L ? 1.4142135623730951 : head_gain;
        init_layer(theta + net->offset[l], temp, &rng, gain, net->size[l], net->size[l + 1]);
    }
}

/* W[k, m] = b (2 u - 1), b = 1 / sqrt(K), u = uniform m of item k; row K is the bias. */
void trpo_net_init_uniform(double *theta, const trpo_net *net, uint64_t seed, uint64_t first)
{
    for (int l = 0; l < net->L; l++) {
        const trpo_rng rng = {seed, TRPO_STREAM_INIT, first + (uint64_t)l};
        const int K = net->size[l], M = net->size[l + 1];
        const double bound = 1 / sqrt(K);
        double *W = theta + net->offset[l];
        for (int k = 0; k <= K; k++) trpo_uniforms(W + (ptrdiff_t)k * M, &rng, (uint32_t)k, M);
        for (ptrdiff_t i = 0; i < (ptrdiff_t)(K + 1) * M; i++) W[i] = bound * (2 * W[i] - 1);
    }
}
