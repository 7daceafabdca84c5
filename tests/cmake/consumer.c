/* A program that uses the library as an installed one: it trains a little and prints what came out.
 *
 *     consumer [instruction set]
 *
 * With WITH_ALL, in the library's environments on its thread pool; otherwise in a simulator of its
 * own. Prints the bytes of a number, the instruction set, and a hash of the trained agent. */
#include <stdio.h>
#include <stdlib.h>

#include <trpo.h>

#ifdef WITH_ALL
#include <trpo_env.h>
#include <trpo_pool.h>
#endif

enum { N_ENVS = 4, N_STEPS = 64, UPDATES = 3, O = 2 };

static void fail(const char *what, int status)
{
    fprintf(stderr, "%s: %d\n", what, status);
    exit(1);
}

#ifdef WITH_ALL

/* CartPole, O = 4. */
static void collect(trpo_agent *agent)
{
    static trpo_envs *envs;
    const trpo_env *spec = trpo_env_named("CartPole-v1");
    if (envs == NULL) {
        const size_t bytes = trpo_envs_bytes(spec, N_ENVS);
        if (trpo_envs_init(&envs, spec, N_ENVS, 1, malloc(bytes), bytes)) fail("init", 0);
        trpo_envs_reset(envs, NULL, NULL);
    }
    const int status = trpo_collect(agent, envs, N_STEPS, 0, NULL);
    if (status) fail("collect", status);
}

#else

/* A point on a line is pushed left or right, and is paid for being near the middle. */
static void collect(trpo_agent *agent)
{
    static double place[N_ENVS] = {-1, -0.5, 0.5, 1}, speed[N_ENVS];
    trpo_real obs[N_ENVS * O], act[N_ENVS];
    double rew[N_ENVS];
    const uint8_t no[N_ENVS] = {0};
    for (int t = 0; t < N_STEPS; t++) {
        for (int e = 0; e < N_ENVS; e++) {
            obs[e * O] = (trpo_real)place[e];
            obs[e * O + 1] = (trpo_real)speed[e];
        }
        trpo_act(agent, act, NULL, NULL, obs, NULL);
        for (int e = 0; e < N_ENVS; e++) {
            speed[e] = 0.5 * speed[e] + (act[e] > 0 ? 0.125 : -0.125);
            place[e] = 0.5 * place[e] + 0.25 * speed[e];
            rew[e] = -place[e];
            obs[e * O] = (trpo_real)place[e];
            obs[e * O + 1] = (trpo_real)speed[e];
        }
        const int status = trpo_push(agent, rew, no, no, obs, NULL);
        if (status) fail("push", status);
    }
}

#endif

/* FNV-1a of the saved agent. */
static uint64_t hash(const trpo_agent *agent)
{
    const size_t bytes = trpo_save_bytes(agent);
    unsigned char *saved = (unsigned char *)malloc(bytes);
    uint64_t h = 14695981039346656037u;
    if (trpo_save(agent, saved, bytes)) fail("save", 0);
    for (size_t i = 0; i < bytes; i++) h = (h ^ saved[i]) * 1099511628211u;
    free(saved);
    return h;
}

int main(int argc, char **argv)
{
    static const int choices[] = {2}, hidden[] = {16};
    trpo_settings s;
    trpo_agent *agent;
    trpo_executor *executor = NULL;
    trpo_default_settings(&s);
    s.obs_size = O;
    s.distribution = TRPO_CATEGORICAL;
    s.parts = choices;
    s.policy_hidden = s.value_hidden = hidden;
    s.n_parts = s.n_policy_hidden = s.n_value_hidden = 1;
    s.n_envs = N_ENVS;
    s.n_steps = N_STEPS;
    s.instruction_set = argc > 1 ? argv[1] : NULL;
#ifdef WITH_ALL
    s.obs_size = 4;
    trpo_executor threads = trpo_pool_executor(trpo_pool_new(2));
    executor = &threads;
#endif
    const size_t bytes = trpo_bytes(&s, executor);
    const int status = trpo_init(&agent, &s, executor, malloc(bytes), bytes);
    if (status) fail("init", status);
    for (int i = 0; i < UPDATES; i++) {
        collect(agent);
        if (trpo_update(agent, NULL) < 0) fail("update", 0);
    }
    printf("%d %s %016llx\n", (int)sizeof(trpo_real), trpo_instruction_set(agent),
           (unsigned long long)hash(agent));
    return 0;
}
