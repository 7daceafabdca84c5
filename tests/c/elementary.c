/* The functions of trpo_math.h on arrays, for tests/test_elementary.py: a shared library. */
#include "../../csrc/include/trpo_math.h"

#ifdef __cplusplus
extern "C" {
#endif

#define EXPORT(name)                                                                               \
    void name##_of(double *y, const double *x, long count);                                        \
    void name##_of(double *y, const double *x, long count)                                         \
    {                                                                                              \
        for (long i = 0; i < count; i++) y[i] = trpo_##name(x[i]);                                 \
    }
EXPORT(sin)
EXPORT(cos)
EXPORT(log)
EXPORT(log1p)
EXPORT(exp)
EXPORT(expm1)

#define EXPORT_FLOAT(name)                                                                         \
    void name##_of(float *y, const float *x, long count);                                          \
    void name##_of(float *y, const float *x, long count)                                           \
    {                                                                                              \
        for (long i = 0; i < count; i++) y[i] = trpo_##name(x[i]);                                 \
    }
EXPORT_FLOAT(logf)
EXPORT_FLOAT(log1pf)

void pow_of(double *z, const double *x, const double *y, long count);
void pow_of(double *z, const double *x, const double *y, long count)
{
    for (long i = 0; i < count; i++) z[i] = trpo_pow(x[i], y[i]);
}

void sincos_of(double *sine, double *cosine, const double *x, long count);
void sincos_of(double *sine, double *cosine, const double *x, long count)
{
    for (long i = 0; i < count; i++) trpo_sincos(x[i], &sine[i], &cosine[i]);
}

#ifdef __cplusplus
}
#endif
