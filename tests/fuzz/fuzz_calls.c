/* Calls of trpo.h in any order with any numbers: an error changes nothing but the culprit, and an
 * update without a step keeps the policy bit for bit. */
#include "../../csrc/core/work.h"
#include "../../csrc/include/trpo_env.h"
#include "agent.h"

typedef struct life {
    trpo_settings set;
    trpo_agent *agent;
    void *memory, *before;
    size_t bytes;
    row one;
    unsigned char *saved;
    size_t saved_bytes;
    int is_saved;
    void *envs_memory;
    trpo_envs *envs;
} life;

/* ---- before and after ------------------------------------------------------------------------ */

static void remember(life *l) { memcpy(l->before, l->memory, l->bytes); }

static void check_status(const life *l, int status)
{
    const size_t at = (size_t)((char *)&l->agent->culprit - (char *)l->memory);
    if (status >= 0) return;
    memcpy((char *)l->before + at, &l->agent->culprit, sizeof l->agent->culprit);
    MUST(memcmp(l->before, l->memory, l->bytes) == 0);
}

static const uint8_t *next_mask(const life *l, input *in)
{
    return next_of(in, 2) ? l->one.mask : NULL;
}

/* ---- the calls ------------------------------------------------------------------------------- */

static int act(life *l, input *in)
{
    const row *r = &l->one;
    const int wants = next_of(in, 4);
    return trpo_act(l->agent, r->act, wants & 1 ? r->logp : NULL, wants & 2 ? r->val : NULL, r->obs,
                    next_mask(l, in));
}

static int record(life *l, input *in)
{
    const row *r = &l->one;
    for (int i = 0; i < l->set.n_envs * l->set.n_parts; i++)
        r->act[i] = (trpo_real)(next_of(in, 8) ? next_of(in, 2) : next_double(in));
    return trpo_record(l->agent, r->logp, r->val, r->obs, r->act, next_mask(l, in));
}

static int push(life *l, input *in)
{
    const row *r = &l->one;
    return trpo_push(l->agent, r->rew, r->term, r->trunc, r->obs, next_of(in, 4) ? NULL : r->skip);
}

static int update(life *l, input *in)
{
    trpo_info info;
    const trpo_model *policy = &l->agent->policy;
    const size_t bytes = (size_t)policy->P * sizeof(double);
    double *theta = (double *)room(bytes);
    memcpy(theta, policy->theta, bytes);
    const int status = trpo_update(l->agent, next_of(in, 2) ? &info : NULL);
    if (status > 0) MUST(memcmp(theta, policy->theta, bytes) == 0);
    free(theta);
    return status;
}

static int save(life *l, input *in)
{
    const size_t bytes = l->saved_bytes - (size_t)next_of(in, 2);
    const int status = trpo_save(l->agent, l->saved, bytes);
    if (status == TRPO_OK) l->is_saved = 1;
    return status;
}

static int load(life *l, input *in)
{
    if (!l->is_saved) return TRPO_OK;
    if (next_of(in, 2)) {
        damage(in, l->saved, l->saved_bytes);
        put_checksums(l->saved, l->saved_bytes);
    }
    return trpo_load(l->agent, l->saved, l->saved_bytes);
}

static int predict(life *l, input *in)
{
    const row *r = &l->one;
    const int N = next_of(in, l->set.n_envs + 1);
    trpo_value(l->agent, r->val, r->obs, N);
    trpo_outputs(l->agent, r->out, r->obs, next_mask(l, in), N);
    remember(l); /* unchanged but for the culprit */
    return trpo_predict(l->agent, r->act, r->obs, next_mask(l, in), next_of(in, 2), N);
}

static int drop(life *l, input *in)
{
    (next_of(in, 2) ? trpo_discard : trpo_restart)(l->agent);
    return TRPO_OK;
}

static int change(life *l, input *in)
{
    if (next_of(in, 2)) return trpo_set_target_kl(l->agent, next_double(in));
    return trpo_set_learning_rate(l->agent, next_double(in));
}

static int write_field(life *l, input *in)
{
    const char *name;
    size_t count;
    double *x = trpo_state_field(l->agent, next_of(in, 16), &name, &count);
    const size_t place = next_word(in);
    if (x != NULL && next_of(in, 4) == 0) x[place % count] = next_double(in);
    trpo_refresh(l->agent);
    return TRPO_OK;
}

/* If an environment fails, the rollout is dropped and nothing else is checked. */
static int collect(life *l, input *in)
{
    trpo_env_failure failure;
    trpo_episode episodes[4];
    if (l->envs == NULL) return TRPO_OK;
    if (next_of(in, 4) == 0) trpo_envs_reset(l->envs, NULL, NULL);
    const int n_rows = next_int(in);
    const int status = trpo_collect(l->agent, l->envs, n_rows, next_of(in, 2), &failure);
    const int drops = status == TRPO_ERR_ENVIRONMENT || status == TRPO_ERR_OBS ||
                      status == TRPO_ERR_NEXT_OBS;
    MUST(!drops || trpo_recorded(l->agent) == 0);
    (void)trpo_episodes(l->agent, episodes, 0, 4);
    return drops ? TRPO_OK : status;
}

typedef int (*call)(life *l, input *in);
static const call CALLS[] = {act,  act,     act,  record, push,   push,        push,   update,
                             save, predict, load, drop,   change, write_field, collect};

/* ---- one agent ------------------------------------------------------------------------------- */

static void place_environments(life *l, input *in)
{
    const trpo_env *env = trpo_env_builtin(next_of(in, 10));
    static const int one = 1;
    if (env == NULL) return;
    l->set.obs_size = env->obs_size;
    l->set.n_parts = env->n_actions;
    l->set.distribution = env->choices != NULL ? TRPO_CATEGORICAL : TRPO_GAUSSIAN;
    l->set.parts = env->choices != NULL ? env->choices : &one;
    const size_t bytes = trpo_envs_bytes(env, l->set.n_envs);
    l->envs_memory = room(bytes);
    MUST(trpo_envs_init(&l->envs, env, l->set.n_envs, next_word(in), l->envs_memory, bytes) == 0);
}

static int begin(life *l, input *in)
{
    memset(l, 0, sizeof *l);
    l->set = small_kind(in);
    if (next_of(in, 2)) {
        double *const numbers[] = {&l->set.cg_damping, &l->set.target_kl, &l->set.critic_damping,
                                   &l->set.learning_rate, &l->set.gamma, &l->set.gae_lambda};
        for (int i = 0; i < 6; i++) *numbers[i] = fabs(next_double(in));
    }
    place_environments(l, in);
    if (trpo_bad_setting(&l->set) != NULL) return 0;
    l->bytes = trpo_bytes(&l->set, NULL);
    l->memory = born(&l->agent, &l->set);
    l->before = room(l->bytes);
    l->one = row_of(&l->set);
    l->saved_bytes = trpo_save_bytes(l->agent);
    l->saved = ROOM(unsigned char, l->saved_bytes);
    return 1;
}

static void end(const life *l)
{
    if (l->agent != NULL) row_end(&l->one);
    free(l->memory), free(l->before), free(l->saved), free(l->envs_memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { N_CALLS = sizeof CALLS / sizeof *CALLS, MOST = 60 };
    input in = {data, size};
    life l;
    if (begin(&l, &in))
        for (int i = 0; i < MOST && in.left > 0; i++) {
            const call next = CALLS[next_of(&in, N_CALLS)];
            row_fill(&l.one, &in, &l.set);
            remember(&l);
            check_status(&l, next(&l, &in));
        }
    end(&l);
    return 0;
}
