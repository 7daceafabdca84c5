/* CartPole-v1: a pole on a cart, balanced by pushing the cart left (0) or right (1).
 *
 * Barto, Sutton and Anderson 1983, with Gymnasium's constants. With x the cart's position, a the
 * pole's angle, F the force, m the pole's mass, M the total mass and l half the pole's length:
 *
 *     p   = (F + m l a'^2 sin a) / M
 *     a'' = (g sin a - p cos a) / (l (4/3 - m cos^2 a / M))
 *     x'' = p - m l a'' cos a / M
 *
 * by Euler's method: positions move by the old speeds. A balanced pole is unstable, and errors grow
 * by e^4 per second. For long episodes to agree with Gymnasium's (tests/test_classic_envs.py),
 * every operation is the same as Gymnasium's, divisions too; only sine and cosine are our own. */
#include "envs.h"

#include <math.h>

enum { O = 4 };

static const double GRAVITY = 9.8, POLE_MASS = 0.1, TOTAL_MASS = 1.1, HALF_LENGTH = 0.5;
static const double POLE_MOMENT = 0.05; /* m l */
static const double FORCE = 10, TIME_STEP = 0.02;
static const double FAR = 2.4, TILTED = 0.20943951023931953; /* 12 degrees */

typedef struct cart {
    double x, speed, angle, spin;
} cart;

enum { SUTTON_BARTO_REWARD, LOW, HIGH, N_OPTIONS };
static const trpo_env_option OPTIONS[] = {{"sutton_barto_reward", 0}, {"low", 1}, {"high", 1}};
static const double DEFAULTS[] = {0, -0.05, 0.05};

static int observe(const void *config, const void *state, double *obs)
{
    const cart *c = (const cart *)state;
    (void)config;
    obs[0] = c->x;
    obs[1] = c->speed;
    obs[2] = c->angle;
    obs[3] = c->spin;
    return 0;
}

static int reset(const void *config, void *state, double *obs, trpo_env_random *random)
{
    const double *option = (const double *)config;
    cart *c = (cart *)state;
    double *const values[O] = {&c->x, &c->speed, &c->angle, &c->spin};
    for (int i = 0; i < O; i++) *values[i] = trpo_env_uniform(random, option[LOW], option[HIGH]);
    return observe(config, state, obs);
}

static int step(const void *config, void *state, const double *act, double *obs, double *rew,
                uint8_t *term, trpo_env_random *random)
{
    const cart c = *(const cart *)state;
    const double force = act[0] > 0 ? FORCE : -FORCE;
    double sine, cosine;
    trpo_sincos(c.angle, &sine, &cosine);
    const double p = (force + POLE_MOMENT * (c.spin * c.spin) * sine) / TOTAL_MASS;
    const double spin_up = (GRAVITY * sine - cosine * p) /
                           (HALF_LENGTH * (4.0 / 3.0 - POLE_MASS * (cosine * cosine) / TOTAL_MASS));
    const double speed_up = p - POLE_MOMENT * spin_up * cosine / TOTAL_MASS;
    const cart next = {c.x + TIME_STEP * c.speed, c.speed + TIME_STEP * speed_up,
                       c.angle + TIME_STEP * c.spin, c.spin + TIME_STEP * spin_up};
    (void)random;
    *(cart *)state = next;
    *term = fabs(next.x) > FAR || fabs(next.angle) > TILTED;
    *rew = ((const double *)config)[SUTTON_BARTO_REWARD] != 0 ? -(double)*term : 1;
    return observe(config, &next, obs);
}

static const double OBS_HIGH[] = {2 * 2.4, INFINITY, 2 * 0.20943951023931953, INFINITY};
static const double OBS_LOW[] = {-2 * 2.4, -INFINITY, -2 * 0.20943951023931953, -INFINITY};
static const int CHOICES[] = {2};

const trpo_env trpo_env_cartpole = {
    TRPO_ENV_VERSION, sizeof(trpo_env), "CartPole-v1", sizeof(cart),
    O, OBS_LOW, OBS_HIGH,
    1, CHOICES, NULL, NULL,
    500, 475, DEFAULTS, N_OPTIONS, OPTIONS,
    reset, step, observe, NULL, NULL, NULL, 0, NULL, NULL,
};
