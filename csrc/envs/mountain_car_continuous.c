/* MountainCarContinuous-v0: the car of mountain_car.c with a push a in [-1, 1], paid for by a^2 / 10,
 * and 100 for the goal.
 *
 * Gymnasium's constants: v += 0.0015 a - 0.0025 cos 3x. Gymnasium keeps the state in float32; here it
 * is in float64, as everywhere. */
#include "envs.h"

#include <math.h>

enum { O = 2 };

static const double PUSH = 0.0015, SLOPE = 0.0025, GOAL = 0.45, PRIZE = 100, PRICE = 0.1;
static const double LEFT = -1.2, RIGHT = 0.6, FASTEST = 0.07;

typedef struct car {
    double x, speed;
} car;

enum { GOAL_VELOCITY, LOW, HIGH, N_OPTIONS };
static const trpo_env_option OPTIONS[] = {{"goal_velocity", 0}, {"low", 1}, {"high", 1}};
static const double DEFAULTS[] = {0, -0.6, -0.4};

static int observe(const void *config, const void *state, double *obs)
{
    const car *c = (const car *)state;
    (void)config;
    obs[0] = c->x;
    obs[1] = c->speed;
    return 0;
}

static int reset(const void *config, void *state, double *obs, trpo_env_random *random)
{
    const double *option = (const double *)config;
    car *c = (car *)state;
    c->x = trpo_env_uniform(random, option[LOW], option[HIGH]);
    c->speed = 0;
    return observe(config, state, obs);
}

static double within(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

static int step(const void *config, void *state, const double *act, double *obs, double *rew,
                uint8_t *term, trpo_env_random *random)
{
    const double goal_velocity = ((const double *)config)[GOAL_VELOCITY];
    car *c = (car *)state;
    (void)random;
    c->speed += act[0] * PUSH - SLOPE * cos(3 * c->x);
    c->speed = within(c->speed, -FASTEST, FASTEST);
    c->x = within(c->x + c->speed, LEFT, RIGHT);
    if (c->x == LEFT && c->speed < 0) c->speed = 0;
    *term = c->x >= GOAL && c->speed >= goal_velocity;
    *rew = (*term ? PRIZE : 0) - PRICE * (act[0] * act[0]);
    return observe(config, state, obs);
}

static const double OBS_LOW[] = {-1.2, -0.07}, OBS_HIGH[] = {0.6, 0.07};
static const double ACT_LOW[] = {-1}, ACT_HIGH[] = {1};

const trpo_env trpo_env_mountain_car_continuous = {
    TRPO_ENV_VERSION, sizeof(trpo_env), "MountainCarContinuous-v0", sizeof(car),
    O, OBS_LOW, OBS_HIGH,
    1, NULL, ACT_LOW, ACT_HIGH,
    999, 90, DEFAULTS, N_OPTIONS, OPTIONS,
    reset, step, observe, NULL,
};
