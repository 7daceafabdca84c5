/* The memory of agents and environments depends only on the calls, not on the stack's earlier
 * contents, which copying a struct with its padding, or before it is filled in, would bring
 * along. */
#include "scripted.h"

enum { DEEP = 1 << 16 };

/* Fills the part of the stack that the next call's variables will use. */
static int paint(int byte)
{
    volatile unsigned char stack[DEEP];
    for (int i = 0; i < DEEP; i++) stack[i] = (unsigned char)byte;
    return stack[DEEP / 2];
}

/* The memory's bits after each call, with different contents of the stack. */
typedef struct place {
    unsigned char *memory;
    size_t bytes;
} place;

static uint64_t bits_in(const place *p) { return more_bits(NO_BITS, p->memory, p->bytes); }

static uint64_t life_of_an_agent(const place *p, const trpo_settings *s, int byte)
{
    learner l;
    l.set = *s;
    CHECK(paint(byte) == byte);
    CHECK(trpo_init(&l.agent, s, NULL, p->memory, p->bytes) == TRPO_OK);
    uint64_t bits = bits_in(p);
    toy_start(&l.world);
    for (int t = 0; t < s->n_steps; t++) {
        paint(byte);
        learner_act(&l);
        paint(byte);
        learner_push(&l);
    }
    bits += 3 * bits_in(p);
    l.obs[0] = (trpo_real)NAN;
    paint(byte);
    CHECK(trpo_act(l.agent, l.act, NULL, NULL, l.obs, NULL) < 0);
    paint(byte);
    CHECK(trpo_update(l.agent, NULL) >= 0);
    return bits + 7 * bits_in(p);
}

static void agents(void)
{
    for (int space = 0; space < N_SPACES; space++)
        for (int critic = 0; critic < N_CRITICS; critic++) {
            trpo_settings s;
            check_name("an agent of %s, critic %d", space_name(space), critic);
            small_settings(&s, space, 1);
            s.critic = critic;
            s.sub_sampling_factor = 2;
            const place p = {(unsigned char *)take(trpo_bytes(&s, NULL)), trpo_bytes(&s, NULL)};
            CHECK(life_of_an_agent(&p, &s, 0x00) == life_of_an_agent(&p, &s, 0xA5));
            free(p.memory);
        }
}

/* A rollout in environments of which one fails; the bits of both memories. */
static uint64_t life_in_environments(const place *agent, const place *place_of_envs,
                                     const trpo_settings *s, const trpo_env *env, int byte)
{
    trpo_agent *w;
    trpo_envs *envs;
    trpo_env_failure failure;
    int failures = 0;
    paint(byte);
    CHECK(trpo_init(&w, s, NULL, agent->memory, agent->bytes) == TRPO_OK);
    paint(byte);
    CHECK(trpo_envs_init(&envs, env, s->n_envs, 1, place_of_envs->memory, place_of_envs->bytes) ==
          TRPO_ENV_OK);
    uint64_t bits = bits_in(place_of_envs);
    for (int i = 0; i < 4; i++) {
        paint(byte);
        (void)trpo_envs_reset(envs, NULL, NULL);
        paint(byte);
        failures += trpo_collect(w, envs, s->n_steps, 1, &failure) == TRPO_ERR_ENVIRONMENT;
        bits += 3 * bits_in(agent) + 5 * bits_in(place_of_envs);
        trpo_discard(w);
    }
    CHECK(failures > 0);
    return bits;
}

static void environments(void)
{
    static const int choices[] = {N_CHOICES, 2};
    const trpo_env env = scripted_env(7);
    trpo_settings s;
    check_name("environments");
    small_settings(&s, TWO_PARTS, 1);
    s.parts = choices;
    const place agent = {(unsigned char *)take(trpo_bytes(&s, NULL)), trpo_bytes(&s, NULL)};
    const size_t bytes = trpo_envs_bytes(&env, s.n_envs);
    const place envs = {(unsigned char *)take(bytes), bytes};
    CHECK(life_in_environments(&agent, &envs, &s, &env, 0x00) ==
          life_in_environments(&agent, &envs, &s, &env, 0xA5));
    free(agent.memory);
    free(envs.memory);
}

int main(void)
{
    agents();
    environments();
    return check_result();
}
