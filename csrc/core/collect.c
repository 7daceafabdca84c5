/* The rollout for environments in C: policy, simulators and bookkeeping in one loop.
 *
 * Environments are divided into slices. A task runs one slice through all rows (observe, act, step,
 * close the row), so a rollout forks and joins once and slices never wait for each other. V and
 * logp, which do not affect the simulators, are computed afterwards for all rows at once, in full
 * tiles.
 *
 * An environment's row depends on that environment alone, random numbers included, so neither
 * slices nor threads change the bits, and the rows equal those of trpo_act and trpo_push.
 *
 * If an environment fails, the others continue to the last row, so their state does not depend on
 * slices either. The error reported is the first in the order of act, step and push. */
#include "work.h"

#include "../memory/batch_calls.h"

#include <string.h>

typedef struct rollout_task {
    trpo_agent *w;
    trpo_envs *envs;
    const trpo_env *spec;
    trpo_env_outcome out;
    int single;           /* observations and actions are rounded to float                     */
    int slice;            /* environments per slice, at most TRPO_TILE                         */
    int end;              /* rows [w->t, end) are collected                                    */
} rollout_task;

/* ---- errors ---------------------------------------------------------------------------------- */

/* An error's position in the order of act, step, push, row after row. */
static int64_t order_of(const trpo_collect_error *m)
{
    const int part = m->status == TRPO_ERR_OBS ? 0 : m->status == TRPO_ERR_ENVIRONMENT ? 1 : 2;
    return (int64_t)m->at.step * 3 + part;
}

static int is_before(const trpo_collect_error *a, const trpo_collect_error *b)
{
    if (b->status == TRPO_OK || a->status == TRPO_OK) return a->status != TRPO_OK;
    const int64_t order_a = order_of(a), order_b = order_of(b);
    return order_a < order_b || (order_a == order_b && a->at.env < b->at.env);
}

/* Copies member by member, so that no padding bytes from the stack end up in the agent. */
static void record_error(trpo_scratch *s, const trpo_collect_error *error)
{
    trpo_collect_error *first = &s->error;
    if (!is_before(error, first)) return;
    first->status = error->status;
    first->at = error->at;
    first->failure.env = error->failure.env;
    first->failure.step = error->failure.step;
    first->failure.code = error->failure.code;
    first->failure.component = error->failure.component;
    first->failure.status = error->failure.status;
}

static void record_bad_obs(trpo_scratch *s, int status, int t, int e, int component)
{
    trpo_collect_error error = {status, {t, e, component}, {e, 0, 0, component, TRPO_ENV_OK}};
    record_error(s, &error);
}

static void record_failure(trpo_scratch *s, int t, const trpo_env_failure *failure)
{
    trpo_collect_error error = {
        TRPO_ERR_ENVIRONMENT, {t, failure->env, failure->component}, *failure};
    record_error(s, &error);
}

/* ---- conversions ----------------------------------------------------------------------------- */

static real from_env(const rollout_task *task, double x)
{
    return task->single ? (real)(float)x : (real)x;
}

/* to (count) = from, rounded; returns the first index that is then not finite, or count */
static int convert_obs(const rollout_task *task, real *to, const double *from, int count)
{
    int bad = 0, first = 0;
    for (int i = 0; i < count; i++) to[i] = from_env(task, from[i]);
    for (int i = 0; i < count; i++) bad |= !isfinite(to[i]);
    if (!bad) return count;
    while (isfinite(to[first])) first++;
    return first;
}

/* Component d of an action as sent to the environment. NaN stays NaN, and is rejected there. */
static double to_env(const rollout_task *task, real act, int d)
{
    const trpo_env *spec = task->spec;
    double x = (double)act;
    if (spec->act_low != NULL && x < spec->act_low[d]) x = spec->act_low[d];
    if (spec->act_high != NULL && x > spec->act_high[d]) x = spec->act_high[d];
    return task->single ? (double)(float)x : x;
}

/* ---- one row of one slice: environments e..e+n-1 --------------------------------------------- */

/* Computes the network inputs. Where an episode continues, a bad observation belongs to the row
 * before, where push would have found it. */
static void observe(const rollout_task *task, trpo_scratch *s, int t, int e, int n)
{
    trpo_agent *w = task->w;
    const int O = w->set.obs_size, E = w->set.n_envs;
    const ptrdiff_t row = (ptrdiff_t)t * E + e;
    real *inputs = w->policy.batch.h[0] + row * w->policy.net.size[0];
    real *given = w->set.features == TRPO_NO_FEATURES ? inputs : s->obs;
    real *raw = w->raw_obs != NULL ? w->raw_obs + row * O : given;
    const double *obs = task->out.obs + (ptrdiff_t)e * O;
    for (int i = convert_obs(task, raw, obs, n * O); i < n * O; i++) {
        if (isfinite(raw[i])) continue;
        const int begins = t == 0 || w->done[row + i / O - E];
        record_bad_obs(s, begins ? TRPO_ERR_OBS : TRPO_ERR_NEXT_OBS, t - !begins, e + i / O, i % O);
    }
    if (raw != inputs) trpo_make_inputs(w, s, inputs, raw, n);
}

/* Stores the masks of rows [row, row + n) and applies them to the policy's outputs. */
static void apply_masks(const rollout_task *task, int row, int e, int n)
{
    const trpo_model *m = &task->w->policy;
    const size_t A = (size_t)m->A;
    memcpy(m->batch.mask + (size_t)row * A, task->out.mask + (size_t)e * A, (size_t)n * A);
    trpo_mask_rows(m, m->batch.h[m->net.L] + (ptrdiff_t)row * m->A, row, n);
}

/* Draws actions, and converts them for the environments. */
static void act(const rollout_task *task, trpo_scratch *s, int t, int e, int n)
{
    trpo_agent *w = task->w;
    const trpo_model *m = &w->policy;
    const int row = t * w->set.n_envs + e, D = m->D;
    real *chosen = m->batch.act + (ptrdiff_t)row * D;
    double *sent = w->env_act + (ptrdiff_t)e * D;
    trpo_rng rng = trpo_stream(w, TRPO_STREAM_ACTION, TRPO_N_ACTS);
    rng.count += (uint64_t)(t - w->t);
    trpo_net_forward(w->k, &m->net, trpo_tile_rows(s, m, &m->batch, row), n);
    if (task->out.mask != NULL) apply_masks(task, row, e, n);
    trpo_draw_actions(w, s, chosen, m->batch.h[m->net.L] + (ptrdiff_t)row * m->A, &rng, e, n);
    for (int i = 0; i < n; i++)
        for (int d = 0; d < D; d++) *sent++ = to_env(task, *chosen++, d);
}

/* Steps the environments. One that fails does not stop the others. */
static void step(const rollout_task *task, trpo_scratch *s, int t, int e, int n)
{
    const int end = e + n;
    while (e < end) {
        trpo_env_failure failure;
        if (trpo_calls_of(task->envs)->step(task->envs, task->w->env_act, TRPO_ENV_SAME_STEP, e,
                                            end - e, &failure) == TRPO_ENV_OK)
            return;
        record_failure(s, t, &failure);
        e = failure.env + 1;
    }
}

/* An episode of environment e ended in row t: if truncated, bootstrap from its last observation. */
static void end_episode(const rollout_task *task, trpo_scratch *s, int t, int e)
{
    trpo_agent *w = task->w;
    const trpo_env_outcome *out = &task->out;
    const int O = w->set.obs_size;
    const ptrdiff_t row = (ptrdiff_t)t * w->set.n_envs + e;
    w->done[row] = 1;
    w->episode_return[row] = out->episode_return[e];
    w->episode_length[row] = out->episode_length[e];
    const int bad = convert_obs(task, s->obs, out->final_obs + (ptrdiff_t)e * O, O);
    if (bad < O) record_bad_obs(s, TRPO_ERR_NEXT_OBS, t, e, bad);
    if (out->term[e]) return;
    trpo_make_inputs(w, s, s->a, s->obs, 1);
    trpo_value_rows(w, s, w->boot + row, s->a, 1);
}

static void close_row(const rollout_task *task, trpo_scratch *s, int t, int e, int n)
{
    const trpo_env_outcome *out = &task->out;
    double *rew = task->w->rew + (ptrdiff_t)t * task->w->set.n_envs;
    for (int end = e + n; e < end; e++) {
        rew[e] = out->rew[e];
        if (out->term[e] | out->trunc[e]) end_episode(task, s, t, e);
    }
}

/* Stores the network inputs after the last row, from which running episodes are bootstrapped. */
static void store_last_inputs(const rollout_task *task, trpo_scratch *s, int e, int n)
{
    trpo_agent *w = task->w;
    const int O = w->set.obs_size, F = w->policy.net.size[0], t = task->end - 1;
    for (int end = e + n; e < end; e++) {
        const int bad = convert_obs(task, s->obs, task->out.final_obs + (ptrdiff_t)e * O, O);
        if (bad < O) record_bad_obs(s, TRPO_ERR_NEXT_OBS, t, e, bad);
        trpo_make_inputs(w, s, w->last_obs + (ptrdiff_t)e * F, s->obs, 1);
    }
}

/* ---- all rows -------------------------------------------------------------------------------- */

static void run_slice(void *arg, int index, int worker)
{
    const rollout_task *task = (const rollout_task *)arg;
    trpo_scratch *s = &task->w->scratch[worker];
    const int e = index * task->slice, n = trpo_min(task->slice, task->w->set.n_envs - e);
    for (int t = task->w->t; t < task->end; t++) {
        observe(task, s, t, e, n);
        act(task, s, t, e, n);
        step(task, s, t, e, n);
        close_row(task, s, t, e, n);
    }
    store_last_inputs(task, s, e, n);
}

/* Environments per slice, at most a tile, such that all workers get equally many slices. */
static int slice_size(int E, int n_workers)
{
    const int rounds = 1 + (E - 1) / TRPO_TILE / n_workers;
    return n_workers >= E ? 1 : 1 + (E - 1) / (rounds * n_workers);
}

/* Clears what is mostly 0 in rows [first, first + N); episodes' ends are written as they occur. */
static void clear_rows(trpo_agent *w, ptrdiff_t first, size_t N)
{
    memset(w->done + first, 0, N);
    memset(w->skip + first, 0, N);
    memset(w->boot + first, 0, N * sizeof *w->boot);
    memset(w->episode_length + first, 0, N * sizeof *w->episode_length);
    trpo_store_masks(&w->policy, NULL, (int)first, (int)N);
}

/* Runs all slices; returns the first error. */
static trpo_collect_error run_slices(rollout_task *task)
{
    trpo_agent *w = task->w;
    const int E = w->set.n_envs;
    const trpo_collect_error none = {TRPO_OK, {0, 0, 0}, {0, 0, 0, 0, TRPO_ENV_OK}};
    trpo_collect_error first = none;
    for (int i = 0; i < w->exec.n_workers; i++) w->scratch[i].error.status = TRPO_OK;
    w->exec.run(w->exec.ctx, 1 + (E - 1) / task->slice, run_slice, task);
    for (int i = 0; i < w->exec.n_workers; i++)
        if (is_before(&w->scratch[i].error, &first)) first = w->scratch[i].error;
    return first;
}

/* ---- trpo.h ---------------------------------------------------------------------------------- */

/* Whether the environments accept the policy's actions: real numbers, or the same choices. */
static int actions_match(const trpo_model *m, const trpo_env *spec)
{
    int (*const n_choices)(int) = m->dist->n_choices;
    if (spec->n_actions != m->D || (spec->choices != NULL) != (n_choices != NULL)) return 0;
    for (int d = 0; n_choices != NULL && d < m->D; d++)
        if (spec->choices[d] != n_choices(m->parts[d])) return 0;
    return 1;
}

static int envs_match(const trpo_agent *w, const trpo_envs *envs)
{
    const trpo_batch_calls *calls = trpo_calls_of(envs);
    const trpo_env *spec = calls->spec(envs);
    return spec->obs_size == w->set.obs_size && calls->count(envs) == w->set.n_envs &&
           actions_match(&w->policy, spec);
}

static int fail(trpo_agent *w, const trpo_collect_error *error, trpo_env_failure *failure)
{
    trpo_discard(w);
    w->culprit = error->at;
    if (failure != NULL) *failure = error->failure;
    return error->status;
}

int trpo_collect(trpo_agent *w, trpo_envs *envs, int n_rows, int single, trpo_env_failure *failure)
{
    const int E = w->set.n_envs, first = w->t * E, rows = trpo_min(n_rows, w->set.n_steps - w->t);
    if (w->open) return TRPO_ERR_ORDER;
    if (w->t == w->set.n_steps) return TRPO_ERR_FULL;
    if (!envs_match(w, envs)) return TRPO_ERR_SPACES;
    if (rows < 1) return TRPO_OK;
    const trpo_batch_calls *calls = trpo_calls_of(envs);
    rollout_task task = {w, envs, calls->spec(envs), calls->outcome(envs), single != 0,
                         slice_size(E, w->exec.n_workers), w->t + rows};
    if (task.out.mask != NULL && !w->policy.dist->takes_masks) return TRPO_ERR_MASK;
    clear_rows(w, first, (size_t)rows * (size_t)E);
    if (task.out.mask != NULL) trpo_start_masks(&w->policy, first);
    const trpo_collect_error error = run_slices(&task);
    if (error.status != TRPO_OK) return fail(w, &error, failure);
    trpo_evaluate_recorded(w, task.end);
    w->counters[TRPO_N_ACTS] += rows;
    w->drawn += rows;
    w->t = task.end;
    return TRPO_OK;
}

int trpo_episodes(const trpo_agent *w, trpo_episode *episodes, int first_row, int room)
{
    const int E = w->set.n_envs;
    int count = 0;
    for (int n = first_row > 0 ? trpo_min(first_row, w->t) * E : 0; n < w->t * E; n++) {
        if (w->episode_length[n] == 0) continue;
        const trpo_episode episode = {n / E, n % E, w->episode_length[n], w->episode_return[n]};
        if (count < room) episodes[count] = episode;
        count++;
    }
    return count;
}
