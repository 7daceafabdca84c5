/* MountainCar-v0: an underpowered car must climb a hill. Actions 0, 1, 2: push left, none, right.
 * MountainCarContinuous-v0: a push a in [-1, 1], at a cost of a^2 / 10, and 100 for the goal.
 *
 * Moore 1990, with Gymnasium's constants: v += 0.001 (action - 1) - 0.0025 cos 3x, or for the
 * continuous one v += 0.0015 a - 0.0025 cos 3x, then x += v, both clipped to their bounds; the wall
 * on the left stops the car. Gymnasium stores the continuous one's state in float32, this file in
 * float64. */
#include "envs.h"

#include <math.h>

enum { O = 2 };

static const double SLOPE = 0.0025, PUSH = 0.001, GOAL = 0.5;
static const double CONTINUOUS_PUSH = 0.0015, CONTINUOUS_GOAL = 0.45, PRIZE = 100, PRICE = 0.1;
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

/* Pushes the car for one step; returns 1 if it is at the goal and fast enough. */
static uint8_t drive(const void *config, car *c, double push, double goal)
{
    c->speed += push - SLOPE * trpo_cos(3 * c->x);
    c->speed = trpo_env_clamp(c->speed, -FASTEST, FASTEST);
    c->x = trpo_env_clamp(c->x + c->speed, LEFT, RIGHT);
    if (c->x == LEFT && c->speed < 0) c->speed = 0;
    return c->x >= goal && c->speed >= ((const double *)config)[GOAL_VELOCITY];
}

static int step(const void *config, void *state, const double *act, double *obs, double *rew,
                uint8_t *term, trpo_env_random *random)
{
    (void)random;
    *term = drive(config, (car *)state, (act[0] - 1) * PUSH, GOAL);
    *rew = -1;
    return observe(config, state, obs);
}

static int continuous_step(const void *config, void *state, const double *act, double *obs,
                           double *rew, uint8_t *term, trpo_env_random *random)
{
    (void)random;
    *term = drive(config, (car *)state, act[0] * CONTINUOUS_PUSH, CONTINUOUS_GOAL);
    *rew = (*term ? PRIZE : 0) - PRICE * (act[0] * act[0]);
    return observe(config, state, obs);
}

static const double OBS_LOW[] = {-1.2, -0.07}, OBS_HIGH[] = {0.6, 0.07};
static const int CHOICES[] = {3};
static const double ACT_LOW[] = {-1}, ACT_HIGH[] = {1};

const trpo_env trpo_env_mountain_car = {
    TRPO_ENV_VERSION, sizeof(trpo_env), "MountainCar-v0", sizeof(car),
    O, OBS_LOW, OBS_HIGH,
    1, CHOICES, NULL, NULL,
    200, -110, DEFAULTS, N_OPTIONS, OPTIONS,
    reset, step, observe, NULL, NULL, NULL, 0, NULL, NULL,
};

const trpo_env trpo_env_mountain_car_continuous = {
    TRPO_ENV_VERSION, sizeof(trpo_env), "MountainCarContinuous-v0", sizeof(car),
    O, OBS_LOW, OBS_HIGH,
    1, NULL, ACT_LOW, ACT_HIGH,
    999, 90, DEFAULTS, N_OPTIONS, OPTIONS,
    reset, continuous_step, observe, NULL, NULL, NULL, 0, NULL, NULL,
};
