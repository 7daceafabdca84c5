/* The kernels of every supported instruction set, on layers and functions.
 *  test_kernels [5]    every fifth dense layer, for slow machines: any number prime to 12, 17 */
#include "every_set.h"

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

/* The last row alone has the same bits as among the others. */
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

/* Padding of a packed matrix must be finite, since it is multiplied. */
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
    for (int place = 0; place < N_PLACES; place++) CHECK(place_is_intact(place));
    return dense_bits(NO_BITS);
}

/* Every `stride`-th combination of widths and rows; each with the next variant of the case. */
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

/* ---- exp, expm1, tanh, sin ------------------------------------------------------------------- */

typedef struct function_case {
    int function, count;
} function_case;

static double true_function(int function, double x)
{
    return function == 0 ? exp(x) : function == 1 ? expm1(x) : function == 2 ? tanh(x) : sin(x);
}

static uint64_t function_on(void *arg, const trpok_table *k)
{
    const function_case *c = (const function_case *)arg;
    real *x, *y;
    function_run(&y, &x, k, c->function, c->count, (uint64_t)c->count);
    for (int i = 0; i < c->count; i++) {
        const double exact = true_function(c->function, (double)x[i]);
        const double size = c->function == 3 ? 1 : fabs(exact);
        const double close = size * 8 * TRPOK_EPSILON + (sizeof(real) == 4 ? 1e-44 : 0);
        CHECK((real)exact == y[i] || fabs((double)y[i] - exact) <= close);
    }
    CHECK(place_is_intact(AT_VALUE));
    return place_bits(NO_BITS, AT_VALUE);
}

/* tests/test_math.py checks the last bits. */
static void functions(void)
{
    for (int function = 0; function < N_FUNCTIONS; function++)
        for (int count = 0; count <= MAX_ARGUMENTS; count++) {
            function_case c = {function, count};
            check_name("function %d of %d numbers", function, count);
            on_every_set(function_on, &c);
        }
}

/* On each set; sanitizers check that this involves no undefined behaviour. */
static void nan_stays_nan(void)
{
    const trpok_table *k;
    for (int i = 0; (k = trpok_runnable(i)) != NULL; i++)
        for (int at = 0; at < N_FUNCTIONS * MAX_ARGUMENTS; at++) {
            uint64_t seed = 1;
            const int function = at % N_FUNCTIONS, place = at / N_FUNCTIONS;
            real *x = place_reals(AT_ARGUMENT, MAX_ARGUMENTS, 1, &seed), y[MAX_ARGUMENTS];
            check_name("%s: function %d of NaN in place %d", k->name, function, place);
            x[place] = (real)NAN;
            function_of(k, function)(y, x, MAX_ARGUMENTS);
            for (int j = 0; j < MAX_ARGUMENTS; j++) CHECK(isnan(y[j]) == (j == place));
        }
}

int main(int argc, char **argv)
{
    const int stride = argc == 2 ? atoi(argv[1]) : 1;
    places_open();
    the_sets_are_those_that_can_be_named();
    dense_layers(stride > 0 ? stride : 1);
    functions();
    nan_stays_nan();
    return check_result();
}
