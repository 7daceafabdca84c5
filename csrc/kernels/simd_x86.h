/* The functions for vectors of x86. */
#ifndef TRPOK_SIMD_X86_H
#define TRPOK_SIMD_X86_H

/* g++ 12 warns about registers that GCC's header leaves undefined on purpose (GCC bug 105593). */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#if defined(__clang__) && defined(_MSC_VER)
/* clang-cl leaves out what the flags do not ask for. */
#include <smmintrin.h>
#include <avxintrin.h>
#include <avx2intrin.h>
#include <fmaintrin.h>
#include <avx512fintrin.h>
#include <avx512dqintrin.h>
#endif

#endif
