/* Prints the bits of an instruction set's kernels, a line per case, to compare machines. */
#include "arrays.h"

#include "kernel_cases.h"

static void line(const char *what, int a, int b, int c, uint64_t bits)
{
    printf("%s %d %d %d %016llx\n", what, a, b, c, (unsigned long long)bits);
}

/* Every `every`-th layer. */
static void dense_lines(const trpok_table *k, int every)
{
    int number = 0;
    for (int i = 0; i < COUNT(layer_widths); i++)
        for (int j = 0; j < COUNT(layer_widths); j++) {
            const int K = layer_widths[i], M = layer_widths[j];
            uint64_t bits = NO_BITS;
            if ((i * COUNT(layer_widths) + j) % every != 0) continue;
            for (int n = 0; n < COUNT(layer_rows); n++, number++) {
                dense_case c = dense_variant(layer_rows[n], K, M, number);
                dense_run(&c, k, (uint64_t)number);
                bits = dense_bits(bits);
            }
            line("dense", K, M, 0, bits);
        }
}

static void function_lines(const trpok_table *k)
{
    for (int function = 0; function < N_FUNCTIONS; function++)
        for (int count = 1; count <= MAX_ARGUMENTS; count++) {
            uint64_t bits = NO_BITS;
            real *x, *y;
            for (uint64_t seed = 0; seed < 40; seed++) {
                function_run(&y, &x, k, function, count, seed);
                bits = place_bits(bits, AT_VALUE);
            }
            line("function", function, count, 0, bits);
        }
}

static void product_lines(const trpok_table *k)
{
    for (int i = 0; i < COUNT(wide_sizes); i++)
        for (int j = 0; j < COUNT(wide_sizes); j++) {
            const int R = wide_sizes[i], K = wide_sizes[(i + j) % COUNT(wide_sizes)];
            multiply_case c = {R, K, wide_sizes[j], NULL, NULL, NULL};
            multiply_run(&c, k, (uint64_t)(R + 40 * K));
            line("product", c.R, c.K, c.C, place_bits(NO_BITS, AT_OUT));
        }
}

static void cholesky_lines(const trpok_table *k)
{
    for (int i = 0; i < COUNT(wide_sizes); i++)
        for (int j = 0; j < COUNT(wide_sizes); j++) {
            cholesky_case c = {wide_sizes[i], wide_sizes[j], j % 2, (i + j) % 3 == 0 ? 0.5 : 0,
                               NULL,          NULL,          NULL,  NULL};
            cholesky_run(&c, k, (uint64_t)c.S);
            line("cholesky", c.S, c.M, c.singular,
                 place_bits(place_bits(NO_BITS, AT_L), AT_SOLUTION));
        }
}

static void gae_lines(const trpok_table *k)
{
    for (int i = 0; i < COUNT(gae_steps); i++)
        for (int j = 0; j < COUNT(gae_envs); j++) {
            gae_case c;
            memset(&c, 0, sizeof c);
            c.T = gae_steps[i], c.E = gae_envs[j];
            gae_run(&c, k, (uint64_t)(c.E + 100 * c.T));
            line("gae", c.T, c.E, 0, place_bits(place_bits(NO_BITS, AT_ADV), AT_RET));
        }
}

static void update_line(const trpok_table *k, int space, int critic, int depth)
{
    static const int hidden[] = {33, 8, 17};
    trpo_settings s;
    learner l;
    small_settings(&s, space, 0);
    s.policy_hidden = s.value_hidden = hidden;
    s.n_policy_hidden = s.n_value_hidden = depth;
    s.n_envs = 4 + depth;
    s.features = depth == 0 ? critic : TRPO_NO_FEATURES;
    s.n_features = 21;
    s.critic = critic;
    s.activation = (space + critic + depth) % 3;
    s.normalize_observations = s.normalize_rewards = depth == 3;
    s.instruction_set = k->name;
    learner_start(&l, &s, NULL);
    for (int i = 0; i < 2; i++) learner_iterate(&l, NULL);
    line("update", space, critic, depth, saved_bits(l.agent));
    learner_end(&l);
}

static void update_lines(const trpok_table *k)
{
    for (int space = 0; space < N_SPACES; space++)
        for (int critic = 0; critic < N_CRITICS; critic++)
            for (int depth = 0; depth <= 3; depth++) update_line(k, space, critic, depth);
}

int main(int argc, char **argv)
{
    const trpok_table *k = argc == 3 ? trpok_named(argv[1]) : NULL;
    if (k == NULL) return 2;
    places_open();
    dense_lines(k, atoi(argv[2]));
    function_lines(k);
    product_lines(k);
    cholesky_lines(k);
    gae_lines(k);
    update_lines(k);
    return check_result();
}
