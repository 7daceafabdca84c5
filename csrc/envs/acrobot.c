/* Acrobot-v1: two links, driven only at the joint between them, must swing the free end above a
 * height. Actions 0, 1, 2: torque -1, 0, 1.
 *
 * Sutton 1996, with the equations of Sutton and Barto's book and Gymnasium's constants. Link 1
 * hangs from a fixed joint at angle a1 from straight down, link 2 from its end at angle a2 to link
 * 1; both have length, mass and moment of inertia 1, centre of mass at c = 1/2. With torque T:
 *
 *     d1 = c^2 + (1 + c^2 + 2 c cos a2) + 1 + 1
 *     d2 = c^2 + c cos a2 + 1
 *     f2 = c g cos(a1 + a2 - pi/2)
 *     f1 = -c a2'^2 sin a2 - 2 c a2' a1' sin a2 + (c + 1) g cos(a1 - pi/2) + f2
 *     a2'' = (T + d2/d1 f1 - c a1'^2 sin a2 - f2) / (c^2 + 1 - d2^2/d1)
 *     a1'' = -(d2 a2'' + f1) / d1
 *
 * by one step of the fourth-order Runge-Kutta method. The system is chaotic: for whole episodes to
 * agree with Gymnasium's, every sum is computed in the same order. */
#include "envs.h"

#include <math.h>

enum { O = 6, N = 4 };
enum { A1, A2, V1, V2 }; /* a state: the angles and their velocities */

static const double PI = 3.14159265358979323846;
static const double GRAVITY = 9.8, CENTRE = 0.5, TIME_STEP = 0.2;
static const double FASTEST_1 = 4 * 3.14159265358979323846, FASTEST_2 = 9 * 3.14159265358979323846;

enum { LOW, HIGH, N_OPTIONS };
static const trpo_env_option OPTIONS[] = {{"low", 1}, {"high", 1}};
static const double DEFAULTS[] = {-0.1, 0.1};

static int observe(const void *config, const void *state, double *obs)
{
    const double *s = (const double *)state;
    (void)config;
    trpo_sincos(s[A1], &obs[1], &obs[0]);
    trpo_sincos(s[A2], &obs[3], &obs[2]);
    obs[4] = s[V1];
    obs[5] = s[V2];
    return 0;
}

static int reset(const void *config, void *state, double *obs, trpo_env_random *random)
{
    const double *option = (const double *)config;
    double *s = (double *)state;
    for (int i = 0; i < N; i++) s[i] = trpo_env_uniform(random, option[LOW], option[HIGH]);
    return observe(config, state, obs);
}

/* The time derivative of a state. */
static void derivative(double ds[N], const double s[N], double torque)
{
    const double c = CENTRE, g = GRAVITY;
    double sin2, cos2;
    trpo_sincos(s[A2], &sin2, &cos2);
    const double d1 = c * c + (1 + c * c + 2 * c * cos2) + 1 + 1;
    const double d2 = c * c + c * cos2 + 1;
    const double f2 = c * g * trpo_cos(s[A1] + s[A2] - PI / 2);
    const double f1 = -c * (s[V2] * s[V2]) * sin2 - 2 * c * s[V2] * s[V1] * sin2 +
                      (c + 1) * g * trpo_cos(s[A1] - PI / 2) + f2;
    ds[A1] = s[V1];
    ds[A2] = s[V2];
    ds[V2] = (torque + d2 / d1 * f1 - c * (s[V1] * s[V1]) * sin2 - f2) / (c * c + 1 - d2 * d2 / d1);
    ds[V1] = -(d2 * ds[V2] + f1) / d1;
}

static void ahead(double to[N], const double s[N], double time, const double ds[N])
{
    for (int i = 0; i < N; i++) to[i] = s[i] + time * ds[i];
}

static void runge_kutta(double s[N], double torque)
{
    double k1[N], k2[N], k3[N], k4[N], at[N];
    derivative(k1, s, torque);
    ahead(at, s, TIME_STEP / 2, k1);
    derivative(k2, at, torque);
    ahead(at, s, TIME_STEP / 2, k2);
    derivative(k3, at, torque);
    ahead(at, s, TIME_STEP, k3);
    derivative(k4, at, torque);
    for (int i = 0; i < N; i++) s[i] += TIME_STEP / 6 * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]);
}

/* The angle, wrapped to [-pi, pi]. Only one that was set from outside is far from it. */
static double wrapped(double angle)
{
    while (fabs(angle) > 1000) angle -= 2 * PI * floor(angle / (2 * PI));
    while (angle > PI) angle -= 2 * PI;
    while (angle < -PI) angle += 2 * PI;
    return angle;
}

static double limited(double x, double most) { return x < -most ? -most : x > most ? most : x; }

static int step(const void *config, void *state, const double *act, double *obs, double *rew,
                uint8_t *term, trpo_env_random *random)
{
    double *s = (double *)state;
    (void)random;
    runge_kutta(s, act[0] - 1);
    s[A1] = wrapped(s[A1]);
    s[A2] = wrapped(s[A2]);
    s[V1] = limited(s[V1], FASTEST_1);
    s[V2] = limited(s[V2], FASTEST_2);
    observe(config, state, obs);
    *term = -obs[0] - trpo_cos(s[A2] + s[A1]) > 1;
    *rew = *term ? 0 : -1;
    return 0;
}

static const double OBS_HIGH[] = {1, 1, 1, 1, 4 * 3.14159265358979323846,
                                  9 * 3.14159265358979323846};
static const double OBS_LOW[] = {-1, -1, -1, -1, -4 * 3.14159265358979323846,
                                 -9 * 3.14159265358979323846};
static const int CHOICES[] = {3};

const trpo_env trpo_env_acrobot = {
    TRPO_ENV_VERSION, sizeof(trpo_env), "Acrobot-v1", N * sizeof(double),
    O, OBS_LOW, OBS_HIGH,
    1, CHOICES, NULL, NULL,
    500, -100, DEFAULTS, N_OPTIONS, OPTIONS,
    reset, step, observe, NULL, NULL, NULL, 0, NULL, NULL,
};
