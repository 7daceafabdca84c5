/* Training in Box2D, with an environment made from a C++ class: a cart that balances a pole.
 *
 *     apt install libbox2d-dev     (Box2D 2.4)
 *     c++ -O3 -o cart csrc/examples/box2d_cart.cpp csrc/core/[a-z]*.c csrc/envs/[a-z]*.c \
 *         csrc/kernels/[a-z]*.c -lbox2d -lm
 *     ./cart [seed]
 *
 * Exits with 0 if the policy keeps the pole up for a mean of 450 of 500 steps. The class can be
 * saved because its worlds forget: without warm starting and contacts, a step of Box2D depends on
 * places and speeds alone. */
#include <box2d/box2d.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <vector>

#include "../include/trpo.hpp"

/* ---- the simulator --------------------------------------------------------------------------- */

class Cart {
public:
    static constexpr const char *name = "Box2DCart";
    static constexpr int obs_size = 4, n_actions = 1, max_episode_steps = 500;
    static double act_low(int) { return -1; }
    static double act_high(int) { return 1; }

    Cart()
        : world_(b2Vec2(0, -9.8f)), cart_(box(0, 0.2f, 0.1f, 1)), pole_(box(0.5f, 0, 0.5f, 0.1f))
    {
        world_.SetWarmStarting(false);
        world_.SetAllowSleeping(false);
        b2BodyDef still;
        b2PrismaticJointDef rail;
        rail.Initialize(world_.CreateBody(&still), cart_, cart_->GetPosition(), b2Vec2(1, 0));
        world_.CreateJoint(&rail);
        b2RevoluteJointDef hinge;
        hinge.Initialize(cart_, pole_, cart_->GetPosition());
        world_.CreateJoint(&hinge);
    }

    void reset(trpo::random &random)
    {
        const float x = near_zero(random), angle = near_zero(random);
        place(cart_, b2Vec2(x, 0), 0, b2Vec2(near_zero(random), 0), 0);
        const b2Vec2 up(-0.5f * std::sin(angle), 0.5f * std::cos(angle));
        place(pole_, cart_->GetPosition() + up, angle, cart_->GetLinearVelocity(), 0);
    }

    trpo::result step(const double *act)
    {
        cart_->ApplyForceToCenter(b2Vec2(10 * static_cast<float>(act[0]), 0), true);
        world_.Step(0.02f, 8, 3);
        const bool has_fallen = std::fabs(pole_->GetAngle()) > 0.2f;
        return {1, has_fallen || std::fabs(cart_->GetPosition().x) > 2.4f};
    }

    void observe(double *obs) const
    {
        obs[0] = cart_->GetPosition().x;
        obs[1] = cart_->GetLinearVelocity().x;
        obs[2] = pole_->GetAngle();
        obs[3] = pole_->GetAngularVelocity();
    }

    static constexpr size_t save_bytes = 2 * 6 * sizeof(float);

    void save(void *bytes) const
    {
        float *to = static_cast<float *>(bytes);
        for (const b2Body *body : {cart_, pole_}) {
            const b2Vec2 at = body->GetPosition(), speed = body->GetLinearVelocity();
            const float spin = body->GetAngularVelocity();
            for (float x : {at.x, at.y, body->GetAngle(), speed.x, speed.y, spin}) *to++ = x;
        }
    }

    void load(const void *bytes)
    {
        const float *x = static_cast<const float *>(bytes);
        for (int i = 0; i < 12; i++)
            if (!std::isfinite(x[i])) throw std::runtime_error("a saved number is not finite");
        for (b2Body *body : {cart_, pole_}) {
            place(body, b2Vec2(x[0], x[1]), x[2], b2Vec2(x[3], x[4]), x[5]);
            x += 6;
        }
    }

private:
    b2Body *box(float y, float half_width, float half_height, float mass)
    {
        b2BodyDef what;
        what.type = b2_dynamicBody;
        what.position.Set(0, y);
        b2Body *body = world_.CreateBody(&what);
        b2MassData data = {mass, b2Vec2(0, 0), 0};
        data.I = mass / 3 * (half_width * half_width + half_height * half_height);
        body->SetMassData(&data); /* exactly in the middle; without a shape nothing collides */
        return body;
    }

    static void place(b2Body *body, b2Vec2 at, float angle, b2Vec2 speed, float spin)
    {
        body->SetTransform(at, angle);
        body->SetLinearVelocity(speed);
        body->SetAngularVelocity(spin);
    }

    static float near_zero(trpo::random &random)
    {
        return static_cast<float>(random.uniform(-0.05, 0.05));
    }

    b2World world_;
    b2Body *cart_, *pole_;
};

/* ---- training -------------------------------------------------------------------------------- */

static const double ENOUGH = 450; /* steps per episode */

static double mean_length(const std::vector<trpo_episode> &episodes)
{
    double total = 0;
    for (const trpo_episode &each : episodes) total += static_cast<double>(each.length);
    return episodes.empty() ? 0 : total / static_cast<double>(episodes.size());
}

/* Trains until the policy balances; returns the mean length of the last episodes. */
static double train(uint64_t seed)
{
    static const int hidden[] = {64, 64};
    trpo::environments envs = trpo::environments::of<Cart>(16, seed);
    trpo_settings settings = trpo::settings_for(envs);
    settings.policy_hidden = settings.value_hidden = hidden;
    settings.n_policy_hidden = settings.n_value_hidden = 2;
    settings.n_steps = 128;
    settings.normalize_observations = 1;
    settings.seed = seed;
    trpo::agent agent(settings);
    double length = 0;
    for (int i = 1; i <= 100 && length < ENOUGH; i++) {
        length = mean_length(agent.collect(envs));
        std::printf("%6d steps  length %5.1f\n", i * settings.n_steps * settings.n_envs, length);
        agent.update();
    }
    return length;
}

int main(int argc, char **argv)
try {
    const double length = train(argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 0);
    std::printf(length >= ENOUGH ? "learnt\n" : "not learnt\n");
    return length >= ENOUGH ? 0 : 1;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
}
