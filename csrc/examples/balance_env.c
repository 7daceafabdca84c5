/* How to write a simulator: a ball on a tilting beam, built as a shared library to train in.
 *
 *     cc -O3 -shared -fPIC -o balance_env.so csrc/examples/balance_env.c -lm
 *     fasttrpo train ./balance_env.so        or in Python:  TRPO("MlpPolicy", "./balance_env.so")
 *
 * It needs a state without pointers, `reset`, `step`, and the struct that describes them. Fifty
 * times a second the policy sets the beam's rate of tilt. The reward is 1 for a ball in the middle
 * and less towards the ends; the episode terminates when the ball rolls off. */
#include <math.h>

#include "../include/trpo_env.h"

static const double TIME_STEP = 0.02, GRAVITY = 9.8, TILT_RATE = 1, STEEPEST = 0.3;

/* The complete state: a copy of these bytes is a copy of the simulation. */
typedef struct beam {
    double place, speed; /* of the ball: m from the middle, m/s; the ends are at -1 and 1 */
    double tilt;         /* of the beam, rad */
} beam;

/* The policy's observation of a state. */
static int observe(const void *config, const void *state, double *obs)
{
    const beam *b = (const beam *)state;
    (void)config;
    obs[0] = b->place;
    obs[1] = b->speed;
    obs[2] = b->tilt;
    return 0; /* any other number is an error code of yours, and is reported */
}

/* Starts an episode. Draw all random numbers from `random`, so that runs are reproducible. */
static int reset(const void *config, void *state, double *obs, trpo_env_random *random)
{
    beam *b = (beam *)state;
    b->place = trpo_env_uniform(random, -0.5, 0.5);
    b->speed = trpo_env_uniform(random, -0.5, 0.5);
    b->tilt = 0;
    return observe(config, state, obs);
}

/* Takes a step. act is within its bounds; *term = TRPO_ENV_TERMINATED ends the episode.
 * fasttrpo applies the step limit below. */
static int step(const void *config, void *state, const double *act, double *obs, double *rew,
                uint8_t *term, trpo_env_random *random)
{
    beam *b = (beam *)state;
    (void)random; /* for simulators with noise */
    b->tilt = fmax(-STEEPEST, fmin(STEEPEST, b->tilt + TIME_STEP * TILT_RATE * act[0]));
    b->speed -= TIME_STEP * GRAVITY * (5.0 / 7.0) * trpo_sin(b->tilt); /* a ball that rolls */
    b->place += TIME_STEP * b->speed;
    *rew = 1 - b->place * b->place;
    *term = fabs(b->place) > 1;
    return observe(config, state, obs);
}

static const double ACT_LOW[] = {-1}, ACT_HIGH[] = {1};

static const trpo_env BALANCE = {
    TRPO_ENV_VERSION, sizeof(trpo_env), "Balance", sizeof(beam),
    3, NULL, NULL,              /* observation: size, bounds (none)                        */
    1, NULL, ACT_LOW, ACT_HIGH, /* action: size, choices (none: real numbers), bounds      */
    500,                        /* step limit, at which an episode is truncated            */
    450,                        /* mean return that counts as solved                       */
    NULL, 0, NULL,              /* config and options (none)                               */
    reset, step, observe,
    NULL, NULL,                 /* close and mask (none)                                   */
    NULL, 0, NULL, NULL,        /* open, save_bytes, save, load (the state is plain bytes) */
};

TRPO_ENV_EXPORT const trpo_env *trpo_environment(void) { return &BALANCE; }
