/* Environments from C++ classes (C++11, header-only): trpo_env.h's struct, made from a class.
 *
 *     struct Ball {
 *         static constexpr const char *name = "Ball";
 *         static constexpr int obs_size = 2, n_actions = 1;
 *         static double act_low(int) { return -1; }
 *         static double act_high(int) { return 1; }
 *
 *         void reset(trpo::random &random) { place = random.uniform(-1, 1); speed = 0; }
 *         trpo::result step(const double *act) { ...; return {reward, terminated}; }
 *         void observe(double *obs) const { obs[0] = place; obs[1] = speed; }
 *
 *         double place, speed;
 *     };
 *     TRPO_ENVIRONMENT(Ball)     in a shared library, for Python and the command line
 *     trpo::environment<Ball>()  in a program: the const trpo_env *, for trpo_envs_init
 *
 * Members are detected at compile time; a missing or wrong one is an error that says how to declare
 * it. Each environment has an object in its memory, which is default-constructed before the first
 * reset and destroyed when the environments are closed. The class must not be final.
 *
 *   required  name, obs_size, n_actions           constants, or static functions without arguments
 *             reset(random) or reset()            starts an episode
 *             step(act, random) or step(act)      act (D); returns trpo::result
 *             observe(obs) const                  obs (O) out; called after reset and step too
 *   optional  max_episode_steps, reward_threshold constants, or static functions
 *             choices(d), act_low(d), act_high(d), obs_low(i), obs_high(i)
 *                                                 static functions of a component's index
 *             mask(mask) const                    mask (A), all 0 on entry, to 1 what is allowed
 *             n_options, option(i)                a constant; static: trpo::option number i
 *             set_options(values)                 values (n_options); called before each reset
 *             close()                             called before the destructor
 *             save_bytes, save(bytes) const, load(bytes)
 *                                                 a constant; all that the future depends on, out
 *                                                 and in. load must not trust the bytes
 *
 * Errors: a function that fails throws, or returns an int other than 0 (step: as result.error). An
 * exception becomes the code trpo::threw, and its text is kept until the environment's next reset:
 * trpo::error_text<Ball>(envs, failure.env). The other environments are unaffected. If a static
 * function throws, trpo::environment does too, and a shared library offers no environment.
 *
 * Saving: objects of a trivially copyable class (numbers, arrays; no pointers) are saved as their
 * bytes. Others, and those with `close`, can be saved if there are save and load. */
#ifndef TRPO_ENV_HPP
#define TRPO_ENV_HPP

#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

#include "trpo_env.h"
#include "trpo_env_class.hpp"
#include "trpo_env_object.hpp"

namespace trpo {

/* The environment's random numbers: trpo_env_uniform and trpo_env_normal. */
class random {
public:
    explicit random(trpo_env_random *stream) : stream_(stream) {}
    double uniform(double low = 0, double high = 1)
    {
        return trpo_env_uniform(stream_, low, high);
    }
    double normal(double mean = 0, double std = 1) { return trpo_env_normal(stream_, mean, std); }
    trpo_env_random *stream() const { return stream_; }

private:
    trpo_env_random *stream_;
};

/* How a step ended the episode. */
constexpr int terminated = TRPO_ENV_TERMINATED, truncated = TRPO_ENV_TRUNCATED;

/* What a step did. */
struct result {
    /* not explicit, for: return {reward, terminated}; */
    result(double reward_, int ended_ = 0, int error_ = 0)
        : reward(reward_), ended(ended_), error(error_)
    {
    }
    double reward;
    int ended; /* 0, trpo::terminated (or true), or trpo::truncated */
    int error; /* 0, or a code of your own: the step failed */
};

/* A number that the user may set: trpo_env_option and its default. */
struct option {
    const char *name;
    double initial;
    bool of_reset; /* only reset reads it, so it may differ from reset to reset */
};

namespace detail TRPO_ENV_HIDDEN {

/* The code of a function of the class that returns nothing, or a code. */
template <class F> int code_of(F call, std::true_type)
{
    call();
    return 0;
}
template <class F> int code_of(F call, std::false_type)
{
    static_assert(std::is_same<decltype(call()), int>::value,
                  "trpo::environment: the class's functions return nothing, or an int");
    return call();
}
template <class F> int code_of(F call) { return code_of(call, std::is_void<decltype(call())>()); }

template <class S> void set_options(S &, const void *, std::false_type) {}
template <class S> void set_options(S &s, const void *config, std::true_type)
{
    s.set_options(static_cast<const double *>(config));
}

template <class S> void call_close(S &, std::false_type) {}
template <class S> void call_close(S &s, std::true_type) { s.close(); }

/* ---- the struct's functions ------------------------------------------------------------------ */

template <class S> int reset(const void *config, void *state, double *obs, trpo_env_random *stream)
{
    slot<S> &own = slot<S>::at(state);
    std::memset(own.error, 0, sizeof own.error);
    return own.guard([&]() -> int {
        S &s = own.make();
        random numbers(stream);
        set_options(s, config, typename has_set_options<S>::type());
        const int code = code_of([&] { return call_reset(s, numbers, 0); });
        return code != 0 ? code : code_of([&] { return s.observe(obs); });
    });
}

template <class S>
int step(const void *, void *state, const double *act, double *obs, double *rew, uint8_t *term,
         trpo_env_random *stream)
{
    slot<S> &own = slot<S>::at(state);
    return own.guard([&]() -> int {
        S &s = own.object();
        random numbers(stream);
        const result done = call_step(s, act, numbers, 0);
        if (done.error != 0) return done.error;
        *rew = done.reward;
        *term = static_cast<uint8_t>(done.ended == truncated ? truncated : done.ended != 0);
        return code_of([&] { return static_cast<const S &>(s).observe(obs); });
    });
}

template <class S> int observe(const void *, const void *state, double *obs)
{
    slot<S> &own = slot<S>::at(state);
    if (!own.is_made && !std::is_trivially_copyable<S>::value) return not_constructed;
    const S &s = own.object();
    return own.guard([&] { return code_of([&] { return s.observe(obs); }); });
}

template <class S> int mask(const void *, const void *state, uint8_t *allowed)
{
    slot<S> &own = slot<S>::at(state);
    const S &s = own.object();
    return own.guard([&] { return code_of([&] { return s.mask(allowed); }); });
}

template <class S> void close(const void *, void *state)
{
    slot<S> &own = slot<S>::at(state);
    if (!own.is_made) return;
    own.guard([&]() -> int {
        call_close(own.object(), typename has_close<S>::type());
        return 0;
    });
    own.object().~S();
    own.is_made = 0;
}

/* Saved are whether there is an object, in as many bytes as keep the alignment, then the object. */
enum { save_head = 16 };

template <class S> int save(const void *, const void *state, void *bytes)
{
    slot<S> &own = slot<S>::at(state);
    char *to = static_cast<char *>(bytes);
    to[0] = own.is_made != 0;
    const S &s = own.object();
    return !to[0] ? 0 : own.guard([&] { return code_of([&] { return s.save(to + save_head); }); });
}

template <class S> int load(const void *, void *state, const void *bytes)
{
    slot<S> &own = slot<S>::at(state);
    const char *from = static_cast<const char *>(bytes);
    if (!from[0]) return 0;
    return own.guard([&]() -> int {
        S &s = own.make();
        return code_of([&] { return s.load(from + save_head); });
    });
}

/* ---- the struct ------------------------------------------------------------------------------ */

/* NAME<S>(): the class's constant, or `otherwise`. */
#define TRPO_ENV_CONSTANT(TYPE, NAME)                                                              \
    template <class S> TYPE NAME(TYPE, std::true_type) { return value_of(S::NAME, 0); }            \
    template <class S> TYPE NAME(TYPE otherwise, std::false_type) { return otherwise; }            \
    template <class S> TYPE NAME(TYPE otherwise)                                                   \
    {                                                                                              \
        return NAME<S>(otherwise, typename has_##NAME<S>::type());                                 \
    }

/* NAME<S>(count): the values of the class's function for 0, ..., count - 1; none without it. */
#define TRPO_ENV_VALUES(TYPE, NAME)                                                                \
    template <class S> std::vector<TYPE> NAME(int, std::false_type) { return {}; }                 \
    template <class S> std::vector<TYPE> NAME(int count, std::true_type)                           \
    {                                                                                              \
        std::vector<TYPE> values;                                                                  \
        for (int i = 0; i < count; i++) values.push_back(S::NAME(i));                              \
        return values;                                                                             \
    }                                                                                              \
    template <class S> std::vector<TYPE> NAME(int count)                                           \
    {                                                                                              \
        return NAME<S>(count, typename has_##NAME<S>::type());                                     \
    }

TRPO_ENV_CONSTANT(int, max_episode_steps)
TRPO_ENV_CONSTANT(double, reward_threshold)
TRPO_ENV_CONSTANT(int, n_options)
TRPO_ENV_VALUES(double, obs_low)
TRPO_ENV_VALUES(double, obs_high)
TRPO_ENV_VALUES(double, act_low)
TRPO_ENV_VALUES(double, act_high)
TRPO_ENV_VALUES(int, choices)
TRPO_ENV_VALUES(trpo::option, option)
#undef TRPO_ENV_CONSTANT
#undef TRPO_ENV_VALUES

template <class S> void set_mask(trpo_env &, std::false_type) {}
template <class S> void set_mask(trpo_env &env, std::true_type) { env.mask = mask<S>; }

template <class S> void set_save(trpo_env &, std::false_type) {}
template <class S> void set_save(trpo_env &env, std::true_type)
{
    env.save_bytes = save_head + value_of(S::save_bytes, 0);
    env.save = save<S>;
    env.load = load<S>;
}

template <class T> const T *array(const std::vector<T> &values)
{
    return values.empty() ? nullptr : values.data();
}

/* The struct and the arrays that it points to. */
template <class S> class description {
    const int obs_size_ = value_of(S::obs_size, 0), n_actions_ = value_of(S::n_actions, 0);
    const std::vector<double> obs_low_ = obs_low<S>(obs_size_);
    const std::vector<double> obs_high_ = obs_high<S>(obs_size_);
    const std::vector<double> act_low_ = act_low<S>(n_actions_);
    const std::vector<double> act_high_ = act_high<S>(n_actions_);
    const std::vector<int> choices_ = choices<S>(n_actions_);
    std::vector<trpo_env_option> options_;
    std::vector<double> defaults_;

public:
    trpo_env env;

    description() : env()
    {
        for (const trpo::option &each : option<S>(n_options<S>(0))) {
            options_.push_back(trpo_env_option{each.name, each.of_reset});
            defaults_.push_back(each.initial);
        }
        describe_spaces();
        env.version = TRPO_ENV_VERSION;
        env.struct_size = static_cast<int>(sizeof env);
        env.name = value_of(S::name, 0);
        env.state_bytes = sizeof(slot<S>);
        env.max_episode_steps = max_episode_steps<S>(0);
        env.reward_threshold = reward_threshold<S>(NAN);
        env.reset = reset<S>;
        env.step = step<S>;
        env.observe = observe<S>;
        const bool is_bytes = std::is_trivially_copyable<S>::value && !has_close<S>::value;
        env.close = is_bytes ? nullptr : close<S>;
        set_mask<S>(env, typename has_mask<S>::type());
        set_save<S>(env, typename has_save<S>::type());
    }

private:
    void describe_spaces()
    {
        env.obs_size = obs_size_;
        env.obs_low = array(obs_low_);
        env.obs_high = array(obs_high_);
        env.n_actions = n_actions_;
        env.choices = array(choices_);
        env.act_low = array(act_low_);
        env.act_high = array(act_high_);
        env.config = array(defaults_);
        env.n_options = static_cast<int>(options_.size());
        env.options = array(options_);
    }
};

template <class S> const trpo_env *describe()
{
    static const description<S> made;
    return &made.env;
}

} // namespace detail

/* The struct of a class; it lives as long as the program. */
template <class Simulator> const trpo_env *environment()
{
    static_assert(detail::checked<Simulator>::value, "see the errors above");
    return detail::describe<Simulator>();
}

/* Environment e's object, to read, or to set (then call trpo_envs_observe). The environments are
 * those of trpo::environment<Simulator>. */
template <class Simulator> Simulator &simulator(trpo_envs *envs, int e)
{
    return detail::slot<Simulator>::at(trpo_envs_state(envs, e)).make();
}

/* The text of the exception that environment e's last failure was; "" if it was none. */
template <class Simulator> const char *error_text(trpo_envs *envs, int e)
{
    return detail::slot<Simulator>::at(trpo_envs_state(envs, e)).text();
}

namespace detail TRPO_ENV_HIDDEN {

/* The struct, or NULL if a static function of the class throws. */
template <class S> const trpo_env *offer()
{
    const trpo_env *env = nullptr;
    outside<S>().guard([&]() -> int {
        env = environment<S>();
        return 0;
    });
    return env;
}

template <class S> const char *reason(const void *state)
{
    return (state == nullptr ? outside<S>() : slot<S>::at(state)).text();
}

} // namespace detail
} // namespace trpo

/* Defines the functions by which a shared library offers its environment, and texts of errors. */
#define TRPO_ENVIRONMENT(...)                                                                      \
    TRPO_ENV_EXPORT const trpo_env *trpo_environment(void)                                         \
    { return trpo::detail::offer<__VA_ARGS__>(); }                                                 \
    TRPO_ENV_EXPORT const char *trpo_environment_error(const void *state)                          \
    { return trpo::detail::reason<__VA_ARGS__>(state); }

#endif
