/* Vectors in double, small symmetric matrices, and row statistics. */
#include "kernels.h"

/* Four sums side by side, so that the order of addition is written here and not left to flags. */
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

void trpok_outer(real *C, const real *x, int bias, int N, int K)
{
    const int S = K + (bias != 0);
    for (int n = 0; n < N; n++, x += K) {
        real *row = C;
        for (int i = 0; i < K; i++, row += S)
            for (int j = 0; j <= i; j++) row[j] += x[i] * x[j];
        if (!bias) continue;
        for (int j = 0; j < K; j++) row[j] += x[j];
        row[K] += 1;
    }
}

static double largest_diagonal(const double *C, int S)
{
    double top = 0;
    for (int i = 0; i < S; i++) top = C[(ptrdiff_t)i * S + i] > top ? C[(ptrdiff_t)i * S + i] : top;
    return top;
}

/* Row by row: L_ij = (C_ij - sum_k<j L_ik L_jk) / L_jj,  L_ii = sqrt(C_ii - sum_k<i L_ik^2). */
void trpok_cholesky(double *C, double shift, int S)
{
    for (int i = 0; i < S; i++) C[(ptrdiff_t)i * S + i] += shift;
    const double least = 1e-14 * largest_diagonal(C, S);
    for (int i = 0; i < S; i++) {
        double *row = C + (ptrdiff_t)i * S;
        for (int j = 0; j < i; j++) {
            const double *other = C + (ptrdiff_t)j * S;
            row[j] = other[j] > 0 ? (row[j] - trpok_dot(row, other, j)) / other[j] : 0;
        }
        const double pivot = row[i] - trpok_dot(row, row, i);
        row[i] = pivot > least ? sqrt(pivot) : 0;
    }
}

void trpok_cholesky_solve(double *x, const double *L, int S)
{
    for (int i = 0; i < S; i++) {
        const double *row = L + (ptrdiff_t)i * S;
        x[i] = row[i] > 0 ? (x[i] - trpok_dot(row, x, i)) / row[i] : 0;
    }
    for (int i = S - 1; i >= 0; i--) {
        const double *row = L + (ptrdiff_t)i * S;
        x[i] = row[i] > 0 ? x[i] / row[i] : 0;
        trpok_axpy(x, -x[i], row, i);
    }
}

void trpok_cholesky_inverse(double *inverse, const double *L, int S)
{
    for (int i = 0; i < S; i++) {
        double *row = inverse + (ptrdiff_t)i * S;
        for (int j = 0; j < S; j++) row[j] = i == j;
        trpok_cholesky_solve(row, L, S);
    }
}
