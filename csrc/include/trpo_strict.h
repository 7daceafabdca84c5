/* Floating-point arithmetic as written, whatever the compiler's flags: functions that are declared
 * TRPO_STRICT, between TRPO_STRICT_BEGIN and TRPO_STRICT_END, round a product before it is added
 * to something ("contraction" would not), so their results have the same bits everywhere.
 *
 * GCC ignores the standard's pragma, but has one that works for each function; where a function is
 * inlined, the caller's flags apply, and so these are not. A source is strict as a whole, and may
 * inline them, if it begins with
 *
 *     #define TRPO_STRICT_FILE
 *     #include "trpo_strict.h"
 *     TRPO_STRICT_BEGIN
 *
 * Clang obeys -ffp-contract=fast rather than any pragma about contraction. On x86 it does not fuse
 * operations whose exceptions are observed, and so functions ask for that. Elsewhere nothing helps
 * but to notice it, by trpo_is_strict. The library always does: it defines TRPO_STRICT_NOTICED, and
 * the cost of observed exceptions is not paid. */
#ifndef TRPO_STRICT_H
#define TRPO_STRICT_H

#include <float.h>

#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || \
    defined(__NO_SIGNED_ZEROS__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "fasttrpo: fast-math changes results: compile without it and what implies it"
#endif
#if defined(_M_FP_FAST)
#error "fasttrpo: the fast floating-point model changes results: compile with the precise one"
#endif
/* 16: only _Float16 is evaluated in a wider type */
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16
#error "fasttrpo: numbers would be evaluated in wider types: \
add -msse2 -mfpmath=sse on x86, -fexcess-precision=fast elsewhere"
#endif

/* No macro tells of gcc's -fsingle-precision-constant. */
typedef char trpo_math_omit_single_precision_constant[sizeof 1.0 == sizeof(double) ? 1 : -1];

#if defined(__clang__) && defined(__x86_64__) && !defined(TRPO_STRICT_NOTICED)
#define TRPO_STRICT_OBSERVED _Pragma("float_control(except, on)")
#else
#define TRPO_STRICT_OBSERVED
#endif

#if defined(__clang__)
/* Some targets have no float_control: there it is ignored, and the last pragma lasts. */
#define TRPO_STRICT_BEGIN                                                                          \
    _Pragma("clang diagnostic push")                                                               \
    _Pragma("clang diagnostic ignored \"-Wignored-pragmas\"")                                      \
    _Pragma("float_control(push)") _Pragma("float_control(precise, on)") TRPO_STRICT_OBSERVED      \
    _Pragma("clang diagnostic pop") _Pragma("STDC FP_CONTRACT OFF")
#define TRPO_STRICT_END                                                                            \
    _Pragma("clang diagnostic push")                                                               \
    _Pragma("clang diagnostic ignored \"-Wignored-pragmas\"")                                      \
    _Pragma("float_control(pop)") _Pragma("clang diagnostic pop")
#elif defined(__GNUC__)
#define TRPO_STRICT_BEGIN _Pragma("GCC push_options") _Pragma("GCC optimize(\"fp-contract=off\")")
#define TRPO_STRICT_END _Pragma("GCC pop_options")
#elif defined(_MSC_VER)
#define TRPO_STRICT_BEGIN __pragma(float_control(push)) __pragma(fp_contract(off))
#define TRPO_STRICT_END __pragma(float_control(pop))
#else
#define TRPO_STRICT_BEGIN
#define TRPO_STRICT_END
#endif

/* 1: functions are strict, or the library notices that they are not; 0: perhaps not */
#if defined(__clang__)
#if defined(__x86_64__) || defined(TRPO_STRICT_NOTICED)
#define TRPO_STRICT_IS_CERTAIN 1
#else
#define TRPO_STRICT_IS_CERTAIN 0
#endif
#elif defined(__GNUC__) || defined(_MSC_VER)
#define TRPO_STRICT_IS_CERTAIN 1
#else
#define TRPO_STRICT_IS_CERTAIN 0
#endif

#if defined(__GNUC__)
#define TRPO_STRICT_SLOW static __attribute__((noinline, unused))
#else
#define TRPO_STRICT_SLOW static
#endif
#define TRPO_STRICT_PART static inline /* called by strict functions only */
#if defined(__GNUC__) && !defined(__clang__) && !defined(TRPO_STRICT_FILE)
#define TRPO_STRICT TRPO_STRICT_SLOW
#else
#define TRPO_STRICT static inline
#endif

TRPO_STRICT_BEGIN

/* Whether this source is strict. (1 + 2^-30)^2 is 1 + 2^-29 if it is rounded. */
TRPO_STRICT int trpo_is_strict(void)
{
    const volatile double x = 1.000000000931322574615478515625, y = 1.00000000186264514923095703125;
    return x * x - y == 0;
}

TRPO_STRICT_END

#endif
