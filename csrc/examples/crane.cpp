/* A simulator as a C++ class: a crane learns to carry its load to a place and bring it to rest.
 * As a program that trains in it:
 *
 *     c++ -std=c++11 -O3 -o crane csrc/examples/crane.cpp csrc/core/[a-z]*.c csrc/envs/[a-z]*.c \
 *         csrc/kernels/[a-z]*.c -lm
 *     ./crane
 *
 * or, without fasttrpo's sources, as a shared library for Python and the command line:
 *
 *     c++ -std=c++11 -O3 -shared -fPIC -DCRANE_LIBRARY -o crane.so csrc/examples/crane.cpp
 *     fasttrpo train ./crane.so
 *
 * The program exits with 0 if the policy has learnt. */
#include "../include/trpo.hpp"

#include <cmath>
#include <cstdio>

/* ---- the simulator --------------------------------------------------------------------------- */

class Crane {
public:
    static constexpr const char *name = "Crane";
    static constexpr int obs_size = 4, n_actions = 1, max_episode_steps = 200;
    static constexpr double reward_threshold = 180;
    static double act_low(int) { return -1; }
    static double act_high(int) { return 1; }

    void reset(trpo::random &random)
    {
        place = random.uniform(-1, 1);
        swing = random.uniform(-0.3, 0.3);
        speed = spin = 0;
    }

    /* The action is the trolley's acceleration. */
    trpo::result step(const double *act)
    {
        const double time_step = 0.05, gravity = 9.8, rope = 2, acceleration = 2 * act[0];
        double sine, cosine;
        trpo_sincos(swing, &sine, &cosine);
        spin -= time_step * (gravity * sine + acceleration * cosine) / rope;
        swing += time_step * spin;
        speed += time_step * acceleration;
        place += time_step * speed;
        const double load = place + rope * swing;
        return {1 - std::fmin(1, load * load + 0.25 * speed * speed), std::fabs(place) > 3};
    }

    void observe(double *obs) const
    {
        obs[0] = place;
        obs[1] = speed;
        obs[2] = swing;
        obs[3] = spin;
    }

private:
    double place, speed; /* of the trolley: m, m/s */
    double swing, spin;  /* of the rope: rad, rad/s */
};

TRPO_ENVIRONMENT(Crane)

/* ---- training -------------------------------------------------------------------------------- */

#ifndef CRANE_LIBRARY

static double mean_return(const std::vector<trpo_episode> &episodes)
{
    double total = 0;
    for (const trpo_episode &each : episodes) total += each.total;
    return episodes.empty() ? 0 : total / static_cast<double>(episodes.size());
}

int main()
{
    static const int hidden[] = {32, 32};
    trpo::environments envs = trpo::environments::of<Crane>(16, 1);
    trpo_settings settings = trpo::settings_for(envs);
    settings.n_steps = 200;
    settings.policy_hidden = settings.value_hidden = hidden;
    settings.n_policy_hidden = settings.n_value_hidden = 2;
    settings.target_kl = 0.02;
    trpo::agent agent(settings);
    double mean = 0;
    for (int i = 1; i <= 20; i++) {
        mean = mean_return(agent.collect(envs));
        const trpo_info info = agent.update();
        if (i % 5 == 0) std::printf("update %3d  mean return %6.1f  std %.2f\n", i, mean, info.std);
    }
    std::printf("%s: mean return %.1f\n", mean > 180 ? "learnt" : "not learnt", mean);
    return mean > 180 ? 0 : 1;
}

#endif
