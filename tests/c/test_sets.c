/* Updates with each instruction set: all sets with fused multiply-add give the same bits, for every
 * space, critic and activation, and for layers on both sides of the limit of short layers (8
 * outputs). */
#include "check.h"

/* The sets with fused multiply-add; the core knows which of them are supported. */
static const char *const sets[] = {"avx512", "avx2", "neon"};
enum { N_SETS = sizeof sets / sizeof *sets, N_SHAPES = 5 };

/* Layers of every shape: linear, short, ending inside and at the end of a vector, and linear in
 * features. */
static void shape(trpo_settings *s, int number)
{
    static const int hidden[N_SHAPES][3] = {{0}, {8, 9}, {33, 4, 17}, {64, 64}, {0}};
    static const int n_hidden[N_SHAPES] = {0, 2, 3, 2, 0}, envs[N_SHAPES] = {4, 5, 7, 16, 9};
    s->n_policy_hidden = s->n_value_hidden = n_hidden[number];
    s->policy_hidden = s->value_hidden = hidden[number];
    s->n_envs = envs[number];
}

static uint64_t bits_under(const char *set, trpo_settings *s)
{
    learner l;
    s->instruction_set = set;
    learner_start(&l, s, NULL);
    CHECK(strcmp(trpo_instruction_set(l.agent), set) == 0);
    for (int i = 0; i < 2; i++) learner_iterate(&l, NULL);
    CHECK(state_is_finite(l.agent));
    const uint64_t bits = saved_bits(l.agent);
    learner_end(&l);
    return bits;
}

static int is_runnable(const char *set, trpo_settings *s)
{
    s->instruction_set = set;
    return trpo_bad_setting(s) == NULL;
}

static void sets_agree(trpo_settings *s)
{
    uint64_t first = 0;
    int n_runnable = 0;
    for (int i = 0; i < N_SETS; i++) {
        if (!is_runnable(sets[i], s)) continue;
        const uint64_t bits = bits_under(sets[i], s);
        if (n_runnable++ == 0) first = bits;
        CHECK(bits == first);
    }
    bits_under("baseline", s);
}

static void one_kind_agrees(int space, int critic, int number)
{
    trpo_settings s;
    check_name("%s, critic %d, shape %d", space_name(space), critic, number);
    small_settings(&s, space, 0);
    shape(&s, number);
    s.critic = critic;
    s.activation = (space + critic + number) % 3;
    s.preconditioner = (space + number) % 2 ? TRPO_KFAC : TRPO_NONE;
    s.normalize_observations = s.normalize_rewards = critic == TRPO_ADAM;
    s.n_critic_updates = 2;
    s.features = number == N_SHAPES - 1 ? 1 + (space + critic) % 3 : TRPO_NO_FEATURES;
    s.n_features = 21;
    s.acceptance = number % 3;
    s.kl_direction = number % 2;
    s.adaptive_damping = 1;
    sets_agree(&s);
}

int main(void)
{
    for (int space = 0; space < N_SPACES; space++)
        for (int critic = 0; critic < N_CRITICS; critic++)
            for (int number = 0; number < N_SHAPES; number++)
                one_kind_agrees(space, critic, number);
    return check_result();
}
