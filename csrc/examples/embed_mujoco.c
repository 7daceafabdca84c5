/* Training in MuJoCo through its C API: HalfCheetah, 16 simulations on all cores. The reward is
 * Gymnasium's, speed forwards - 0.1 |action|^2. Exits with 0 if the policy learns to run.
 *
 *     pip install mujoco gymnasium    (its header and library; the model)
 *     P=$(python -c "import sysconfig; print(sysconfig.get_path('purelib'))")
 *     cc -O3 -o cheetah csrc/examples/embed_mujoco.c csrc/core/[a-z]*.c csrc/envs/[a-z]*.c \
 *         csrc/kernels/[a-z]*.c csrc/executor/[a-z]*.c -I$P/mujoco/include \
 *         $P/mujoco/libmujoco.so.* -Wl,-rpath,$P/mujoco -lm -pthread
 *     ./cheetah $P/gymnasium/envs/mujoco/assets/half_cheetah.xml [updates] */
#include <mujoco/mujoco.h>
#include <stdio.h>
#include <stdlib.h>
#include "../include/trpo_env.h"
#include "../include/trpo_pool.h"

enum { E = 16, STEPS = 125, FRAMES = 5, NQ = 9, NV = 9, NU = 6, ALL = mjSTATE_INTEGRATION };
static mjData *sim(const void *s) { return *(mjData *const *)s; } /* a state is an mjData * */
static int make(const void *m, void *s) { return (*(mjData **)s = mj_makeData(m)) == NULL; }
static void drop(const void *m, void *s) { (void)m, mj_deleteData(sim(s)); }
static int save(const void *m, const void *s, void *b) { return mj_getState(m, sim(s), b, ALL), 0; }
static int load(const void *m, void *s, const void *b) { return mj_setState(m, sim(s), b, ALL), 0; }

static int observe(const void *m, const void *s, double *obs)
{
    mju_copy(obs, sim(s)->qpos + 1, NQ - 1); /* all but x */
    return (void)m, mju_copy(obs + NQ - 1, sim(s)->qvel, NV), 0;
}

static int reset(const void *m, void *s, double *obs, trpo_env_random *random)
{
    mj_resetData(m, sim(s));
    for (int i = 0; i < NQ; i++) sim(s)->qpos[i] += trpo_env_uniform(random, -0.1, 0.1);
    for (int i = 0; i < NV; i++) sim(s)->qvel[i] += trpo_env_normal(random, 0, 0.1);
    return observe(m, s, obs);
}

static int step(const void *m, void *s, const double *act, double *obs, double *rew, uint8_t *term,
                trpo_env_random *random)
{
    const double x = sim(s)->qpos[0];
    mju_copy(sim(s)->ctrl, act, NU);
    for (int i = 0; i < FRAMES; i++) mj_step(m, sim(s));
    *rew = (sim(s)->qpos[0] - x) / 0.05 - 0.1 * mju_dot(act, act, NU); /* FRAMES take 0.05 s */
    if (sim(s)->warning[mjWARN_BADQACC].number > 0) *rew = 0, *term = TRPO_ENV_TRUNCATED;
    return (void)random, observe(m, s, obs);
}

int main(int argc, char **argv)
{
    static const double low[] = {-1, -1, -1, -1, -1, -1}, high[] = {1, 1, 1, 1, 1, 1};
    static const int hidden[] = {64, 64};
    char text[200] = "usage: cheetah half_cheetah.xml [updates]";
    const mjModel *m = argc > 1 ? mj_loadXML(argv[1], NULL, text, sizeof text) : NULL;
    if (m == NULL) return puts(text), 2;
    const trpo_env env = {TRPO_ENV_VERSION, sizeof env, "Cheetah", sizeof(mjData *), NQ - 1 + NV,
                          NULL, NULL, NU, NULL, low, high, 1000, NAN, m, 0, NULL, reset, step, NULL,
                          drop, NULL, make, 8 * (size_t)mj_stateSize(m, ALL), save, load};
    trpo_settings s;
    trpo_default_settings(&s), trpo_settings_for_env(&s, &env);
    s.policy_hidden = s.value_hidden = hidden, s.n_policy_hidden = s.n_value_hidden = 2;
    s.n_envs = E, s.n_steps = STEPS, s.target_kl = 0.03, s.log_std_init = -1;
    s.normalize_observations = s.normalize_rewards = 1;
    const trpo_executor pool = trpo_pool_executor(trpo_pool_new(trpo_pool_cores()));
    const size_t bytes = trpo_bytes(&s, &pool), env_bytes = trpo_envs_bytes(&env, E);
    trpo_agent *agent;
    trpo_envs *envs;
    if (trpo_init(&agent, &s, &pool, malloc(bytes), bytes) != TRPO_OK ||
        trpo_envs_init(&envs, &env, E, 0, malloc(env_bytes), env_bytes) != TRPO_ENV_OK ||
        trpo_envs_reset(envs, NULL, NULL) != TRPO_ENV_OK) return puts("out of memory"), 2;
    double mean = 0; /* return of the episodes that ended last: all end at once, at the limit */
    for (int i = 1, n = argc > 2 ? atoi(argv[2]) : 400; i <= n; i++) {
        trpo_episode ended[E];
        trpo_collect(agent, envs, STEPS, 0, NULL); /* if it fails, there is nothing to learn from */
        const int count = trpo_episodes(agent, ended, STEPS - 1, E);
        for (int e = 0; e < count; e++) mean = (e > 0 ? mean : 0) + ended[e].total / count;
        if (count > 0) printf("%7d steps  return %7.1f\n", i * STEPS * E, mean);
        if (trpo_update(agent, NULL) < 0) return puts("failed"), 1;
    }
    return trpo_envs_close(envs), mean > 400 ? 0 : 1;
}
