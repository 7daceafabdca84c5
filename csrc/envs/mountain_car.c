/* MountainCar-v0: a car too weak for the hill that it has to climb. Actions 0, 1, 2: push left, not
 * at all, right.
 *
 * Moore 1990, with Gymnasium's constants: v += 0.001 (action - 1) - 0.0025 cos 3x, then x += v, both
 * kept within their bounds; the wall on the left takes the speed away. */
#include "envs.h"

#include <math.h>

enum { O = 2 };

static const double PUSH = 0.001, SLOPE = 0.0025, GOAL = 0.5;
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
    c->speed += (act[0] - 1) * PUSH - SLOPE * cos(3 * c->x);
    c->speed = within(c->speed, -FASTEST, FASTEST);
    c->x = within(c->x + c->speed, LEFT, RIGHT);
    if (c->x == LEFT && c->speed < 0) c->speed = 0;
    *term = c->x >= GOAL && c->speed >= goal_velocity;
    *rew = -1;
    return observe(config, state, obs);
}

static const double OBS_LOW[] = {-1.2, -0.07}, OBS_HIGH[] = {0.6, 0.07};
static const int CHOICES[] = {3};

const trpo_env trpo_env_mountain_car = {
    TRPO_ENV_VERSION, sizeof(trpo_env), "MountainCar-v0", sizeof(car),
    O, OBS_LOW, OBS_HIGH,
    1, CHOICES, NULL, NULL,
    200, -110, DEFAULTS, N_OPTIONS, OPTIONS,
    reset, step, observe, NULL,
};
