/* The functions of include/trpo_math.h, and their tables, once for all of the core. */
#include "kernels.h"

#include "../include/trpo_math.h"

#ifdef TRPO_DOUBLE
real trpok_log(real x) { return trpo_log(x); }
real trpok_log1p(real x) { return trpo_log1p(x); }
#else
real trpok_log(real x) { return trpo_logf(x); }
real trpok_log1p(real x) { return trpo_log1pf(x); }
#endif

double trpok_exp(double x) { return trpo_exp(x); }
double trpok_expm1(double x) { return trpo_expm1(x); }
double trpok_pow(double x, double y) { return trpo_pow(x, y); }

int trpok_is_strict(void) { return trpo_is_strict(); }

void trpok_normal_pair(double normal[2], double u, double v)
{
    const double r = sqrt(-2 * trpo_log(u));
    double sine, cosine;
    trpo_sincos(6.283185307179586477 * v, &sine, &cosine);
    normal[0] = r * cosine;
    normal[1] = r * sine;
}
