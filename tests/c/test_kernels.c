/* The kernels of every instruction set that this machine runs, against plain loops in double; and
 * the same bits from all sets with fused multiply-add. Sums may differ by rounding: by (terms + 8)
 * units of the sum of the terms' magnitudes.
 *
 *     test_kernels [5]    every fifth dense layer, for slow machines: any number prime to 12, 17
 */
#include "arrays.h"

#include "kernel_cases.h"

/* A sum, and the sum of its terms' magnitudes. */
typedef struct sum {
    double value, magnitude;
    int terms;
} sum;

static void add(sum *s, double term)
{
    s->value += term;
    s->magnitude += fabs(term);
    s->terms++;
}

static int is_near(double found, const sum *s, double epsilon)
{
    return fabs(found - s->value) <= epsilon * (s->terms + 8) * s->magnitude;
}

/* ---- the sets -------------------------------------------------------------------------------- */

static int has_fma(const trpok_table *k) { return strcmp(k->name, "baseline") != 0; }

/* Runs a case on every set. Those with fused multiply-add must give the same bits. */
static void on_every_set(uint64_t (*bits_of_case)(void *arg, const trpok_table *k), void *arg)
{
    const trpok_table *k;
    uint64_t first = 0;
    int n_with_fma = 0;
    char name[sizeof check_case];
    memcpy(name, check_case, sizeof name);
    for (int i = 0; (k = trpok_runnable(i)) != NULL; i++) {
        check_name("%s: %.120s", k->name, name);
        const uint64_t bits = bits_of_case(arg, k);
        if (!has_fma(k)) continue;
        if (n_with_fma++ == 0) first = bits;
        CHECK(bits == first);
    }
}

static void the_sets_are_those_that_can_be_named(void)
{
    const trpok_table *k;
    int n = 0;
    check_name("sets");
    for (; (k = trpok_runnable(n)) != NULL; n++) CHECK(trpok_named(k->name) == k);
    CHECK(n >= 1 && trpok_named("baseline") == trpok_runnable(n - 1));
    CHECK(trpok_named(NULL) == trpok_runnable(0));
    CHECK(trpok_named("") == NULL && trpok_named("sse") == NULL);
}

/* ---- dense layers ---------------------------------------------------------------------------- */

static double slope(int activation, const real *h, ptrdiff_t at)
{
    if (h == NULL || activation == TRPO_IDENTITY) return 1;
    const double value = (double)h[at];
    return activation == TRPO_TANH ? 1 - value * value : value > 0;
}

static double activated(int activation, double z)
{
    if (activation == TRPO_TANH) return tanh(z);
    return activation == TRPO_RELU ? (z > 0 ? z : 0) : z;
}

/* row . column m of a (K x M) matrix */
static void add_product(sum *s, const real *row, const real *W, int K, int M, int m)
{
    for (int k = 0; k < K; k++) add(s, (double)row[k] * (double)W[(ptrdiff_t)k * M + m]);
}

static int forward_is_right(const dense_case *c)
{
    int wrong = 0;
    for (int n = 0; n < c->N; n++)
        for (int m = 0; m < c->M; m++) {
            sum s = {(double)c->W[(ptrdiff_t)c->K * c->M + m], 1, 0};
            add_product(&s, c->x + (ptrdiff_t)n * c->K, c->W, c->K, c->M, m);
            s.value = activated(c->activation, s.value);
            wrong += !is_near((double)c->z[(ptrdiff_t)n * c->M + m], &s, TRPOK_EPSILON);
        }
    return wrong == 0;
}

static int tangent_is_right(const dense_case *c)
{
    int wrong = 0;
    for (int n = 0; n < c->N; n++)
        for (int m = 0; m < c->M; m++) {
            const ptrdiff_t at = (ptrdiff_t)n * c->M + m, row = (ptrdiff_t)n * c->K;
            sum s = {(double)c->V[(ptrdiff_t)c->K * c->M + m], 1, 0};
            add_product(&s, c->x + row, c->V, c->K, c->M, m);
            if (c->has_tx) add_product(&s, c->tx + row, c->W, c->K, c->M, m);
            s.value *= slope(c->activation, c->has_h ? c->h : NULL, at);
            wrong += !is_near((double)c->tz[at], &s, TRPOK_EPSILON);
        }
    return wrong == 0;
}

static int adjoint_input_is_right(const dense_case *c)
{
    int wrong = 0;
    for (int n = 0; n < c->N; n++)
        for (int k = 0; k < c->K; k++) {
            const ptrdiff_t at = (ptrdiff_t)n * c->K + k;
            sum s = {0, 0, 0};
            add_product(&s, c->dz + (ptrdiff_t)n * c->M, c->W_t, c->M, c->K, k);
            s.value *= slope(c->activation, c->has_h ? c->hx : NULL, at);
            wrong += !is_near((double)c->dx[at], &s, TRPOK_EPSILON);
        }
    return wrong == 0;
}

static int adjoint_weight_is_right(const dense_case *c)
{
    int wrong = 0;
    for (int k = 0; k <= c->K; k++)
        for (int m = 0; m < c->M; m++) {
            const ptrdiff_t at = (ptrdiff_t)k * c->M + m;
            sum s = {(double)c->dW_before[at], 1, 0};
            for (int n = 0; n < c->N; n++)
                add(&s, (k < c->K ? (double)c->x[(ptrdiff_t)n * c->K + k] : 1) *
                            (double)c->dz[(ptrdiff_t)n * c->M + m]);
            wrong += !is_near((double)c->dW[at], &s, TRPOK_EPSILON);
        }
    return wrong == 0;
}

/* The last row alone has the bits that it has among the others. */
static int rows_are_independent(const dense_case *c, const trpok_table *k)
{
    enum { MOST = 128 };
    real row[MOST];
    const int K = c->K, M = c->M, n = c->N - 1;
    const ptrdiff_t in = (ptrdiff_t)n * K, out = (ptrdiff_t)n * M;
    int same = 1;
    k->dense_forward(row, c->x + in, c->pW, c->activation, 1, K, M);
    same &= memcmp(row, c->z + out, (size_t)M * sizeof *row) == 0;
    k->dense_tangent(row, c->has_tx ? c->tx + in : NULL, c->x + in, c->has_h ? c->h + out : NULL,
                     c->pV, c->pW, c->activation, 1, K, M);
    same &= memcmp(row, c->tz + out, (size_t)M * sizeof *row) == 0;
    k->dense_adjoint_input(row, c->dz + out, c->has_h ? c->hx + in : NULL, c->pW_t, c->activation,
                           1, K, M);
    return same && memcmp(row, c->dx + in, (size_t)K * sizeof *row) == 0;
}

/* What fills a packed matrix up is a number too: it is multiplied by. */
static int is_filled(const real *packed, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        if (!isfinite(packed[i])) return 0;
    return 1;
}

static uint64_t dense_on(void *arg, const trpok_table *k)
{
    dense_case *c = (dense_case *)arg;
    dense_run(c, k, (uint64_t)(c->K * 101 + c->M));
    CHECK(is_filled(c->pV, k->packed_size(c->K + 1, c->M)));
    CHECK(is_filled(c->pW_t, k->packed_size(c->M, c->K)));
    CHECK(forward_is_right(c));
    CHECK(tangent_is_right(c));
    CHECK(adjoint_input_is_right(c));
    CHECK(adjoint_weight_is_right(c));
    CHECK(rows_are_independent(c, k));
    for (int place = 0; place < N_PLACES; place++) CHECK(place_is_whole(place));
    return dense_bits(NO_BITS);
}

/* Every `stride`-th combination of widths and rows; a variant of the case for each in turn. */
static void dense_layers(int stride)
{
    int number = 0;
    for (int i = 0; i < COUNT(layer_widths); i++)
        for (int j = 0; j < COUNT(layer_widths); j++)
            for (int n = 0; n < COUNT(layer_rows); n++, number++) {
                if (number % stride != 0) continue;
                dense_case c = dense_variant(layer_rows[n], layer_widths[i], layer_widths[j],
                                             number);
                check_name("layer N %d K %d M %d, activation %d, tx %d, h %d", c.N, c.K, c.M,
                           c.activation, c.has_tx, c.has_h);
                on_every_set(dense_on, &c);
            }
}

/* ---- exp, expm1, tanh ------------------------------------------------------------------------ */

typedef struct function_case {
    int function, count;
} function_case;

static double true_function(int function, double x)
{
    return function == 0 ? exp(x) : function == 1 ? expm1(x) : tanh(x);
}

static uint64_t function_on(void *arg, const trpok_table *k)
{
    const function_case *c = (const function_case *)arg;
    real *x, *y;
    function_run(&y, &x, k, c->function, c->count, (uint64_t)c->count);
    for (int i = 0; i < c->count; i++) {
        const double exact = true_function(c->function, (double)x[i]);
        const double close = fabs(exact) * 8 * TRPOK_EPSILON + (sizeof(real) == 4 ? 1e-44 : 0);
        CHECK((real)exact == y[i] || fabs((double)y[i] - exact) <= close);
    }
    CHECK(place_is_whole(AT_VALUE));
    return place_bits(NO_BITS, AT_VALUE);
}

/* To the last bits: tests/test_math.py. */
static void functions(void)
{
    for (int function = 0; function < N_FUNCTIONS; function++)
        for (int count = 0; count <= MOST_ARGUMENTS; count++) {
            function_case c = {function, count};
            check_name("function %d of %d numbers", function, count);
            on_every_set(function_on, &c);
        }
}

/* On each set, and under sanitizers: not by way of something undefined. */
static void what_is_no_number_stays_none(void)
{
    const trpok_table *k;
    for (int i = 0; (k = trpok_runnable(i)) != NULL; i++)
        for (int at = 0; at < N_FUNCTIONS * MOST_ARGUMENTS; at++) {
            uint64_t seed = 1;
            const int function = at % N_FUNCTIONS, place = at / N_FUNCTIONS;
            real *x = place_reals(AT_ARGUMENT, MOST_ARGUMENTS, 1, &seed), y[MOST_ARGUMENTS];
            check_name("%s: function %d of NaN in place %d", k->name, function, place);
            x[place] = (real)NAN;
            function_of(k, function)(y, x, MOST_ARGUMENTS);
            for (int j = 0; j < MOST_ARGUMENTS; j++) CHECK(isnan(y[j]) == (j == place));
        }
}

/* ---- work in double -------------------------------------------------------------------------- */

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
    CHECK(place_is_whole(AT_OUT));
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
    CHECK(place_is_whole(AT_L) && place_is_whole(AT_SOLUTION));
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

/* One environment, as kernels.h says it. */
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

/* One environment alone has the bits that it has among the others. */
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
    CHECK(place_is_whole(AT_ADV) && place_is_whole(AT_RET));
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

int main(int argc, char **argv)
{
    const int stride = argc == 2 ? atoi(argv[1]) : 1;
    places_open();
    the_sets_are_those_that_can_be_named();
    dense_layers(stride > 0 ? stride : 1);
    functions();
    what_is_no_number_stays_none();
    products();
    factors_and_solutions();
    advantages();
    return check_result();
}
