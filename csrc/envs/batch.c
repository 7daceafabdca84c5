/* A batch of environments: memory, episodes, outcomes. */
#include "envs.h"

#include <math.h>
#include <string.h>

/* ---- memory: one list of arrays, run once to count bytes and once to place them -------------- */

enum { STATE_ALIGNMENT = 16 };

/* Bytes of a mask; 0 if the environment has none. */
static ptrdiff_t mask_size(const trpo_env *env)
{
    ptrdiff_t A = 0;
    for (int d = 0; trpo_env_has_mask(env) && d < env->n_actions; d++)
        A = trpo_plus(A, env->choices[d]);
    return A;
}

static void place_outcome(trpo_env_outcome *out, trpo_arena *a, int E, int O, ptrdiff_t A)
{
    out->obs = TRPO_TAKE(a, double, trpo_times(E, O));
    out->final_obs = TRPO_TAKE(a, double, trpo_times(E, O));
    out->rew = TRPO_TAKE(a, double, E);
    out->term = TRPO_TAKE(a, uint8_t, E);
    out->trunc = TRPO_TAKE(a, uint8_t, E);
    out->episode_return = TRPO_TAKE(a, double, E);
    out->episode_length = TRPO_TAKE(a, int64_t, E);
    out->mask = A > 0 ? TRPO_TAKE(a, uint8_t, trpo_times(E, A)) : NULL;
}

/* Bytes of a state being saved or loaded by the environment's functions, else as given. */
static ptrdiff_t spare_size(const trpo_env *env, ptrdiff_t given)
{
    return trpo_env_has_save(env) ? (ptrdiff_t)env->save_bytes : given;
}

/* The arrays that are saved are contiguous. */
static trpo_arena place(trpo_envs *w, char *base, const trpo_env *env, int E)
{
    trpo_arena a = {base, (ptrdiff_t)sizeof *w};
    const ptrdiff_t A = mask_size(env);
    const ptrdiff_t stride = trpo_round_up((ptrdiff_t)env->state_bytes, STATE_ALIGNMENT);
    const ptrdiff_t begin = trpo_round_up(a.used, TRPO_ALIGNMENT);
    w->env = env;
    w->E = E;
    w->A = (size_t)A;
    w->stride = (size_t)stride;
    w->saved = w->state = TRPO_TAKE(&a, char, trpo_times(E, stride));
    w->random = TRPO_TAKE(&a, trpo_env_random, E);
    place_outcome(&w->out, &a, E, env->obs_size, A);
    w->phase = TRPO_TAKE(&a, uint8_t, E);
    w->saved_bytes = (size_t)(a.used - begin);
    w->act = TRPO_TAKE(&a, double, trpo_times(E, env->n_actions));
    w->spare_state = TRPO_TAKE(&a, char, spare_size(env, A > 0 ? stride : 0));
    w->spare_mask = TRPO_TAKE(&a, uint8_t, A);
    w->failure = TRPO_TAKE(&a, trpo_env_failure, 1);
    return a;
}

size_t trpo_envs_bytes(const trpo_env *env, int n_envs)
{
    trpo_envs counted;
    if (trpo_env_bad_field(env) != NULL || n_envs < 1) return 0;
    const trpo_arena a = place(&counted, NULL, env, n_envs);
    return trpo_arena_bytes(&a);
}

static const trpo_batch_calls calls = {trpo_envs_count, trpo_envs_spec, trpo_envs_outcome,
                                       trpo_envs_step};

int trpo_envs_init(trpo_envs **envs, const trpo_env *env, int n_envs, uint64_t seed, void *mem,
                   size_t bytes)
{
    if (trpo_env_bad_field(env) != NULL)
        return trpo_env_is_readable(env) ? TRPO_ENV_ERR_SPEC : TRPO_ENV_ERR_VERSION;
    if (!trpo_is_strict()) return TRPO_ENV_ERR_BUILD;
    const size_t needed = trpo_envs_bytes(env, n_envs);
    if (mem == NULL || needed == 0 || bytes < needed) return TRPO_ENV_ERR_MEMORY;
    memset(mem, 0, needed);
    *envs = (trpo_envs *)(void *)trpo_align(mem);
    (*envs)->calls = &calls;
    place(*envs, (char *)*envs, env, n_envs);
    trpo_envs_seed(*envs, seed);
    return TRPO_ENV_OK;
}

void trpo_envs_close_one(trpo_envs *w, int e)
{
    void *state = trpo_envs_state(w, e);
    if (w->phase[e] != TRPO_ENV_NEW && w->env->close != NULL)
        w->env->close(w->env->config, state);
    w->phase[e] = TRPO_ENV_NEW;
    memset(state, 0, w->stride);
}

void trpo_envs_close(trpo_envs *w)
{
    for (int e = 0; e < w->E; e++) trpo_envs_close_one(w, e);
}

/* ---- access ---------------------------------------------------------------------------------- */

int trpo_envs_count(const trpo_envs *w) { return w->E; }

const trpo_env *trpo_envs_spec(const trpo_envs *w) { return w->env; }

trpo_env_outcome trpo_envs_outcome(trpo_envs *w) { return w->out; }

void *trpo_envs_state(trpo_envs *w, int e) { return w->state + (size_t)e * w->stride; }

trpo_env_random *trpo_envs_random(trpo_envs *w, int e) { return &w->random[e]; }

void trpo_envs_seed(trpo_envs *w, uint64_t seed)
{
    for (int e = 0; e < w->E; e++) {
        const trpo_env_random random = {seed, 0, (uint32_t)e, 0};
        w->random[e] = random;
    }
}

static double *row(double *array, int e, int width) { return array + (size_t)e * (size_t)width; }

/* ---- failures -------------------------------------------------------------------------------- */

/* Fills in the failure; returns the status. If the environment itself failed, ends its episode; it
 * stays open. */
static int fail(trpo_envs *w, int e, int status, int64_t step, int code, int component,
                trpo_env_failure *failure)
{
    const trpo_env_failure what = {e, step, code, component, status};
    const int is_own = status != TRPO_ENV_ERR_ACT && status != TRPO_ENV_ERR_ORDER;
    if (is_own) w->phase[e] = TRPO_ENV_BROKEN;
    if (failure != NULL) *failure = what;
    return status;
}

/* Copies an observation (O); returns the first component that is not finite, O if all are. Copies
 * one by one, as they were just written: wider loads would stall on those stores. */
static int copy_finite(double *to, const double *obs, int O)
{
    for (int i = 0; i < O; i++) {
        if (!isfinite(obs[i])) return i;
        to[i] = obs[i];
    }
    return O;
}

/* ---- masks ----------------------------------------------------------------------------------- */

/* The bytes of a valid component, combined by "or", give 1. */
int trpo_env_bad_component(const trpo_env *env, const uint8_t *mask)
{
    for (int d = 0; d < env->n_actions; d++) {
        int together = 0;
        for (int k = 0; k < env->choices[d]; k++) together |= *mask++;
        if (together != 1) return d;
    }
    return env->n_actions;
}

/* Calls the environment's `mask` on its state after `step` steps. */
static int update_mask(trpo_envs *w, int e, int64_t step, trpo_env_failure *failure)
{
    const trpo_env *env = w->env;
    uint8_t *mask = w->out.mask + (size_t)e * w->A;
    memset(mask, 0, w->A);
    const int code = env->mask(env->config, trpo_envs_state(w, e), mask);
    if (code != 0) return fail(w, e, TRPO_ENV_ERR_MASK, step, code, 0, failure);
    const int component = trpo_env_bad_component(env, mask);
    if (component == env->n_actions) return TRPO_ENV_OK;
    return fail(w, e, TRPO_ENV_ERR_MASK, step, 0, component, failure);
}

/* Allows all choices, for an episode that has ended: the next action has no effect. */
static void allow_all(trpo_envs *w, int e)
{
    if (w->A > 0) memset(w->out.mask + (size_t)e * w->A, 1, w->A);
}

/* ---- starting an episode --------------------------------------------------------------------- */

/* Starts an episode after the environment's reset or observe, which returned `code`. */
static int start_episode(trpo_envs *w, int e, int code, trpo_env_failure *failure)
{
    const int O = w->env->obs_size;
    const double *obs = row(w->out.obs, e, O);
    if (code != 0) return fail(w, e, TRPO_ENV_ERR_FAILED, 0, code, 0, failure);
    if (w->random[e].contracted) return fail(w, e, TRPO_ENV_ERR_BUILD, 0, 0, 0, failure);
    for (int i = 0; i < O; i++)
        if (!isfinite(obs[i])) return fail(w, e, TRPO_ENV_ERR_OBS, 0, 0, i, failure);
    w->phase[e] = TRPO_ENV_RUNNING;
    return w->A > 0 ? update_mask(w, e, 0, failure) : TRPO_ENV_OK;
}

int trpo_envs_open(trpo_envs *w, int e, trpo_env_failure *failure)
{
    const trpo_env *env = w->env;
    if (w->phase[e] != TRPO_ENV_NEW) return TRPO_ENV_OK;
    const int code = trpo_env_has_open(env) ? env->open(env->config, trpo_envs_state(w, e)) : 0;
    w->phase[e] = TRPO_ENV_BROKEN;
    if (code == 0) return TRPO_ENV_OK;
    const int status = fail(w, e, TRPO_ENV_ERR_OPEN, 0, code, 0, failure);
    memset(trpo_envs_state(w, e), 0, w->stride);
    w->phase[e] = TRPO_ENV_NEW;
    return status;
}

static int reset(trpo_envs *w, int e, trpo_env_failure *failure)
{
    const trpo_env *env = w->env;
    double *obs = row(w->out.obs, e, env->obs_size);
    const int status = trpo_envs_open(w, e, failure);
    if (status != TRPO_ENV_OK) return status;
    const int code = env->reset(env->config, trpo_envs_state(w, e), obs, &w->random[e]);
    return start_episode(w, e, code, failure);
}

/* The outcome before the first step. */
static void clear_outcome(trpo_envs *w, int e)
{
    const int O = w->env->obs_size;
    memcpy(row(w->out.final_obs, e, O), row(w->out.obs, e, O), (size_t)O * sizeof(double));
    w->out.rew[e] = w->out.episode_return[e] = 0;
    w->out.episode_length[e] = 0;
    w->out.term[e] = w->out.trunc[e] = 0;
}

static int restart(trpo_envs *w, int e, trpo_env_failure *failure)
{
    const int status = reset(w, e, failure);
    clear_outcome(w, e);
    return status;
}

int trpo_envs_reset(trpo_envs *w, const uint8_t *mask, trpo_env_failure *failure)
{
    for (int e = 0; e < w->E; e++) {
        const int status = mask == NULL || mask[e] ? restart(w, e, failure) : TRPO_ENV_OK;
        if (status != TRPO_ENV_OK) return status;
    }
    return TRPO_ENV_OK;
}

int trpo_envs_observe(trpo_envs *w, int e, trpo_env_failure *failure)
{
    const trpo_env *env = w->env;
    if (env->observe == NULL) return TRPO_ENV_ERR_NONE;
    if (trpo_env_has_open(env) && w->phase[e] == TRPO_ENV_NEW)
        return fail(w, e, TRPO_ENV_ERR_ORDER, 0, 0, 0, failure);
    double *obs = row(w->out.obs, e, env->obs_size);
    const int code = env->observe(env->config, trpo_envs_state(w, e), obs);
    const int status = start_episode(w, e, code, failure);
    clear_outcome(w, e);
    return status;
}

/* ---- a step ---------------------------------------------------------------------------------- */

/* The first component of act that is not a valid action; D if all are. */
static int bad_action(const trpo_env *env, const double *act)
{
    for (int d = 0; d < env->n_actions; d++) {
        const int is_number = isfinite(act[d]);
        const int is_one = env->choices == NULL ||
                           (act[d] >= 0 && act[d] < env->choices[d] && act[d] == (int)act[d]);
        if (!is_number || !is_one) return d;
    }
    return env->n_actions;
}

/* The action (D), clipped to the environment's bounds. */
static const double *clip_action(trpo_envs *w, int e, const double *act)
{
    const trpo_env *env = w->env;
    double *own = row(w->act, e, env->n_actions);
    if (env->choices != NULL || env->act_low == NULL) return act;
    for (int d = 0; d < env->n_actions; d++)
        own[d] = trpo_env_clamp(act[d], env->act_low[d], env->act_high[d]);
    return own;
}

/* Records a successful step, and starts the next episode if one has ended with SAME_STEP. `end` is
 * that of trpo_env_end. */
static int record_step(trpo_envs *w, int e, double rew, int end, int autoreset,
                       trpo_env_failure *failure)
{
    const trpo_env_outcome *out = &w->out;
    const int64_t length = out->episode_length[e] + 1;
    const int is_last = w->env->max_episode_steps > 0 && length >= w->env->max_episode_steps;
    const int term = end == TRPO_ENV_TERMINATED, trunc = end == TRPO_ENV_TRUNCATED || is_last;
    out->rew[e] = rew;
    out->episode_return[e] += rew;
    out->episode_length[e] = length;
    out->term[e] = (uint8_t)term;
    out->trunc[e] = (uint8_t)trunc;
    if (!(term | trunc)) return w->A > 0 ? update_mask(w, e, length, failure) : TRPO_ENV_OK;
    w->phase[e] = TRPO_ENV_ENDED;
    allow_all(w, e);
    return autoreset == TRPO_ENV_SAME_STEP ? reset(w, e, failure) : TRPO_ENV_OK;
}

static int step(trpo_envs *w, int e, const double *act, int autoreset, trpo_env_failure *failure)
{
    const trpo_env *env = w->env;
    const int O = env->obs_size;
    double *obs = row(w->out.obs, e, O), rew = NAN;
    uint8_t term = 0;
    if (w->out.term[e] | w->out.trunc[e]) {
        w->out.episode_return[e] = 0;
        w->out.episode_length[e] = 0;
    }
    const int64_t number = w->out.episode_length[e] + 1;
    const int code = env->step(env->config, trpo_envs_state(w, e), clip_action(w, e, act), obs,
                               &rew, &term, &w->random[e]);
    if (code != 0) return fail(w, e, TRPO_ENV_ERR_FAILED, number, code, 0, failure);
    if (w->random[e].contracted) return fail(w, e, TRPO_ENV_ERR_BUILD, number, 0, 0, failure);
    const int component = copy_finite(row(w->out.final_obs, e, O), obs, O);
    if (component < O) return fail(w, e, TRPO_ENV_ERR_OBS, number, 0, component, failure);
    if (!isfinite(rew)) return fail(w, e, TRPO_ENV_ERR_REW, number, 0, 0, failure);
    return record_step(w, e, rew, trpo_env_end(env, term), autoreset, failure);
}

/* Steps one environment, or resets it in place of a step. */
static int step_or_reset(trpo_envs *w, int e, const double *act, int autoreset,
                         trpo_env_failure *failure)
{
    const int64_t number = w->out.episode_length[e] + 1;
    if (w->phase[e] == TRPO_ENV_ENDED && autoreset == TRPO_ENV_NEXT_STEP)
        return restart(w, e, failure);
    if (w->phase[e] != TRPO_ENV_RUNNING)
        return fail(w, e, TRPO_ENV_ERR_ORDER, 0, 0, 0, failure);
    const int component = bad_action(w->env, act);
    if (component < w->env->n_actions)
        return fail(w, e, TRPO_ENV_ERR_ACT, number, 0, component, failure);
    return step(w, e, act, autoreset, failure);
}

int trpo_envs_step(trpo_envs *w, const double *act, int autoreset, int first, int n,
                   trpo_env_failure *failure)
{
    const size_t D = (size_t)w->env->n_actions;
    for (int e = first; e < first + n; e++) {
        const int status = step_or_reset(w, e, act + (size_t)e * D, autoreset, failure);
        if (status != TRPO_ENV_OK) return status;
    }
    return TRPO_ENV_OK;
}
