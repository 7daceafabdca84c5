/* Part of trpo_env.hpp: an object in its environment's memory, and what it throws. */
#ifndef TRPO_ENV_OBJECT_HPP
#define TRPO_ENV_OBJECT_HPP

#include <cstring>
#include <exception>
#include <new>

#include "trpo_env_class.hpp"

#if defined(__cpp_exceptions) || defined(__EXCEPTIONS) || defined(_CPPUNWIND)
#define TRPO_ENV_EXCEPTIONS 1
#endif

namespace trpo {

/* The code of a call that threw; codes that the class returns should differ from it. */
constexpr int threw = -1, not_constructed = -2;

namespace detail TRPO_ENV_HIDDEN {

/* All 0 until the object is constructed. */
template <class S> struct slot {
    alignas(S) unsigned char bytes[sizeof(S)];
    int is_made;
    char error[124]; /* the text of the last exception, cut to fit */

    static slot &at(const void *state) { return *static_cast<slot *>(const_cast<void *>(state)); }

    S &object() { return *static_cast<S *>(static_cast<void *>(bytes)); }

    S &make()
    {
        if (!is_made) new (bytes) S();
        is_made = 1;
        return object();
    }

    const char *text()
    {
        error[sizeof error - 1] = 0;
        return error;
    }

    int keep(const char *text)
    {
        std::strncpy(error, text, sizeof error - 1);
        return threw;
    }

    /* The call's code; an exception's text is kept. */
    template <class F> int guard(F call)
    {
#ifdef TRPO_ENV_EXCEPTIONS
        try {
            return call();
        } catch (const std::exception &exception) {
            return keep(exception.what());
        } catch (...) {
            return keep("an exception that is not a std::exception");
        }
#else
        return call();
#endif
    }
};

/* Keeps the text of an exception that no environment has thrown. It has no object. */
template <class S> slot<S> &outside()
{
    static slot<S> none;
    return none;
}

} // namespace detail
} // namespace trpo

#endif
