/* Vectors in double, conversions to `real`, and row features. */
#include "kernels.h"

/* Four partial sums, so that the order of addition does not depend on compiler flags. */
double trpok_dot(const double *x, const double *y, ptrdiff_t count)
{
    double sum[4] = {0, 0, 0, 0};
    ptrdiff_t i = 0;
    for (; i + 4 <= count; i += 4)
        for (int lane = 0; lane < 4; lane++) sum[lane] += x[i + lane] * y[i + lane];
    for (; i < count; i++) sum[0] += x[i] * y[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

void trpok_axpy(double *y, double a, const double *x, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++) y[i] += a * x[i];
}

int trpok_finite(const double *x, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        if (!isfinite(x[i])) return 0;
    return 1;
}

void trpok_to_real(real *y, const double *x, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++) y[i] = (real)x[i];
}

void trpok_transpose(real *y, const real *x, int rows, int columns)
{
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++)
            y[(ptrdiff_t)c * rows + r] = x[(ptrdiff_t)r * columns + c];
}

void trpok_quadratic_features(real *phi, const real *x, int N, int O)
{
    for (int n = 0; n < N; n++, phi += 2 * O, x += O)
        for (int i = 0; i < O; i++) {
            phi[i] = x[i];
            phi[O + i] = x[i] * x[i];
        }
}

void trpok_solve_vector(double *x, const double *L, int S)
{
    for (int i = 0; i < S; i++) {
        const double *row = L + (ptrdiff_t)i * S;
        x[i] = row[i] > 0 ? (x[i] - trpok_dot(row, x, i)) / row[i] : 0;
    }
    for (int i = S - 1; i >= 0; i--) {
        const double *row = L + (ptrdiff_t)i * S;
        x[i] = row[i] > 0 ? (x[i] - trpok_dot(row + i + 1, x + i + 1, S - 1 - i)) / row[i] : 0;
    }
}
