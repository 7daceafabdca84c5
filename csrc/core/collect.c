/* The compiled rollout: policy, environments and bookkeeping without leaving C.
 *
 * Environments are dealt into slices. A task runs one slice through all rows: observe, act, step,
 * close the row; so there is one fork and join to a rollout, and no environment waits for another.
 * A row of a slice depends on nothing outside of it, random numbers included: so neither the slices
 * nor the threads can be seen in the bits, and rows are those that trpo_act and trpo_push would have
 * recorded. */
#include "work.h"

#include "../include/trpo_env.h"

typedef struct rollout_task {
    trpo_agent *w;
    trpo_envs *envs;
    const trpo_env *spec;
    trpo_env_outcome seen;
    int slice;            /* environments to a slice, at most TRPO_TILE                        */
    int end;              /* rows [w->t, end) are collected                                    */
} rollout_task;

static int least(int a, int b) { return a < b ? a : b; }

/* ---- failures -------------------------------------------------------------------------------- */

/* A worker keeps the earliest failure of its slices: which one is told does not depend on threads. */
static void note_failure(trpo_scratch *s, int t, const trpo_env_failure *failure)
{
    const int earlier = t < s->failed_at || (t == s->failed_at && failure->env < s->failure.env);
    if (s->failed_at >= 0 && !earlier) return;
    s->failed_at = t;
    s->failure = *failure;
}

static int earliest_failure(const trpo_agent *w, trpo_env_failure *failure)
{
    const trpo_scratch *first = NULL;
    for (int i = 0; i < w->exec.n_workers; i++) {
        const trpo_scratch *s = &w->scratch[i];
        if (s->failed_at < 0) continue;
        if (first == NULL || s->failed_at < first->failed_at ||
            (s->failed_at == first->failed_at && s->failure.env < first->failure.env))
            first = s;
    }
    if (first != NULL) *failure = first->failure;
    return first != NULL;
}

/* to (n x O) = from, rounded; the number of a row that is not finite in `real`, or -1 */
static int to_real_rows(real *to, const double *from, int n, int O)
{
    int bad = -1;
    for (int i = n * O - 1; i >= 0; i--) {
        to[i] = (real)from[i];
        if (!isfinite(to[i])) bad = i;
    }
    return bad;
}

/* ---- one row of one slice: environments e..e+n-1 --------------------------------------------- */

/* What they show, as the networks see it; 0 if a number is too large for `real`. */
static int observe(const rollout_task *task, trpo_scratch *s, int t, int e, int n)
{
    trpo_agent *w = task->w;
    const int O = w->set.obs_size;
    const ptrdiff_t row = (ptrdiff_t)t * w->set.n_envs + e;
    real *seen = w->policy.batch.h[0] + row * O;
    real *raw = w->raw_obs != NULL ? w->raw_obs + row * O : seen;
    const int bad = to_real_rows(raw, task->seen.obs + (ptrdiff_t)e * O, n, O);
    const trpo_env_failure failure = {e + bad / O, 0, TRPO_ENV_ERR_OBS, bad % O};
    if (bad >= 0) note_failure(s, t, &failure);
    trpo_normalize_obs(w, seen, raw, n);
    return bad < 0;
}

/* Both networks on what stands in the row; the values. */
static void forward(trpo_agent *w, trpo_scratch *s, int row, int n)
{
    const int O = w->set.obs_size, L = w->critic.net.L;
    real *phi = w->phi != NULL ? w->phi + (ptrdiff_t)row * 2 * O : NULL;
    trpo_critic_inputs(w, phi, w->policy.batch.h[0] + (ptrdiff_t)row * O, n);
    trpo_net_forward(w->k, &w->critic.net, trpo_tile_rows(s, &w->critic, &w->critic.batch, row), n);
    trpo_net_forward(w->k, &w->policy.net, trpo_tile_rows(s, &w->policy, &w->policy.batch, row), n);
    for (int i = 0; i < n; i++) w->val[row + i] = w->critic.batch.h[L][row + i];
}

static double clipped(const trpo_env *spec, double act, int d)
{
    if (spec->act_low != NULL && act < spec->act_low[d]) return spec->act_low[d];
    if (spec->act_high != NULL && act > spec->act_high[d]) return spec->act_high[d];
    return act;
}

/* Actions drawn from the policy, their log-probabilities, and what goes to the environments. */
static void act(const rollout_task *task, trpo_scratch *s, int t, int e, int n)
{
    trpo_agent *w = task->w;
    const trpo_model *m = &w->policy;
    const int row = t * w->set.n_envs + e, D = m->D;
    const real *out = m->batch.h[m->net.L] + (ptrdiff_t)row * m->A;
    real *chosen = m->batch.act + (ptrdiff_t)row * D;
    trpo_rng rng = trpo_stream(w, TRPO_STREAM_ACTION, TRPO_N_ACTS);
    rng.count += (uint64_t)(t - w->t);
    trpo_draw_noise(s->noise, m, &rng, e, n);
    m->dist->sample(w->k, chosen, out, m->log_std, s->noise, s->work, m->parts, n, m->A, D);
    m->dist->logp(w->k, w->logp + row, out, m->log_std, chosen, s->work, m->parts, n, m->A, D);
    for (int i = 0; i < n * D; i++)
        w->env_act[(ptrdiff_t)e * D + i] = clipped(task->spec, (double)chosen[i], i % D);
}

/* V of the observation with which environment e's episode was cut short. */
static real value_of_last(const rollout_task *task, trpo_scratch *s, int e)
{
    trpo_agent *w = task->w;
    const int O = w->set.obs_size;
    real value;
    to_real_rows(s->a, task->seen.final_obs + (ptrdiff_t)e * O, 1, O);
    trpo_normalize_obs(w, s->a, s->a, 1);
    trpo_value_rows(w, s, &value, s->a, 1);
    return value;
}

static void close_row(const rollout_task *task, trpo_scratch *s, int t, int e, int n)
{
    trpo_agent *w = task->w;
    const trpo_env_outcome *seen = &task->seen;
    for (int last = e + n; e < last; e++) {
        const ptrdiff_t row = (ptrdiff_t)t * w->set.n_envs + e;
        w->rew[row] = seen->rew[e];
        w->done[row] = seen->term[e] | seen->trunc[e];
        w->skip[row] = 0;
        w->boot[row] = seen->trunc[e] && !seen->term[e] ? value_of_last(task, s, e) : 0;
        w->episode_return[row] = seen->episode_return[e];
        w->episode_length[row] = (double)seen->episode_length[e];
    }
}

/* What came after the last row: an episode that goes on is valued there. */
static void keep_last(const rollout_task *task, int e, int n)
{
    trpo_agent *w = task->w;
    const int O = w->set.obs_size;
    real *last = w->last_obs + (ptrdiff_t)e * O;
    to_real_rows(last, task->seen.final_obs + (ptrdiff_t)e * O, n, O);
    trpo_normalize_obs(w, last, last, n);
}

static void run_slice(void *arg, int index, int worker)
{
    const rollout_task *task = (const rollout_task *)arg;
    trpo_agent *w = task->w;
    trpo_scratch *s = &w->scratch[worker];
    const int e = index * task->slice, n = least(task->slice, w->set.n_envs - e);
    for (int t = w->t; t < task->end; t++) {
        trpo_env_failure failure;
        if (!observe(task, s, t, e, n)) return;
        forward(w, s, t * w->set.n_envs + e, n);
        act(task, s, t, e, n);
        if (trpo_envs_step(task->envs, w->env_act, 1, e, n, &failure) != TRPO_ENV_OK) {
            note_failure(s, t, &failure);
            return;
        }
        close_row(task, s, t, e, n);
    }
    keep_last(task, e, n);
}

/* ---- trpo.h ---------------------------------------------------------------------------------- */

static int fits(const trpo_agent *w, const trpo_envs *envs)
{
    const trpo_env *spec = trpo_envs_spec(envs);
    const int categorical = spec->choices != NULL;
    if (spec->obs_size != w->set.obs_size || spec->n_actions != w->policy.D) return 0;
    if (trpo_envs_count(envs) != w->set.n_envs) return 0;
    if (categorical != (w->set.distribution == TRPO_CATEGORICAL)) return 0;
    for (int d = 0; categorical && d < w->policy.D; d++)
        if (spec->choices[d] != w->policy.parts[d]) return 0;
    return 1;
}

int trpo_collect(trpo_agent *w, trpo_envs *envs, int n_rows, trpo_env_failure *failure)
{
    const int E = w->set.n_envs, share = 1 + (E - 1) / w->exec.n_workers;
    rollout_task task = {w, envs, trpo_envs_spec(envs), trpo_envs_outcome(envs),
                         least(share, TRPO_TILE), least(n_rows, w->set.n_steps - w->t) + w->t};
    if (w->open) return TRPO_ERR_ORDER;
    if (!fits(w, envs)) return TRPO_ERR_SPACES;
    for (int i = 0; i < w->exec.n_workers; i++) w->scratch[i].failed_at = -1;
    w->exec.run(w->exec.ctx, 1 + (E - 1) / task.slice, run_slice, &task);
    if (earliest_failure(w, failure)) {
        trpo_discard(w);
        return TRPO_ERR_ENVIRONMENT;
    }
    w->counters[TRPO_N_ACTS] += task.end - w->t;
    w->drawn += task.end - w->t;
    w->t = task.end;
    return TRPO_OK;
}
