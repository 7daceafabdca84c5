/* Part of trpo_env.hpp: detects what a class has, and checks it with messages. */
#ifndef TRPO_ENV_CLASS_HPP
#define TRPO_ENV_CLASS_HPP

#include <cstddef>
#include <cstdint>
#include <type_traits>

/* Keeps functions and variables to their library. Otherwise the loader shares them between two
 * simulators in one process whose classes have the same name. */
#if defined(__GNUC__) && !defined(_WIN32)
#define TRPO_ENV_HIDDEN __attribute__((visibility("hidden")))
#else
#define TRPO_ENV_HIDDEN
#endif

namespace trpo {

class random;
struct result;

namespace detail TRPO_ENV_HIDDEN {

/* ---- what a class has ------------------------------------------------------------------------ */

/* has_NAME<S>: S has a member of this name, of whatever type and access: next to a base that has it
 * too, the name is ambiguous. */
#define TRPO_ENV_MEMBER(NAME)                                                                      \
    struct with_##NAME {                                                                           \
        int NAME;                                                                                  \
    };                                                                                             \
    template <class S> class has_##NAME {                                                          \
        struct both : S, with_##NAME {                                                             \
        };                                                                                         \
        template <class T> static std::false_type find(decltype(&T::NAME) *);                      \
        template <class T> static std::true_type find(...);                                        \
                                                                                                   \
    public:                                                                                        \
        typedef decltype(find<both>(nullptr)) type;                                                \
        static constexpr bool value = type::value;                                                 \
    };

TRPO_ENV_MEMBER(max_episode_steps)
TRPO_ENV_MEMBER(reward_threshold)
TRPO_ENV_MEMBER(obs_low)
TRPO_ENV_MEMBER(obs_high)
TRPO_ENV_MEMBER(act_low)
TRPO_ENV_MEMBER(act_high)
TRPO_ENV_MEMBER(choices)
TRPO_ENV_MEMBER(mask)
TRPO_ENV_MEMBER(n_options)
TRPO_ENV_MEMBER(option)
TRPO_ENV_MEMBER(set_options)
TRPO_ENV_MEMBER(close)
TRPO_ENV_MEMBER(save_bytes)
TRPO_ENV_MEMBER(save)
TRPO_ENV_MEMBER(load)
#undef TRPO_ENV_MEMBER

/* A constant, or what a static function without arguments returns. */
template <class T> auto value_of(T x, int) -> decltype(x()) { return x(); }
template <class T> T value_of(T x, long) { return x; }

/* Calls with the arguments that the class's functions have. */
template <class S> auto call_reset(S &s, random &r, int) -> decltype(s.reset(r))
{
    return s.reset(r);
}
template <class S> auto call_reset(S &s, random &, long) -> decltype(s.reset())
{
    return s.reset();
}
template <class S>
auto call_step(S &s, const double *act, random &r, int) -> decltype(s.step(act, r))
{
    return s.step(act, r);
}
template <class S>
auto call_step(S &s, const double *act, random &, long) -> decltype(s.step(act))
{
    return s.step(act);
}

/* can_NAME<S>: the expression compiles for T = S. */
#define TRPO_ENV_CAN(NAME, ...)                                                                    \
    template <class S> class can_##NAME {                                                          \
        template <class T> static decltype(void(__VA_ARGS__), std::true_type()) find(int);         \
        template <class T> static std::false_type find(...);                                       \
                                                                                                   \
    public:                                                                                        \
        static constexpr bool value = decltype(find<S>(0))::value;                                 \
    };

/* For expressions that are not evaluated. */
template <class T> T &some();
template <class T> void take(T);
template <class T> struct type_of {
};

TRPO_ENV_CAN(name, take<const char *>(value_of(T::name, 0)))
TRPO_ENV_CAN(obs_size, take<int>(value_of(T::obs_size, 0)))
TRPO_ENV_CAN(n_actions, take<int>(value_of(T::n_actions, 0)))
TRPO_ENV_CAN(max_episode_steps, take<int>(value_of(T::max_episode_steps, 0)))
TRPO_ENV_CAN(reward_threshold, take<double>(value_of(T::reward_threshold, 0)))
TRPO_ENV_CAN(obs_low, take<double>(T::obs_low(0)))
TRPO_ENV_CAN(obs_high, take<double>(T::obs_high(0)))
TRPO_ENV_CAN(act_low, take<double>(T::act_low(0)))
TRPO_ENV_CAN(act_high, take<double>(T::act_high(0)))
TRPO_ENV_CAN(choices, take<int>(T::choices(0)))
TRPO_ENV_CAN(reset, call_reset(some<T>(), some<random>(), 0))
/* A bool or a double would convert to a reward. */
TRPO_ENV_CAN(step, take<type_of<result>>(type_of<decltype(call_step(
                       some<T>(), some<const double *>(), some<random>(), 0))>()))
TRPO_ENV_CAN(observe, some<const T>().observe(some<double *>()))
TRPO_ENV_CAN(mask, some<const T>().mask(some<uint8_t *>()))
TRPO_ENV_CAN(n_options, take<int>(value_of(T::n_options, 0)))
TRPO_ENV_CAN(option, take<const char *>(T::option(0).name))
TRPO_ENV_CAN(set_options, some<T>().set_options(some<const double *>()))
TRPO_ENV_CAN(close, some<T>().close())
TRPO_ENV_CAN(save_bytes, take<std::size_t>(value_of(T::save_bytes, 0)))
TRPO_ENV_CAN(save, some<const T>().save(static_cast<void *>(nullptr)))
TRPO_ENV_CAN(load, some<T>().load(static_cast<const void *>(nullptr)))
#undef TRPO_ENV_CAN

/* If the class has it, it has the right type. */
#define TRPO_ENV_CHECK(NAME, DECLARATION)                                                          \
    static_assert(!has_##NAME<S>::value || can_##NAME<S>::value,                                   \
                  "trpo::environment: " #NAME " must be a public " DECLARATION)
#define TRPO_ENV_REQUIRE(NAME, DECLARATION)                                                        \
    static_assert(can_##NAME<S>::value,                                                            \
                  "trpo::environment: the class needs a public " DECLARATION)

template <class S> struct checked {
    static_assert(!__is_final(S), "trpo::environment: the class must not be final");
    static_assert(std::is_default_constructible<S>::value,
                  "trpo::environment: the class needs a public constructor without arguments");
    static_assert(alignof(S) <= 16, "trpo::environment: states are aligned to 16 bytes, not more");
    TRPO_ENV_REQUIRE(name, "constant: static constexpr const char *name = \"...\";");
    TRPO_ENV_REQUIRE(obs_size, "constant: static constexpr int obs_size = ...;");
    TRPO_ENV_REQUIRE(n_actions, "constant: static constexpr int n_actions = ...;");
    TRPO_ENV_REQUIRE(reset, "function: void reset(trpo::random &random), or void reset()");
    TRPO_ENV_REQUIRE(step, "function: trpo::result step(const double *act, trpo::random &random), "
                           "or without random");
    TRPO_ENV_REQUIRE(observe, "const function: void observe(double *obs) const");
    TRPO_ENV_CHECK(max_episode_steps, "static constexpr int");
    TRPO_ENV_CHECK(reward_threshold, "static constexpr double");
    TRPO_ENV_CHECK(obs_low, "static function of a component: static double obs_low(int i)");
    TRPO_ENV_CHECK(obs_high, "static function of a component: static double obs_high(int i)");
    TRPO_ENV_CHECK(act_low, "static function of a component: static double act_low(int d)");
    TRPO_ENV_CHECK(act_high, "static function of a component: static double act_high(int d)");
    TRPO_ENV_CHECK(choices, "static function of a component: static int choices(int d)");
    TRPO_ENV_CHECK(mask, "const function: void mask(uint8_t *mask) const");
    TRPO_ENV_CHECK(n_options, "static constexpr int");
    TRPO_ENV_CHECK(option, "static function of a number: static trpo::option option(int i)");
    TRPO_ENV_CHECK(set_options, "function: void set_options(const double *values)");
    TRPO_ENV_CHECK(close, "function: void close()");
    TRPO_ENV_CHECK(save_bytes, "static constexpr std::size_t");
    TRPO_ENV_CHECK(save, "const function: void save(void *bytes) const");
    TRPO_ENV_CHECK(load, "function: void load(const void *bytes)");
    static_assert(has_obs_low<S>::value == has_obs_high<S>::value,
                  "trpo::environment: obs_low and obs_high are required together");
    static_assert(has_act_low<S>::value == has_act_high<S>::value,
                  "trpo::environment: act_low and act_high are required together");
    static_assert(!has_choices<S>::value || !has_act_low<S>::value,
                  "trpo::environment: actions have choices or bounds, not both");
    static_assert(!has_mask<S>::value || has_choices<S>::value,
                  "trpo::environment: mask requires choices");
    static_assert(has_option<S>::value == has_n_options<S>::value &&
                      has_option<S>::value == has_set_options<S>::value,
                  "trpo::environment: n_options, option and set_options are required together");
    static_assert(has_save<S>::value == has_load<S>::value &&
                      has_save<S>::value == has_save_bytes<S>::value,
                  "trpo::environment: save_bytes, save and load are required together");
    static constexpr bool value = true;
};
#undef TRPO_ENV_CHECK
#undef TRPO_ENV_REQUIRE

} // namespace detail
} // namespace trpo

#endif
