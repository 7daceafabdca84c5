/* The rollout: act, record, push; and using the policy without recording.
 *
 * act or record opens a row: it runs both networks on the observations and caches their activations
 * for the update. push closes it. A call that fails leaves the rollout unchanged. collect.c is a
 * faster path for environments in C. */
#include "work.h"

#include <string.h>

/* ---- checks ---------------------------------------------------------------------------------- */

static int set_culprit(trpo_agent *w, int status, int step, ptrdiff_t at, int size)
{
    w->culprit.step = step;
    w->culprit.env = (int)(at / size);
    w->culprit.component = (int)(at % size);
    return status;
}

static ptrdiff_t not_finite(const real *x, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        if (!isfinite(x[i])) return i;
    return -1;
}

/* obs (N x size) */
static int check_rows(trpo_agent *w, const real *obs, int step, int N, int size)
{
    const ptrdiff_t at = not_finite(obs, (ptrdiff_t)N * size);
    return at < 0 ? TRPO_OK : set_culprit(w, TRPO_ERR_OBS, step, at, size);
}

static int check_obs(trpo_agent *w, const real *obs, int step, int N)
{
    return check_rows(w, obs, step, N, w->set.obs_size);
}

static int check_act(trpo_agent *w, const real *act, int step, int N)
{
    const trpo_model *m = &w->policy;
    for (int n = 0; n < N; n++) {
        const int d = m->dist->illegal(act + (ptrdiff_t)n * m->D, m->parts, m->D);
        if (d >= 0) return set_culprit(w, TRPO_ERR_ACT, step, (ptrdiff_t)n * m->D + d, m->D);
    }
    return TRPO_OK;
}

static int check_mask(trpo_agent *w, const uint8_t *mask, const real *act, int step, int N)
{
    const ptrdiff_t at = mask != NULL ? trpo_bad_mask(&w->policy, mask, act, N) : -1;
    return at < 0 ? TRPO_OK : set_culprit(w, TRPO_ERR_MASK, step, at, w->policy.D);
}

static int check_open(const trpo_agent *w)
{
    if (w->open) return TRPO_ERR_ORDER;
    return w->t < w->set.n_steps ? TRPO_OK : TRPO_ERR_FULL;
}

static int check_push(trpo_agent *w, const double *rew, const real *next_obs, const uint8_t *skip)
{
    const int O = w->set.obs_size;
    if (!w->open) return TRPO_ERR_ORDER;
    for (int e = 0; e < w->set.n_envs; e++) {
        if (skip != NULL && skip[e]) continue;
        if (!isfinite(rew[e])) return set_culprit(w, TRPO_ERR_REW, w->t, e, 1);
        const ptrdiff_t at = not_finite(next_obs + (ptrdiff_t)e * O, O);
        if (at >= 0) return set_culprit(w, TRPO_ERR_NEXT_OBS, w->t, (ptrdiff_t)e * O + at, O);
    }
    return TRPO_OK;
}

/* ---- both networks on batch rows ------------------------------------------------------------- */

/* V and logp of rows [first, first + n) */
static void evaluate_tile(const trpo_pass *pass, trpo_scratch *s, real *sum, int first, int n)
{
    trpo_agent *w = pass->agent;
    const trpo_model *m = &w->policy;
    const int F = m->net.size[0];
    real **h = trpo_tile_rows(s, &w->critic, &w->critic.batch, first);
    (void)sum;
    trpo_critic_inputs(w, h[0], m->batch.h[0] + (ptrdiff_t)first * F, n);
    trpo_net_forward(w->k, &w->critic.net, h, n);
    memcpy(w->val + first, h[w->critic.net.L], (size_t)n * sizeof(real));
    m->dist->logp(w->k, w->logp + first, m->batch.h[m->net.L] + (ptrdiff_t)first * m->A, m->log_std,
                  m->batch.act + (ptrdiff_t)first * m->D, s->work, m->parts, n, m->A, m->D);
}

void trpo_evaluate_rows(trpo_agent *w, int first, int N)
{
    const trpo_pass pass = {w, &w->policy, &w->policy.batch, evaluate_tile, first, NULL};
    trpo_mean_rows(NULL, &pass, N, 0);
}

/* ---- opening a row --------------------------------------------------------------------------- */

/* Network inputs of a tile of row t, and the policy's masked outputs. */
static void open_tile(const trpo_pass *pass, trpo_scratch *s, real *sum, int first, int n)
{
    trpo_agent *w = pass->agent;
    const trpo_model *m = pass->model;
    const real *obs = (const real *)pass->arg + (ptrdiff_t)(first - pass->start) * w->set.obs_size;
    real **h = trpo_tile_rows(s, m, &m->batch, first);
    (void)sum;
    trpo_make_inputs(w, s, h[0], obs, n);
    trpo_net_forward(w->k, &m->net, h, n);
    trpo_mask_rows(m, h[m->net.L], first, n);
}

static void open_row(trpo_agent *w, const real *obs, const uint8_t *mask)
{
    const int E = w->set.n_envs, O = w->set.obs_size, first = w->t * E;
    const trpo_pass pass = {w, &w->policy, &w->policy.batch, open_tile, first, obs};
    if (w->raw_obs != NULL)
        memcpy(w->raw_obs + (ptrdiff_t)first * O, obs, (size_t)E * (size_t)O * sizeof(real));
    trpo_store_masks(&w->policy, mask, first, E);
    trpo_mean_rows(NULL, &pass, E, 0);
    w->open = 1;
}

static void copy_out(real *to, const real *from, ptrdiff_t count)
{
    if (to != NULL) memcpy(to, from, (size_t)count * sizeof(real));
}

void trpo_evaluate_recorded(trpo_agent *w, int rows)
{
    const int E = w->set.n_envs, first = w->evaluated * E;
    if (rows > w->evaluated) trpo_evaluate_rows(w, first, rows * E - first);
    w->evaluated = rows;
}

/* Copies values and log-probabilities to the caller. Computing them can wait for more rows, since
 * many take less time together. */
static void finish_row(trpo_agent *w, real *logp, real *val)
{
    const int E = w->set.n_envs, first = w->t * E;
    if (logp == NULL && val == NULL) return;
    trpo_evaluate_recorded(w, w->t + 1);
    copy_out(logp, w->logp + first, E);
    copy_out(val, w->val + first, E);
}

void trpo_draw_actions(trpo_agent *w, trpo_scratch *s, real *act, const real *out,
                       const trpo_rng *rng, int first, int N)
{
    const trpo_model *m = &w->policy;
    for (int row = 0; row < N; row += s->tile) {
        const int n = trpo_min(s->tile, N - row);
        trpo_draw_noise(s->noise, m, rng, first + row, n);
        m->dist->sample(w->k, act + (ptrdiff_t)row * m->D, out + (ptrdiff_t)row * m->A, m->log_std,
                        s->noise, s->work, m->parts, n, m->A, m->D);
    }
}

int trpo_act(trpo_agent *w, real *act, real *logp, real *val, const real *obs, const uint8_t *mask)
{
    const int E = w->set.n_envs, first = w->t * E;
    const trpo_model *m = &w->policy;
    int status = check_open(w);
    if (status == TRPO_OK) status = check_obs(w, obs, w->t, E);
    if (status == TRPO_OK) status = check_mask(w, mask, NULL, w->t, E);
    if (status != TRPO_OK) return status;
    const trpo_rng rng = trpo_stream(w, TRPO_STREAM_ACTION, TRPO_N_ACTS);
    real *row_act = m->batch.act + (ptrdiff_t)first * m->D;
    open_row(w, obs, mask);
    trpo_draw_actions(w, w->scratch, row_act, m->batch.h[m->net.L] + (ptrdiff_t)first * m->A, &rng,
                      0, E);
    w->counters[TRPO_N_ACTS]++;
    w->drawn++;
    finish_row(w, logp, val);
    copy_out(act, row_act, (ptrdiff_t)E * m->D);
    return TRPO_OK;
}

int trpo_record(trpo_agent *w, real *logp, real *val, const real *obs, const real *act,
                const uint8_t *mask)
{
    const int E = w->set.n_envs, D = w->policy.D;
    int status = check_open(w);
    if (status == TRPO_OK) status = check_obs(w, obs, w->t, E);
    if (status == TRPO_OK) status = check_act(w, act, w->t, E);
    if (status == TRPO_OK) status = check_mask(w, mask, act, w->t, E);
    if (status != TRPO_OK) return status;
    copy_out(w->policy.batch.act + (ptrdiff_t)w->t * E * D, act, (ptrdiff_t)E * D);
    open_row(w, obs, mask);
    finish_row(w, logp, val);
    return TRPO_OK;
}

/* ---- closing it ------------------------------------------------------------------------------ */

/* boot = V(next_obs) of row n, which was truncated; last_obs holds that observation's inputs */
static void bootstrap(trpo_agent *w, int n)
{
    const real *inputs = w->last_obs + (ptrdiff_t)(n % w->set.n_envs) * w->policy.net.size[0];
    trpo_value_rows(w, w->scratch, w->boot + n, inputs, 1);
}

static void close_environment(trpo_agent *w, int e, double rew, int term, int trunc,
                              const real *next_obs)
{
    const int n = w->t * w->set.n_envs + e;
    w->rew[n] = rew;
    w->done[n] = (uint8_t)(term || trunc);
    w->skip[n] = 0;
    w->boot[n] = 0;
    w->episode_length[n] = 0;
    trpo_make_inputs(w, w->scratch, w->last_obs + (ptrdiff_t)e * w->policy.net.size[0], next_obs,
                     1);
    if (trunc && !term) bootstrap(w, n);
}

/* A skipped row: nothing carries into it or out of it. An episode still running before it counts as
 * truncated there. */
static void close_skipped(trpo_agent *w, int e)
{
    const int F = w->policy.net.size[0], E = w->set.n_envs, n = w->t * E + e;
    if (w->t > 0 && !w->done[n - E]) {
        bootstrap(w, n - E);
        w->done[n - E] = 1;
    }
    w->rew[n] = 0;
    w->done[n] = 1;
    w->skip[n] = 1;
    w->boot[n] = 0;
    w->episode_length[n] = 0;
    for (int i = 0; i < F; i++) w->last_obs[(ptrdiff_t)e * F + i] = 0;
}

int trpo_push(trpo_agent *w, const double *rew, const uint8_t *term, const uint8_t *trunc,
              const real *next_obs, const uint8_t *skip)
{
    const int status = check_push(w, rew, next_obs, skip);
    if (status != TRPO_OK) return status;
    for (int e = 0; e < w->set.n_envs; e++) {
        if (skip != NULL && skip[e])
            close_skipped(w, e);
        else
            close_environment(w, e, rew[e], term[e], trunc[e],
                              next_obs + (ptrdiff_t)e * w->set.obs_size);
    }
    w->t++;
    w->open = 0;
    return TRPO_OK;
}

void trpo_discard(trpo_agent *w)
{
    w->counters[TRPO_N_ACTS] -= w->drawn;
    w->t = w->open = w->drawn = w->evaluated = 0;
}

void trpo_restart(trpo_agent *w)
{
    trpo_discard(w);
    for (int e = 0; e < w->set.n_envs; e++) w->rew_running[e] = 0;
}

int trpo_recorded(const trpo_agent *w) { return w->t; }

void trpo_get_culprit(const trpo_agent *w, trpo_culprit *culprit) { *culprit = w->culprit; }

/* ---- using the policy and the critic, recording nothing -------------------------------------- */

/* A model's outputs for a tile of inputs. */
static real *tile_outputs(trpo_agent *w, trpo_scratch *s, const trpo_model *m, const real *inputs,
                          int n)
{
    real **h = trpo_tile_inputs(s, m, inputs);
    trpo_net_forward(w->k, &m->net, h, n);
    return h[m->net.L];
}

void trpo_value_rows(trpo_agent *w, trpo_scratch *s, real *val, const real *obs, int N)
{
    for (int row = 0; row < N; row += s->tile) {
        const int n = trpo_min(s->tile, N - row);
        const real *inputs =
            trpo_critic_inputs(w, s->rows, obs + (ptrdiff_t)row * w->policy.net.size[0], n);
        copy_out(val + row, tile_outputs(w, s, &w->critic, inputs, n), n);
    }
}

int trpo_value(trpo_agent *w, real *val, const real *obs, int N)
{
    const int O = w->set.obs_size, status = check_obs(w, obs, -1, N);
    for (int row = 0, n; status == TRPO_OK && row < N; row += n) {
        n = trpo_min(w->scratch->tile, N - row);
        trpo_make_inputs(w, w->scratch, w->tile_obs, obs + (ptrdiff_t)row * O, n);
        trpo_value_rows(w, w->scratch, val + row, w->tile_obs, n);
    }
    return status;
}

int trpo_outputs(trpo_agent *w, real *out, const real *obs, const uint8_t *mask, int N)
{
    const trpo_model *m = &w->policy;
    const int O = w->set.obs_size;
    int status = check_obs(w, obs, -1, N);
    if (status == TRPO_OK) status = check_mask(w, mask, NULL, -1, N);
    for (int row = 0, n; status == TRPO_OK && row < N; row += n) {
        n = trpo_min(w->scratch->tile, N - row);
        real *row_out = out + (ptrdiff_t)row * m->A;
        trpo_make_inputs(w, w->scratch, w->tile_obs, obs + (ptrdiff_t)row * O, n);
        copy_out(row_out, tile_outputs(w, w->scratch, m, w->tile_obs, n), (ptrdiff_t)n * m->A);
        if (mask != NULL) trpo_mask_outputs(m, row_out, mask + (ptrdiff_t)row * m->A, n);
    }
    return status;
}

int trpo_predict(trpo_agent *w, real *act, const real *obs, const uint8_t *mask, int deterministic,
                 int N)
{
    const trpo_model *m = &w->policy;
    const int O = w->set.obs_size;
    int status = check_obs(w, obs, -1, N);
    if (status == TRPO_OK) status = check_mask(w, mask, NULL, -1, N);
    const trpo_rng rng = trpo_stream(w, TRPO_STREAM_PREDICT, TRPO_N_PREDICTS);
    for (int row = 0, n; status == TRPO_OK && row < N; row += n) {
        n = trpo_min(w->scratch->tile, N - row);
        real *row_act = act + (ptrdiff_t)row * m->D;
        trpo_make_inputs(w, w->scratch, w->tile_obs, obs + (ptrdiff_t)row * O, n);
        real *out = tile_outputs(w, w->scratch, m, w->tile_obs, n);
        if (mask != NULL) trpo_mask_outputs(m, out, mask + (ptrdiff_t)row * m->A, n);
        if (deterministic)
            m->dist->mode(row_act, out, m->log_std, m->parts, n, m->A, m->D);
        else
            trpo_draw_actions(w, w->scratch, row_act, out, &rng, row, n);
    }
    if (status == TRPO_OK && !deterministic) w->counters[TRPO_N_PREDICTS]++;
    return status;
}

/* ---- a batch set by the caller --------------------------------------------------------------- */

int trpo_load_batch(trpo_agent *w, const real *obs, const real *act, const double *adv,
                    const double *ret, const real *logp, const uint8_t *mask, int N)
{
    const int F = w->policy.net.size[0];
    int status = N < 1 ? TRPO_ERR_EMPTY : N > w->set.n_steps * w->set.n_envs ? TRPO_ERR_FULL : 0;
    if (status == TRPO_OK) status = check_rows(w, obs, -1, N, F);
    if (status == TRPO_OK) status = check_act(w, act, -1, N);
    if (status == TRPO_OK) status = check_mask(w, mask, act, -1, N);
    if (status != TRPO_OK) return status;
    trpo_discard(w);
    w->N = w->policy.batch.N = w->critic.batch.N = N;
    memcpy(w->policy.batch.h[0], obs, (size_t)N * (size_t)F * sizeof(real));
    memcpy(w->policy.batch.act, act, (size_t)N * (size_t)w->policy.D * sizeof(real));
    memcpy(w->adv, adv, (size_t)N * sizeof *adv);
    memcpy(w->ret, ret, (size_t)N * sizeof *ret);
    trpok_to_real(w->adv_real, adv, N);
    trpok_to_real(w->ret_real, ret, N);
    trpo_store_masks(&w->policy, mask, 0, N);
    trpo_forward(w, &w->policy, 0, N);
    trpo_evaluate_rows(w, 0, N);
    if (logp != NULL) copy_out(w->logp, logp, N);
    return TRPO_OK;
}
