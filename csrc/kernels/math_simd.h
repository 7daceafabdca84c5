/* exp, expm1, tanh and sin on arrays. All instruction sets with FMA give the same bits.
 *
 *     x = n ln 2 + r,  n integer, |r| <= ln(2)/2    (ln 2 in two parts: n times the first is exact)
 *     p = e^r - 1 = r + r^2 q(r),  q by Taylor's series to the precision of a `lane`
 *
 *     exp x   = 2^n (1 + p)
 *     expm1 x = 2^n p + (2^n - 1)
 *     tanh x  = -u / (2 + u) with the sign of x,  u = expm1(-2 |x|) in [-1, 0]: so |tanh| <= 1
 *
 *     x = n pi + r,  n integer, |r| <= pi/2         (pi in three parts, likewise)
 *     sin x   = (-1)^n sin r,  by Taylor's series
 *
 * Errors are below 4 units in the last place; for sin below 2 units in the last place of 1, since
 * relative precision is lost near n pi. sin limits |x| to SIN_MAX, beyond which consecutive
 * numbers are too far apart to have a meaningful sine. NaN stays NaN. Proved by tests/test_math.py.
 */

#ifdef TRPOK_WIDE
static const lane LOG2_E = 1.4426950408889634, LN2_HIGH = 0.693147180369123816490,
                  LN2_LOW = 1.90821492927058770002e-10, ROUNDING = 6755399441055744.0,
                  EXP_MIN = -746, EXP_MAX = 710, EXPM1_MIN = -60;
/* 1/k!, k = 13 ... 2 */
static const lane TAYLOR[] = {1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800,
                              1.0 / 362880,     1.0 / 40320,     1.0 / 5040,     1.0 / 720,
                              1.0 / 120,        1.0 / 24,        1.0 / 6,        1.0 / 2};
static const lane ONE_OVER_PI = 0.3183098861837907, PI_HIGH = 3.1415926218032837,
                  PI_MIDDLE = 3.1786509424591713e-08, PI_LOW = 1.2246467991473532e-16,
                  SIN_MAX = 67108864;
/* (-1)^k / (2k + 1)!, k = 10 ... 1 */
static const lane SIN_TAYLOR[] = {
    1.0 / 51090942171709440000.0, -1.0 / 121645100408832000.0, 1.0 / 355687428096000.0,
    -1.0 / 1307674368000.0,       1.0 / 6227020800.0,          -1.0 / 39916800,
    1.0 / 362880,                 -1.0 / 5040,                 1.0 / 120,
    -1.0 / 6};
#else
static const lane LOG2_E = 1.44269504f, LN2_HIGH = 0.693359375f, LN2_LOW = -2.12194440e-4f,
                  ROUNDING = 12582912.0f, EXP_MIN = -104, EXP_MAX = 89, EXPM1_MIN = -40;
/* 1/k!, k = 7 ... 2 */
static const lane TAYLOR[] = {1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 1.0f / 2};
static const lane ONE_OVER_PI = 0.318309886f, PI_HIGH = 3.140625f, PI_MIDDLE = 9.67025757e-4f,
                  PI_LOW = 6.27832957e-7f, SIN_MAX = 32768;
/* (-1)^k / (2k + 1)!, k = 6 ... 1 */
static const lane SIN_TAYLOR[] = {1.0f / 6227020800.0f, -1.0f / 39916800, 1.0f / 362880,
                                  -1.0f / 5040,         1.0f / 120,       -1.0f / 6};
#endif
enum { TAYLOR_TERMS = sizeof TAYLOR / sizeof *TAYLOR };
enum { SIN_TERMS = sizeof SIN_TAYLOR / sizeof *SIN_TAYLOR };

/* p = e^r - 1 with x = n ln 2 + r. Adding and subtracting ROUNDING rounds to an integer. */
TRPOK_INLINE vec reduced_expm1(vec *n, vec x)
{
    *n = vec_sub(vec_fma(x, vec_all(LOG2_E), vec_all(ROUNDING)), vec_all(ROUNDING));
    vec r = vec_fma(*n, vec_all(-LN2_HIGH), x);
    r = vec_fma(*n, vec_all(-LN2_LOW), r);
    vec q = vec_all(TAYLOR[0]);
#pragma GCC unroll 16
    for (int k = 1; k < TAYLOR_TERMS; k++) q = vec_fma(q, r, vec_all(TAYLOR[k]));
    return vec_fma(vec_mul(r, r), q, r);
}

/* 2^n in two factors, so that results overflow and underflow gradually */
TRPOK_INLINE vec vec_exp(vec x)
{
    vec n;
    const vec p = reduced_expm1(&n, vec_at_most(EXP_MAX, vec_at_least(EXP_MIN, x)));
    const vec half = vec_sub(vec_fma(n, vec_all((lane)0.5), vec_all(ROUNDING)), vec_all(ROUNDING));
    const vec y = vec_mul(vec_add(vec_all(1), p), vec_power_of_2(half));
    return vec_mul(y, vec_power_of_2(vec_sub(n, half)));
}

/* 2 (2^(n-1) p + (2^(n-1) - 1/2)): so that 2^n need not be representable */
TRPOK_INLINE vec vec_expm1(vec x)
{
    vec n;
    const vec p = reduced_expm1(&n, vec_at_most(EXP_MAX, vec_at_least(EXPM1_MIN, x)));
    const vec s = vec_power_of_2(vec_sub(n, vec_all(1)));
    const vec half = vec_fma(s, p, vec_sub(s, vec_all((lane)0.5)));
    return vec_add(half, half);
}

TRPOK_INLINE vec vec_tanh(vec x)
{
    const vec u = vec_expm1(vec_mul(vec_all(2), vec_with_sign(x, vec_all(-1))));
    return vec_with_sign(vec_div(u, vec_add(vec_all(2), u)), x);
}

/* odd = n - 2 round(n/2) is -1, 0 or 1, and (-1)^n = 1 - 2 odd^2 */
TRPOK_INLINE vec vec_sin(vec x)
{
    x = vec_at_most(SIN_MAX, vec_at_least(-SIN_MAX, x));
    const vec n = vec_sub(vec_fma(x, vec_all(ONE_OVER_PI), vec_all(ROUNDING)), vec_all(ROUNDING));
    const vec half = vec_sub(vec_fma(n, vec_all((lane)0.5), vec_all(ROUNDING)), vec_all(ROUNDING));
    const vec odd = vec_fma(half, vec_all(-2), n);
    vec r = vec_fma(n, vec_all(-PI_HIGH), x);
    r = vec_fma(n, vec_all(-PI_MIDDLE), r);
    r = vec_fma(n, vec_all(-PI_LOW), r);
    const vec square = vec_mul(r, r);
    vec q = vec_all(SIN_TAYLOR[0]);
#pragma GCC unroll 16
    for (int k = 1; k < SIN_TERMS; k++) q = vec_fma(q, square, vec_all(SIN_TAYLOR[k]));
    const vec sin_r = vec_fma(vec_mul(r, square), q, r);
    const vec y = vec_mul(sin_r, vec_fma(vec_mul(odd, vec_all(-2)), odd, vec_all(1)));
    return vec_at_most(1, vec_at_least(-1, y));
}

#define ARRAY_FUNCTION(name, function)                                                             \
    TRPOK_TARGET static void name(real *y, const real *x, ptrdiff_t count)                         \
    {                                                                                              \
        ptrdiff_t i = 0;                                                                           \
        for (; i + LANES <= count; i += LANES) vec_store(y + i, function(vec_load(x + i)));        \
        const int left = (int)(count - i);                                                         \
        if (left > 0) vec_store_some(y + i, function(vec_load_some(x + i, left)), left);           \
    }
