/* The double kernels of every supported instruction set: products, factors and solutions of
 * matrices; advantages. */
#include "every_set.h"

#define DOUBLE_EPSILON 2.220446049250313e-16

static uint64_t multiply_on(void *arg, const trpok_table *k)
{
    multiply_case *c = (multiply_case *)arg;
    int wrong = 0;
    multiply_run(c, k, (uint64_t)(c->R + 40 * c->K));
    for (int r = 0; r < c->R; r++)
        for (int j = 0; j < c->C; j++) {
            sum s = {0, 0, 0};
            for (int i = 0; i < c->K; i++)
                add(&s, c->a[(ptrdiff_t)r * c->K + i] * c->b[(ptrdiff_t)i * c->C + j]);
            wrong += !is_near(c->out[(ptrdiff_t)r * c->C + j], &s, DOUBLE_EPSILON);
        }
    CHECK(wrong == 0);
    CHECK(place_is_intact(AT_OUT));
    return place_bits(NO_BITS, AT_OUT);
}

static void products(void)
{
    for (int i = 0; i < COUNT(wide_sizes); i++)
        for (int j = 0; j < COUNT(wide_sizes); j++) {
            multiply_case c = {wide_sizes[i], wide_sizes[(i + j) % COUNT(wide_sizes)],
                               wide_sizes[j], NULL, NULL, NULL};
            check_name("product R %d K %d C %d", c.R, c.K, c.C);
            on_every_set(multiply_on, &c);
        }
}

/* L L' = A + shift I in the lower triangle, L' in the upper one; zero columns where singular. */
static void check_factor(const cholesky_case *c)
{
    const int S = c->S;
    int wrong = 0;
    double top = 0;
    for (int i = 0; i < S; i++) top = fmax(top, c->A[(ptrdiff_t)i * S + i] + c->shift);
    for (int i = 0; i < S; i++)
        for (int j = 0; j <= i; j++) {
            double product = 0;
            for (int k = 0; k <= j; k++)
                product += c->L[(ptrdiff_t)i * S + k] * c->L[(ptrdiff_t)j * S + k];
            wrong += !(fabs(product - c->A[(ptrdiff_t)i * S + j] - (i == j ? c->shift : 0)) <=
                       1e-13 * top);
            wrong += c->L[(ptrdiff_t)i * S + j] != c->L[(ptrdiff_t)j * S + i];
        }
    CHECK(wrong == 0);
}

static void check_zero_columns(const cholesky_case *c)
{
    const int S = c->S;
    int wrong = 0;
    for (int j = 0; j < S; j++) {
        const int is_zero = c->singular && (j % 3 == 1 || j == 3) && c->shift == 0;
        wrong += (c->L[(ptrdiff_t)j * S + j] > 0) == is_zero;
        for (int i = j; is_zero && i < S; i++) wrong += c->L[(ptrdiff_t)i * S + j] != 0;
    }
    CHECK(wrong == 0);
}

/* x (S), stride M = (L L')^-1 x, but 0 in the rows of zero columns */
static void plain_solve(double *x, const double *L, int S)
{
    for (int i = 0; i < S; i++) {
        for (int j = 0; j < i; j++) x[i] -= L[(ptrdiff_t)i * S + j] * x[j];
        x[i] = L[(ptrdiff_t)i * S + i] > 0 ? x[i] / L[(ptrdiff_t)i * S + i] : 0;
    }
    for (int i = S - 1; i >= 0; i--) {
        for (int j = i + 1; j < S; j++) x[i] -= L[(ptrdiff_t)j * S + i] * x[j];
        x[i] = L[(ptrdiff_t)i * S + i] > 0 ? x[i] / L[(ptrdiff_t)i * S + i] : 0;
    }
}

static void check_solution(const cholesky_case *c)
{
    enum { MOST = 128 };
    double x[MOST], top = 0, error = 0;
    if (!CHECK(c->S <= MOST)) return;
    for (int m = 0; m < c->M; m++) {
        for (int i = 0; i < c->S; i++) x[i] = c->X_before[(ptrdiff_t)i * c->M + m];
        plain_solve(x, c->L, c->S);
        for (int i = 0; i < c->S; i++) {
            top = fmax(top, fabs(x[i]));
            error = fmax(error, fabs(x[i] - c->X[(ptrdiff_t)i * c->M + m]));
            if (!isfinite(c->X[(ptrdiff_t)i * c->M + m])) error = HUGE_VAL;
        }
    }
    CHECK(error <= 1e-11 * top);
}

static uint64_t cholesky_on(void *arg, const trpok_table *k)
{
    cholesky_case *c = (cholesky_case *)arg;
    cholesky_run(c, k, (uint64_t)c->S);
    check_factor(c);
    check_zero_columns(c);
    check_solution(c);
    CHECK(place_is_intact(AT_L) && place_is_intact(AT_SOLUTION));
    return place_bits(place_bits(NO_BITS, AT_L), AT_SOLUTION);
}

static void factors_and_solutions(void)
{
    static const int S[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 33, 65};
    for (int i = 0; i < COUNT(S); i++)
        for (int j = 0; j < COUNT(wide_sizes); j++) {
            cholesky_case c = {S[i], wide_sizes[j], j % 2, (i + j) % 3 == 0 ? 0.5 : 0,
                               NULL, NULL,          NULL,  NULL};
            check_name("cholesky S %d M %d, singular %d, shift %g", c.S, c.M, c.singular, c.shift);
            on_every_set(cholesky_on, &c);
        }
}

/* ---- advantages ------------------------------------------------------------------------------ */

/* One environment, by the formulas of kernels.h. */
static int advantages_are_right(const gae_case *c, int e)
{
    double next_adv = 0, next_val = 0;
    int wrong = 0;
    for (int t = c->T - 1; t >= 0; t--) {
        const ptrdiff_t n = (ptrdiff_t)t * c->E + e;
        const int ends = c->done[n] || t == c->T - 1;
        const double val = (double)c->val[n], next = ends ? (double)c->boot[n] : next_val;
        double adv = c->rew[n] + c->gamma * next - val;
        if (!ends) adv += c->gamma * c->lambda * next_adv;
        next_adv = c->skip[n] ? 0 : adv;
        next_val = c->skip[n] ? 0 : val;
        wrong += !(fabs(c->adv[n] - next_adv) <= 1e-12);
        wrong += !(fabs(c->ret[n] - (next_adv + next_val)) <= 1e-12);
    }
    return wrong == 0;
}

/* One environment alone has the same bits as among the others. */
static int environments_are_independent(const gae_case *c, int e, const trpok_table *k)
{
    enum { MOST = 64 };
    double rew[MOST], adv[MOST], ret[MOST];
    real val[MOST], boot[MOST];
    uint8_t done[MOST], skip[MOST];
    int differing = 0;
    for (int t = 0; t < c->T; t++) {
        const ptrdiff_t n = (ptrdiff_t)t * c->E + e;
        rew[t] = c->rew[n], val[t] = c->val[n], boot[t] = c->boot[n];
        done[t] = c->done[n], skip[t] = c->skip[n];
    }
    k->wide->gae(adv, ret, rew, val, boot, done, skip, c->gamma, c->lambda, c->T, 1);
    for (int t = 0; t < c->T; t++) {
        const ptrdiff_t n = (ptrdiff_t)t * c->E + e;
        differing += memcmp(adv + t, c->adv + n, sizeof *adv) != 0;
        differing += memcmp(ret + t, c->ret + n, sizeof *ret) != 0;
    }
    return differing == 0;
}

static uint64_t gae_on(void *arg, const trpok_table *k)
{
    gae_case *c = (gae_case *)arg;
    gae_run(c, k, (uint64_t)(c->E + 100 * c->T));
    for (int e = 0; e < c->E; e++) {
        CHECK(advantages_are_right(c, e));
        CHECK(environments_are_independent(c, e, k));
    }
    CHECK(place_is_intact(AT_ADV) && place_is_intact(AT_RET));
    return place_bits(place_bits(NO_BITS, AT_ADV), AT_RET);
}

static void advantages(void)
{
    for (int i = 0; i < COUNT(gae_steps); i++)
        for (int j = 0; j < COUNT(gae_envs); j++) {
            gae_case c;
            memset(&c, 0, sizeof c);
            c.T = gae_steps[i], c.E = gae_envs[j];
            check_name("advantages T %d E %d", c.T, c.E);
            on_every_set(gae_on, &c);
        }
}

int main(void)
{
    places_open();
    products();
    factors_and_solutions();
    advantages();
    return check_result();
}
