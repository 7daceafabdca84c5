/* Floating-point arithmetic as written, whatever the compiler's flags: functions that are declared
 * TRPO_STRICT, between TRPO_STRICT_BEGIN and TRPO_STRICT_END, round a product before it is added
 * to something ("contraction" would not), so their results have the same bits everywhere.
 *
 * GCC ignores the standard's pragma, but has one that works for each function; where a function is
 * inlined, the caller's flags apply, and so these are not. A source that defines TRPO_STRICT_FILE
 * and begins with TRPO_STRICT_BEGIN is strict as a whole, and may inline them. */
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
#error "fasttrpo: doubles would be evaluated in a wider type: on x86 add -msse2 -mfpmath=sse"
#endif

#if defined(__clang__)
/* Some targets have no float_control: there it is ignored, and the last pragma lasts. */
#define TRPO_STRICT_BEGIN                                                                          \
    _Pragma("clang diagnostic push")                                                               \
    _Pragma("clang diagnostic ignored \"-Wignored-pragmas\"")                                      \
    _Pragma("float_control(push)") _Pragma("float_control(precise, on)")                           \
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

#endif
