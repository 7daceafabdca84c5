/* Means over the rows of a batch, summed in an order that depends only on the number of rows.
 *
 * Rows are divided into chunks of TRPO_CHUNK (TRPO_TILE if there are fewer than TRPO_FEW rows), and
 * chunks into at most TRPO_BLOCKS blocks of equally many. A task handles one block: it sums each
 * chunk in `real`, tile by tile, and adds the chunk to the block's partial sum in double. The
 * partial sums are then added pairwise, in a tree over block indices. Which thread ran a block, and
 * when, does not affect the bits. */
#include "work.h"

#include <string.h>

typedef struct sum_task {
    const trpo_pass *pass;
    int N;
    int chunk_rows, block_rows;
    ptrdiff_t S;
} sum_task;

static int chunk_rows(int N) { return N < TRPO_FEW ? TRPO_TILE : TRPO_CHUNK; }

static int block_rows(int N)
{
    const int n_chunks = 1 + (N - 1) / chunk_rows(N);
    return (1 + (n_chunks - 1) / TRPO_BLOCKS) * chunk_rows(N);
}

int trpo_block_count(int N) { return 1 + (N - 1) / block_rows(N); }

int trpo_max_blocks(int N)
{
    const int few = trpo_block_count(N < TRPO_FEW ? N : TRPO_FEW - 1);
    const int n_chunks = 1 + (N - 1) / TRPO_CHUNK;
    const int many = n_chunks < TRPO_BLOCKS ? n_chunks : TRPO_BLOCKS;
    return N < TRPO_FEW || few > many ? few : many;
}

real **trpo_tile_rows(trpo_scratch *s, const trpo_model *model, const trpo_batch *batch, int first)
{
    for (int l = 0; l <= model->net.L; l++)
        s->h[l] = batch->h[l] + (ptrdiff_t)first * model->net.size[l];
    return s->h;
}

static real **tile_room(trpo_scratch *s, const trpo_model *model)
{
    real *room = s->rows;
    for (int l = 0; l <= model->net.L; l++) {
        s->h[l] = room;
        room += (ptrdiff_t)s->tile * model->net.size[l];
    }
    return s->h;
}

real **trpo_tile_inputs(trpo_scratch *s, const trpo_model *model, const real *inputs)
{
    tile_room(s, model)[0] = (real *)inputs; /* read, never written */
    return s->h;
}

static void copy_rows(real *to, const real *from, const int32_t *rows, int n, int size)
{
    for (int i = 0; i < n; i++)
        memcpy(to + (ptrdiff_t)i * size, from + (ptrdiff_t)rows[i] * size,
               (size_t)size * sizeof(real));
}

real **trpo_tile_gather(trpo_scratch *s, const trpo_model *model, const trpo_batch *batch,
                        const int32_t *rows, int n)
{
    const int D = model->D;
    tile_room(s, model);
    for (int l = 0; l <= model->net.L; l++)
        copy_rows(s->h[l], batch->h[l], rows, n, model->net.size[l]);
    copy_rows(s->act, batch->act, rows, n, D);
    return s->h;
}

/* partial (S) += the sum over rows [first, end); a block's first chunk sets partial */
static void sum_chunk(const sum_task *task, trpo_scratch *s, double *partial, int is_first,
                      int first, int end)
{
    for (ptrdiff_t i = 0; i < task->S; i++) s->sum[i] = 0;
    for (int row = first; row < end; row += TRPO_TILE)
        task->pass->tile(task->pass, s, s->sum, task->pass->start + row,
                         trpo_min(TRPO_TILE, end - row));
    if (is_first)
        for (ptrdiff_t i = 0; i < task->S; i++) partial[i] = (double)s->sum[i];
    else
        for (ptrdiff_t i = 0; i < task->S; i++) partial[i] += (double)s->sum[i];
}

static void sum_block(void *arg, int index, int worker)
{
    const sum_task *task = (const sum_task *)arg;
    trpo_agent *w = task->pass->agent;
    double *partial = w->partial + index * task->S;
    const int first = index * task->block_rows;
    const int end = first + trpo_min(task->block_rows, task->N - first);
    for (int row = first; row < end; row += task->chunk_rows)
        sum_chunk(task, &w->scratch[worker], partial, row == first, row,
                  trpo_min(row + task->chunk_rows, end));
}

static void add_blocks(double *partial, int n_blocks, ptrdiff_t S)
{
    for (int width = 1; width < n_blocks; width *= 2)
        for (int b = 0; b + width < n_blocks; b += 2 * width)
            trpok_axpy(partial + b * S, 1, partial + (b + width) * S, S);
}

void trpo_mean_rows(double *out, const trpo_pass *pass, int N, ptrdiff_t S)
{
    trpo_agent *w = pass->agent;
    const int n_blocks = trpo_block_count(N);
    sum_task task = {pass, N, chunk_rows(N), block_rows(N), S};
    w->exec.run(w->exec.ctx, n_blocks, sum_block, &task);
    add_blocks(w->partial, n_blocks, S);
    for (ptrdiff_t i = 0; i < S; i++) out[i] = w->partial[i] * (1.0 / N);
}
