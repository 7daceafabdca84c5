/* Training inside a simulator in C: CartPole, solved with trpo_act, trpo_push and trpo_update.
 *
 *     cc -O3 -o embed csrc/examples/embed_cartpole.c csrc/core/[a-z]*.c csrc/kernels/[a-z]*.c \
 *         -lm
 *     ./embed [seed]
 *
 * It needs no Python and no other library. Exits with 0 if the policy balances the pole for a mean
 * of 475 of 500 steps over 100 episodes. Physics: Barto, Sutton and Anderson 1983. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../include/trpo.h"
#include "../include/trpo_math.h"

enum { N_ENVS = 8, N_STEPS = 128, STEP_LIMIT = 500, EPISODES = 100, MAX_UPDATES = 200, O = 4 };
static const double ENOUGH = 475; /* the mean episode length that counts as solved */

/* ---- the simulator --------------------------------------------------------------------------- */

typedef struct cart {
    double x, v, angle, spin;
    int steps;
} cart;

/* The simulator's random number generator (xorshift, Marsaglia 2003). */
static double uniform(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (double)(*state >> 11) / 9007199254740992.0;
}

static void reset(cart *c, uint64_t *random)
{
    double *state[] = {&c->x, &c->v, &c->angle, &c->spin};
    for (int i = 0; i < O; i++) *state[i] = 0.1 * uniform(random) - 0.05;
    c->steps = 0;
}

static void observe(const cart *c, trpo_real obs[O])
{
    obs[0] = (trpo_real)c->x;
    obs[1] = (trpo_real)c->v;
    obs[2] = (trpo_real)c->angle;
    obs[3] = (trpo_real)c->spin;
}

/* Pushes the cart right or left for 1/50 s; returns 1 if the pole falls or the cart leaves. */
static int step(cart *c, int right)
{
    const double gravity = 9.8, pole = 0.1, total = 1.1, half_length = 0.5, tau = 0.02;
    double sine, cosine;
    trpo_sincos(c->angle, &sine, &cosine);
    const double force = right ? 10 : -10, swing = pole * half_length * c->spin * c->spin * sine;
    const double pull = (force + swing) / total;
    const double spin_up = (gravity * sine - cosine * pull) /
                           (half_length * (4.0 / 3.0 - pole * cosine * cosine / total));
    const double push = pull - pole * half_length * spin_up * cosine / total;
    c->x += tau * c->v;
    c->v += tau * push;
    c->angle += tau * c->spin;
    c->spin += tau * spin_up;
    c->steps++;
    return fabs(c->x) > 2.4 || fabs(c->angle) > 12 * 3.14159265358979 / 180;
}

/* ---- training -------------------------------------------------------------------------------- */

/* Steps all carts N_STEPS times, recording the steps in the agent. */
static void collect(trpo_agent *agent, cart *carts, uint64_t *random)
{
    trpo_real obs[N_ENVS * O], act[N_ENVS];
    double rew[N_ENVS];
    uint8_t term[N_ENVS], trunc[N_ENVS];
    for (int t = 0; t < N_STEPS; t++) {
        for (int e = 0; e < N_ENVS; e++) observe(&carts[e], obs + e * O);
        trpo_act(agent, act, NULL, NULL, obs, NULL);
        for (int e = 0; e < N_ENVS; e++) {
            term[e] = (uint8_t)step(&carts[e], act[e] > 0);
            trunc[e] = carts[e].steps >= STEP_LIMIT;
            rew[e] = 1;
            observe(&carts[e], obs + e * O); /* after the step, before the reset */
        }
        trpo_push(agent, rew, term, trunc, obs, NULL);
        for (int e = 0; e < N_ENVS; e++)
            if (term[e] || trunc[e]) reset(&carts[e], random);
    }
}

static int episode_length(trpo_agent *agent, uint64_t *random)
{
    cart c;
    trpo_real obs[O], act[1];
    int lost = 0;
    reset(&c, random);
    while (!lost && c.steps < STEP_LIMIT) {
        observe(&c, obs);
        trpo_predict(agent, act, obs, NULL, 1, 1);
        lost = step(&c, act[0] > 0);
    }
    return c.steps;
}

static double mean_length(trpo_agent *agent, uint64_t *random, int episodes)
{
    double total = 0;
    for (int i = 0; i < episodes; i++) total += episode_length(agent, random);
    return total / episodes;
}

/* Trains until the policy solves the task, at most MAX_UPDATES updates; returns its mean episode
 * length, or 0 if an update fails. */
static double train(trpo_agent *agent, uint64_t *random)
{
    cart carts[N_ENVS];
    for (int e = 0; e < N_ENVS; e++) reset(&carts[e], random);
    for (int i = 1; i <= MAX_UPDATES; i++) {
        trpo_info info;
        collect(agent, carts, random);
        const int status = trpo_update(agent, &info);
        printf("%6d steps  kl %.4f  explained %5.2f  %s\n", i * N_STEPS * N_ENVS, info.kl,
               info.explained_variance, trpo_status_text(status));
        if (status < 0) return 0;
        if (mean_length(agent, random, 5) < ENOUGH) continue;
        const double length = mean_length(agent, random, EPISODES);
        if (length >= ENOUGH) return length;
    }
    return mean_length(agent, random, EPISODES);
}

static void describe(trpo_settings *s, uint64_t seed)
{
    static const int choices[] = {2}, hidden[] = {64, 64};
    trpo_default_settings(s);
    s->obs_size = O;
    s->distribution = TRPO_CATEGORICAL;
    s->parts = choices;
    s->n_parts = 1;
    s->policy_hidden = s->value_hidden = hidden;
    s->n_policy_hidden = s->n_value_hidden = 2;
    s->n_envs = N_ENVS;
    s->n_steps = N_STEPS;
    s->target_kl = 0.02;
    s->seed = seed;
}

int main(int argc, char **argv)
{
    const uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    uint64_t random = seed + 88172645463325252u;
    trpo_settings settings;
    trpo_agent *agent;
    describe(&settings, seed);
    const size_t bytes = trpo_bytes(&settings, NULL);
    void *memory = malloc(bytes);
    const int status = trpo_init(&agent, &settings, NULL, memory, bytes);
    if (status != TRPO_OK) {
        fprintf(stderr, "%s\n", trpo_status_text(status));
        return 2;
    }
    const double length = train(agent, &random);
    printf("%s: mean length %.1f over %d episodes, %.2f s, %lu bytes of memory\n",
           length >= ENOUGH ? "solved" : "not solved", length, EPISODES,
           (double)clock() / CLOCKS_PER_SEC, (unsigned long)bytes);
    free(memory);
    return length >= ENOUGH ? 0 : 1;
}
