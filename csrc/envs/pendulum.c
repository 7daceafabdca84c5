/* Pendulum-v1: a pendulum to swing up and balance by a torque u in [-2, 2].
 *
 * Gymnasium's constants, the angle a from upright, mass and length 1:
 *
 *     rew = -(a^2 + 0.1 a'^2 + 0.001 u^2),  a within [-pi, pi)
 *     a' += (3 g / 2 sin a + 3 u) dt,  clipped to [-8, 8];  a += a' dt */
#include "envs.h"

#include <math.h>

enum { O = 3 };

static const double PI = 3.14159265358979323846;
static const double TIME_STEP = 0.05, FASTEST = 8;

typedef struct pendulum {
    double angle, spin;
} pendulum;

enum { GRAVITY, X_INIT, Y_INIT, N_OPTIONS };
static const trpo_env_option OPTIONS[] = {{"g", 0}, {"x_init", 1}, {"y_init", 1}};
static const double DEFAULTS[] = {10, 3.14159265358979323846, 1};

static int observe(const void *config, const void *state, double *obs)
{
    const pendulum *p = (const pendulum *)state;
    (void)config;
    trpo_sincos(p->angle, &obs[1], &obs[0]);
    obs[2] = p->spin;
    return 0;
}

static int reset(const void *config, void *state, double *obs, trpo_env_random *random)
{
    const double *option = (const double *)config;
    pendulum *p = (pendulum *)state;
    p->angle = trpo_env_uniform(random, -option[X_INIT], option[X_INIT]);
    p->spin = trpo_env_uniform(random, -option[Y_INIT], option[Y_INIT]);
    return observe(config, state, obs);
}

static int step(const void *config, void *state, const double *act, double *obs, double *rew,
                uint8_t *term, trpo_env_random *random)
{
    const double g = ((const double *)config)[GRAVITY], u = act[0];
    pendulum *p = (pendulum *)state;
    const double a = p->angle - 2 * PI * floor((p->angle + PI) / (2 * PI));
    (void)random;
    *rew = -(a * a + 0.1 * (p->spin * p->spin) + 0.001 * (u * u));
    *term = 0;
    p->spin += (1.5 * g * trpo_sin(p->angle) + 3 * u) * TIME_STEP;
    p->spin = trpo_env_clamp(p->spin, -FASTEST, FASTEST);
    p->angle += p->spin * TIME_STEP;
    return observe(config, state, obs);
}

static const double OBS_LOW[] = {-1, -1, -8}, OBS_HIGH[] = {1, 1, 8};
static const double ACT_LOW[] = {-2}, ACT_HIGH[] = {2};

#if defined(_MSC_VER) && !defined(__clang__)
#define NO_THRESHOLD (INFINITY * 0.0F) /* Microsoft's NAN is not a constant in C */
#else
#define NO_THRESHOLD NAN
#endif

const trpo_env trpo_env_pendulum = {
    TRPO_ENV_VERSION, sizeof(trpo_env), "Pendulum-v1", sizeof(pendulum),
    O, OBS_LOW, OBS_HIGH,
    1, NULL, ACT_LOW, ACT_HIGH,
    200, NO_THRESHOLD, DEFAULTS, N_OPTIONS, OPTIONS,
    reset, step, observe, NULL, NULL, NULL, 0, NULL, NULL,
};
