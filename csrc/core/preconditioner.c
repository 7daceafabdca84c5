/* The K-FAC preconditioner (Martens and Grosse 2015): per layer, F_l is about A_l (x) G_l with
 *
 *     A_l = E [h_{l-1} 1]'[h_{l-1} 1],    G_l = E dz_l' dz_l,
 *
 * dz_l the adjoint of log pi(a|s) for an action drawn from the policy, so that G is a factor of the
 * Fisher matrix rather than the empirical one. Estimated on a tenth of the Fisher rows. Applied to
 * a layer's part V of a vector:
 *
 *     hidden layers   (A + pi sqrt(damping) I)^-1 V (G + sqrt(damping)/pi I)^-1,
 *                     pi = sqrt( (tr A / (K+1)) / (tr G / M) )
 *     head (last layer) with a constant diagonal metric (Gaussian, critic): G = diag(m) exactly,
 *                     so column i of V is multiplied by (m_i A + damping I)^-1
 *     log_std         1 / (log_std_curvature + damping)
 *
 * For a linear network with such a head all rows are used, which makes this the exact inverse of
 * the damped Fisher matrix: CG converges in one step.
 *
 * Other blocks are estimates, for which `damping` is at least LEAST_DAMPING, whatever is added to
 * the Fisher matrix itself. Proved against dense blocks by tests/test_preconditioner.py. */
#include "work.h"

#include <string.h>

static int needs_draws(const trpo_model *m) { return m->net.L > 1 || !m->factors.exact_head; }

/* An estimated inverse scales a direction without curvature by 1 / damping. With less damping than
 * this, CG's few steps leave the region where the Fisher matrix predicts the KL, and the line
 * search rejects every trial. */
static const double LEAST_DAMPING = 1e-3;

/* The factors' damping; an exact block uses the system's. */
static double factor_damping(const trpo_model *m, double damping)
{
    return needs_draws(m) && damping < LEAST_DAMPING ? LEAST_DAMPING : damping;
}

/* ---- estimation ------------------------------------------------------------------------------ */

/* The tile function's argument for drawing actions. */
typedef struct draws {
    const trpo_rng *rng;
    const int32_t *rows; /* the sampled rows */
} draws;

/* s->a = d log pi(a|s) / d out for drawn actions; items are 1 + first, 2 + first, ... */
static void sampled_adjoint(const trpok_table *k, const trpo_model *m, trpo_scratch *s,
                            const trpo_rng *rng, int first, int n)
{
    const real *out = s->h[m->net.L];
    for (int i = 0; i < n; i++) s->row1[i] = 1;
    trpo_draw_noise(s->noise, m, rng, 1 + first, n);
    m->dist->sample(k, s->act, out, m->log_std, s->noise, s->work, m->parts, n, m->A, m->D);
    m->dist->adjoint(k, s->a, NULL, out, m->log_std, s->act, s->row1, s->work, m->parts, n, m->A,
                     m->D);
}

/* Propagates dz_L = s->a back through the layers, adding each dz_l' dz_l to the sum. */
static void add_adjoint_factors(const trpok_table *k, const trpo_model *m, real *sum, real **h,
                                trpo_scratch *s, int n)
{
    const trpo_net *net = &m->net;
    real *dz = s->a;
    for (int l = net->L - 1; l >= 0; l--) {
        if (m->factors.at[2 * l + 1] < m->factors.at[2 * l + 2])
            k->dense_adjoint_weight(sum + m->factors.at[2 * l + 1], dz, dz, n, net->size[l + 1],
                                    net->size[l + 1]);
        if (l == 0) break;
        real *dh = dz == s->a ? s->b : s->a;
        k->dense_adjoint_input(dh, dz, h[l], net->W_t + net->at_t[l], net->activation, n,
                               net->size[l], net->size[l + 1]);
        dz = dh;
    }
}

static void factor_tile(const trpo_pass *pass, trpo_scratch *s, real *sum, int first, int n)
{
    const trpo_model *m = pass->model;
    const trpok_table *k = pass->agent->k;
    const draws *d = (const draws *)pass->arg;
    real **h;
    if (needs_draws(m)) {
        h = trpo_tile_gather(s, m, pass->batch, d->rows + first, n);
        sampled_adjoint(k, m, s, d->rng, first, n);
        add_adjoint_factors(k, m, sum, h, s, n);
    } else {
        h = trpo_tile_rows(s, m, pass->batch, first);
    }
    for (int l = 0; l < m->net.L; l++)
        k->dense_adjoint_weight(sum + m->factors.at[2 * l], h[l], h[l], n, m->net.size[l],
                                m->net.size[l]);
}

static int choose_rows(trpo_agent *w, const trpo_model *m, const trpo_rng *rng)
{
    const int N = m->fisher.N, tenth = (N + 9) / 10;
    if (!needs_draws(m)) return N;
    const int chosen = tenth > 256 ? tenth : 256;
    trpo_permute(w->perm, rng, chosen < N ? chosen : N, N);
    return chosen < N ? chosen : N;
}

/* ---- inversion ------------------------------------------------------------------------------- */

/* Expands layer l's mean of [h 1]'h, ((K+1) x K), in place to A ((K+1) x (K+1)). */
static double *expand_A(trpo_model *m, int l)
{
    const int K = m->net.size[l], S = K + 1;
    double *A = m->factors.mean + m->factors.at[2 * l];
    for (int i = K; i >= 0; i--)
        memmove(A + (ptrdiff_t)i * S, A + (ptrdiff_t)i * K, (size_t)K * sizeof *A);
    for (int i = 0; i < K; i++) A[(ptrdiff_t)i * S + K] = A[(ptrdiff_t)K * S + i];
    A[(ptrdiff_t)K * S + K] = 1;
    return A;
}

static double mean_diagonal(const double *C, int S)
{
    double trace = 0;
    for (int i = 0; i < S; i++) trace += C[(ptrdiff_t)i * S + i];
    return trace / S;
}

/* pi: splits the damping so that both factors are damped in proportion. */
static double trace_ratio(double mean_A, double mean_G)
{
    const double pi = sqrt(mean_A / mean_G);
    return pi > 0 && isfinite(pi) ? pi : 1;
}

/* Layers with two factors: all but an exact head. */
static int factored_layers(const trpo_model *m) { return m->net.L - m->factors.exact_head; }

/* Completes the factors and the damping's splits, before tasks overwrite the factors. */
static void complete_factors(trpo_model *m)
{
    for (int l = 0; l < m->net.L; l++) {
        const double *A = expand_A(m, l), *G = m->factors.mean + m->factors.at[2 * l + 1];
        const int S = m->net.size[l] + 1, M = m->net.size[l + 1];
        if (l < factored_layers(m))
            m->factors.split[l] = trace_ratio(mean_diagonal(A, S), mean_diagonal(G, M));
    }
    if (m->factors.exact_head)
        m->dist->constant_metric(m->factors.metric, m->log_std, m->A);
}

/* Shared by the factors' tasks, which are independent of each other. */
typedef struct factor_task {
    const trpok_wide *k;
    trpo_model *m;
    double damping;
} factor_task;

/* (C + shift I)^-1 for factor C number `index`: A_1, G_1, A_2, G_2, ... */
static void invert_factor(const factor_task *task, int index)
{
    const trpo_model *m = task->m;
    const int l = index / 2, is_G = index % 2, S = m->net.size[l + is_G] + !is_G;
    const double pi = m->factors.split[l], shift = sqrt(task->damping) * (is_G ? 1 / pi : pi);
    double *C = m->factors.mean + m->factors.at[index];
    double *inverse = m->factors.inverse + m->factors.at[index];
    task->k->cholesky(C, shift, S);
    for (ptrdiff_t i = 0; i < trpo_square(S); i++) inverse[i] = i % (S + 1) == 0;
    task->k->cholesky_solve(inverse, C, S, S);
}

/* Output i of an exact head: the Cholesky factor of m_i A + damping I. */
static void factorize_output(const factor_task *task, int i)
{
    const trpo_model *m = task->m;
    const int l = m->net.L - 1, S = m->net.size[l] + 1;
    const double *A = m->factors.mean + m->factors.at[2 * l];
    double *C = m->factors.head + i * trpo_square(S);
    for (ptrdiff_t j = 0; j < trpo_square(S); j++) C[j] = m->factors.metric[i] * A[j];
    task->k->cholesky(C, task->damping, S);
}

static void run_factor(void *arg, int index, int worker)
{
    (void)worker;
    const factor_task *task = (const factor_task *)arg;
    const int n_inverses = 2 * factored_layers(task->m);
    if (index < n_inverses)
        invert_factor(task, index);
    else
        factorize_output(task, index - n_inverses);
}

void trpo_factorize(trpo_agent *w, trpo_model *m, const trpo_rng *rng, double damping)
{
    const draws d = {rng, w->perm};
    const trpo_pass pass = {w, m, &m->fisher, factor_tile, 0, &d};
    const int N = choose_rows(w, m, rng), L = m->net.L;
    factor_task task = {w->k->wide, m, factor_damping(m, damping)};
    trpo_mean_rows(m->factors.mean, &pass, N, m->factors.at[2 * L]);
    complete_factors(m);
    w->exec.run(w->exec.ctx, 2 * factored_layers(m) + (m->factors.exact_head ? m->A : 0),
                run_factor, &task);
}

/* ---- application: a task handles rows of a layer, or one output of an exact head ------------- */

enum { ROWS = 24 };

typedef struct apply_task {
    const trpok_wide *k;
    const trpo_model *m;
    double *z;
    const double *r;
} apply_task;

static int row_tasks(const trpo_model *m, int l) { return 1 + m->net.size[l] / ROWS; }

/* ROWS rows, from `first` on, of layer l's z = A^-1 r G^-1. */
static void apply_rows(const apply_task *task, int l, int first)
{
    const trpo_model *m = task->m;
    const int S = m->net.size[l] + 1, M = m->net.size[l + 1];
    const int n = S - first < ROWS ? S - first : ROWS;
    const ptrdiff_t at = m->net.offset[l], row = at + (ptrdiff_t)first * M;
    const double *inverse_A = m->factors.inverse + m->factors.at[2 * l] + (ptrdiff_t)first * S;
    const double *inverse_G = m->factors.inverse + m->factors.at[2 * l + 1];
    task->k->multiply(m->factors.temp + row, inverse_A, task->r + at, n, S, M);
    task->k->multiply(task->z + row, m->factors.temp + row, inverse_G, n, M, M);
}

/* Column i of an exact head. */
static void apply_output(const apply_task *task, int i)
{
    const trpo_model *m = task->m;
    const int S = m->net.size[m->net.L - 1] + 1, A = m->A;
    const ptrdiff_t at = m->net.offset[m->net.L - 1];
    double *column = m->factors.temp + at + (ptrdiff_t)i * S;
    for (int j = 0; j < S; j++) column[j] = task->r[at + (ptrdiff_t)j * A + i];
    trpok_solve_vector(column, m->factors.head + i * trpo_square(S), S);
    for (int j = 0; j < S; j++) task->z[at + (ptrdiff_t)j * A + i] = column[j];
}

static void run_apply(void *arg, int index, int worker)
{
    (void)worker;
    const apply_task *task = (const apply_task *)arg;
    for (int l = 0; l < factored_layers(task->m); l++) {
        const int n_tasks = row_tasks(task->m, l);
        if (index < n_tasks) {
            apply_rows(task, l, index * ROWS);
            return;
        }
        index -= n_tasks;
    }
    apply_output(task, index);
}

void trpo_precondition(const trpo_agent *w, const trpo_model *m, double *z, const double *r,
                       double damping)
{
    apply_task task = {w->k->wide, m, z, r};
    const double curvature = m->dist->log_std_curvature;
    int n_tasks = m->factors.exact_head ? m->A : 0;
    for (int l = 0; l < factored_layers(m); l++) n_tasks += row_tasks(m, l);
    w->exec.run(w->exec.ctx, n_tasks, run_apply, &task);
    for (ptrdiff_t i = m->net.offset[m->net.L]; i < m->P; i++) z[i] = r[i] / (curvature + damping);
}
