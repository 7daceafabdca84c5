/* A simulator of your own: a ball on a beam that tilts; as a shared library, to train in.
 *
 *     cc -O3 -shared -fPIC -o balance_env.so csrc/examples/balance_env.c -lm
 *     fasttrpo train ./balance_env.so        or in Python:  TRPO("MlpPolicy", "./balance_env.so")
 *
 * All that it takes: a state without pointers, `reset`, `step`, and the struct that describes them.
 * Fifty times a second the policy says how fast the beam shall tilt; it is paid 1 for a ball in the
 * middle, less towards the ends, and nothing more once the ball has rolled off. */
#include <math.h>

#include "../include/trpo_env.h"

static const double TIME_STEP = 0.02, GRAVITY = 9.8, TILT_RATE = 1, STEEPEST = 0.3;

/* Everything there is to one simulation: a copy of these bytes is a copy of the simulation. */
typedef struct beam {
    double place, speed; /* of the ball: m from the middle, m/s; the ends are at -1 and 1 */
    double tilt;         /* of the beam, rad */
} beam;

/* What the policy sees of a state. */
static int observe(const void *config, const void *state, double *obs)
{
    const beam *b = (const beam *)state;
    (void)config;
    obs[0] = b->place;
    obs[1] = b->speed;
    obs[2] = b->tilt;
    return 0; /* any other number is an error of your own, and is reported */
}

/* Begins an episode. All randomness comes from `random`, so that runs can be repeated. */
static int reset(const void *config, void *state, double *obs, trpo_env_random *random)
{
    beam *b = (beam *)state;
    b->place = trpo_env_uniform(random, -0.5, 0.5);
    b->speed = trpo_env_uniform(random, -0.5, 0.5);
    b->tilt = 0;
    return observe(config, state, obs);
}

/* One step. act is within its bounds; *term says that the task has ended (the step limit below is
 * kept by fasttrpo). */
static int step(const void *config, void *state, const double *act, double *obs, double *rew,
                uint8_t *term, trpo_env_random *random)
{
    beam *b = (beam *)state;
    (void)random; /* for simulators with noise */
    b->tilt = fmax(-STEEPEST, fmin(STEEPEST, b->tilt + TIME_STEP * TILT_RATE * act[0]));
    b->speed -= TIME_STEP * GRAVITY * (5.0 / 7.0) * sin(b->tilt); /* a ball that rolls */
    b->place += TIME_STEP * b->speed;
    *rew = 1 - b->place * b->place;
    *term = fabs(b->place) > 1;
    return observe(config, state, obs);
}

static const double ACT_LOW[] = {-1}, ACT_HIGH[] = {1};

static const trpo_env BALANCE = {
    TRPO_ENV_VERSION, sizeof(trpo_env), "Balance", sizeof(beam),
    3, NULL, NULL,              /* observations: how many, their bounds (none here)       */
    1, NULL, ACT_LOW, ACT_HIGH, /* actions: how many, no choices but numbers, their bounds */
    500,                        /* steps at which an episode is cut short                  */
    450,                        /* the mean return that counts as solved                   */
    NULL, 0, NULL,              /* nothing to configure                                    */
    reset, step, observe,
    NULL, NULL,                 /* nothing to let go of, no choices to forbid             */
};

#ifdef __cplusplus
extern "C"
#endif
#ifdef _WIN32
__declspec(dllexport)
#endif
const trpo_env *trpo_environment(void);

const trpo_env *trpo_environment(void) { return &BALANCE; }
