/* Masks of environments: when `mask` is called, which masks are rejected, and structs from before
 * `mask` was added. */
#include <stddef.h>

#include "scripted.h"

/* ---- a simulator with masks ------------------------------------------------------------------ */

/* The second component of an action selects the next mask; if the step ends the episode, the mask
 * of the next one. */
enum { WELL = 0, SHUT = 1, ODD = 2, UNKNOWN = 3, N_ORDERS = 4, A = N_CHOICES + N_ORDERS };

static int n_mask_calls = 0;

static int masked_reset(const void *config, void *state, double *obs, trpo_env_random *random)
{
    scripted *s = (scripted *)state;
    s->rest[0] = s->rest[1];
    s->rest[1] = WELL;
    return scripted_reset(config, state, obs, random);
}

static int masked_step(const void *config, void *state, const double *act, double *obs, double *rew,
                       uint8_t *term, trpo_env_random *random)
{
    scripted *s = (scripted *)state;
    const int code = scripted_step(config, state, act, obs, rew, term, random);
    s->rest[*term ? 1 : 0] = (unsigned char)act[1];
    return code;
}

/* The valid mask of a state. */
static void usual_mask(uint8_t *mask, int episode, int steps)
{
    for (int k = 0; k < N_CHOICES; k++) mask[k] = (episode + steps + k) % 2 == 0;
    for (int k = 0; k < N_ORDERS; k++) mask[N_CHOICES + k] = k >= steps % N_ORDERS;
}

static int scripted_mask(const void *config, const void *state, uint8_t *mask)
{
    const scripted *s = (const scripted *)state;
    (void)config;
    n_mask_calls++;
    for (int k = 0; k < A; k++) CHECK(mask[k] == 0);
    usual_mask(mask, s->episode, s->steps);
    if (s->rest[0] == SHUT) memset(mask + N_CHOICES, 0, N_ORDERS);
    if (s->rest[0] == ODD) mask[A - 1] = 3;
    return s->rest[0] == UNKNOWN ? 5 : 0;
}

static trpo_env masked_env(int limit)
{
    static const int choices[] = {N_CHOICES, N_ORDERS};
    trpo_env env = scripted_env(limit);
    env.choices = choices;
    env.reset = masked_reset;
    env.step = masked_step;
    env.mask = scripted_mask;
    return env;
}

static void masked_start(world *w, int limit)
{
    w->env = masked_env(limit);
    world_place(w, 1);
    CHECK(trpo_envs_reset(w->envs, NULL, &w->failure) == TRPO_ENV_OK);
}

/* Steps all environments with GO, but environment e with `order`, and with this next mask. */
static int masked_world_step(world *w, int e, int order, int mask, int autoreset)
{
    for (int i = 0; i < E; i++) w->act[2 * i + 1] = i == e ? mask : WELL;
    return world_step(w, e, order, autoreset);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static int mask_matches_state(const world *w, int e)
{
    uint8_t mask[A];
    usual_mask(mask, (int)obs_at(w, e, 0), (int)obs_at(w, e, 1));
    return memcmp(w->out.mask + e * A, mask, A) == 0;
}

static int allows_all(const world *w, int e)
{
    for (int k = 0; k < A; k++)
        if (w->out.mask[e * A + k] != 1) return 0;
    return 1;
}

/* After each step the mask is that of the observed state; where an episode has ended, everything is
 * allowed and `mask` is not called. */
static void masks_follow_the_state(int autoreset)
{
    static const int orders[] = {GO, END, GO, GO, END, END, GO, GO, END, GO};
    world w;
    check_name("masks, autoreset %d", autoreset);
    n_mask_calls = 0;
    masked_start(&w, 3);
    for (int e = 0; e < E; e++) CHECK(mask_matches_state(&w, e));
    CHECK(n_mask_calls == E);
    for (size_t t = 0; t < sizeof orders / sizeof *orders; t++) {
        int n_over = 0;
        n_mask_calls = 0;
        CHECK(masked_world_step(&w, 1, orders[t], WELL, autoreset) == TRPO_ENV_OK);
        for (int e = 0; e < E; e++) {
            const int over = autoreset != TRPO_ENV_SAME_STEP && (w.out.term[e] | w.out.trunc[e]);
            CHECK(over ? allows_all(&w, e) : mask_matches_state(&w, e));
            n_over += over;
        }
        CHECK(n_mask_calls == E - n_over);
        for (int e = 0; autoreset == TRPO_ENV_DISABLED && e < E; e++) {
            uint8_t which[E] = {0, 0, 0, 0};
            which[e] = w.out.term[e] | w.out.trunc[e];
            CHECK(trpo_envs_reset(w.envs, which, NULL) == TRPO_ENV_OK && mask_matches_state(&w, e));
        }
    }
    world_end(&w);
}

static void masks_of_states_that_are_set(void)
{
    world w;
    check_name("masks of states");
    masked_start(&w, 0);
    ((scripted *)trpo_envs_state(w.envs, 1))->steps = 7;
    CHECK(trpo_envs_observe(w.envs, 1, &w.failure) == TRPO_ENV_OK);
    CHECK(obs_at(&w, 1, 1) == 7 && mask_matches_state(&w, 1));
    ((scripted *)trpo_envs_state(w.envs, 2))->rest[0] = SHUT;
    CHECK(trpo_envs_observe(w.envs, 2, &w.failure) == TRPO_ENV_ERR_MASK);
    CHECK(w.failure.env == 2 && w.failure.step == 0 && w.failure.component == 1);
    world_end(&w);
}

static void masks_are_saved(void)
{
    world a, b;
    check_name("saved masks");
    masked_start(&a, 3);
    masked_start(&b, 3);
    CHECK(masked_world_step(&a, 1, END, WELL, TRPO_ENV_NEXT_STEP) == TRPO_ENV_OK);
    const size_t bytes = trpo_envs_save_bytes(a.envs);
    unsigned char *saved = (unsigned char *)take(bytes);
    CHECK(trpo_envs_save(a.envs, saved, bytes) == TRPO_ENV_OK);
    CHECK(trpo_envs_load(b.envs, saved, bytes) == TRPO_ENV_OK);
    CHECK(memcmp(a.out.mask, b.out.mask, E * A) == 0);
    CHECK(allows_all(&b, 1) && mask_matches_state(&b, 0));
    free(saved);
    world_end(&a);
    world_end(&b);
}

/* ---- rejected masks -------------------------------------------------------------------------- */

static void check_rejected(world *w, int status, int step, int mask)
{
    CHECK(status == TRPO_ENV_ERR_MASK && w->failure.status == TRPO_ENV_ERR_MASK);
    CHECK(w->failure.env == 2 && w->failure.step == step);
    CHECK(w->failure.code == (mask == UNKNOWN ? 5 : 0));
    CHECK(w->failure.component == (mask == UNKNOWN ? 0 : 1));
}

/* In the second step, or at the next episode's reset; the environment is then as after any
 * failure. */
static void masks_are_rejected(int mask, int at_reset)
{
    world w;
    check_name("mask %d, at reset %d", mask, at_reset);
    masked_start(&w, 0);
    CHECK(masked_world_step(&w, 2, GO, WELL, TRPO_ENV_SAME_STEP) == TRPO_ENV_OK);
    check_rejected(&w, masked_world_step(&w, 2, at_reset ? END : GO, mask, TRPO_ENV_SAME_STEP),
                   at_reset ? 0 : 2, mask);
    CHECK(mask_matches_state(&w, 1) && obs_at(&w, 3, 1) == 1);
    CHECK(masked_world_step(&w, 2, GO, WELL, TRPO_ENV_SAME_STEP) == TRPO_ENV_ERR_ORDER);
    CHECK(w.failure.env == 2);
    CHECK(trpo_envs_reset(w.envs, NULL, NULL) == TRPO_ENV_OK);
    CHECK(masked_world_step(&w, 2, GO, WELL, TRPO_ENV_SAME_STEP) == TRPO_ENV_OK);
    for (int e = 0; e < E; e++) CHECK(mask_matches_state(&w, e));
    world_end(&w);
}

static void masks_of_real_actions_are_rejected(void)
{
    trpo_env env = masked_env(0);
    trpo_envs *envs;
    char memory[1];
    check_name("masks of real actions");
    env.choices = NULL;
    CHECK(strcmp(trpo_env_bad_field(&env), "mask") == 0 && trpo_envs_bytes(&env, 1) == 0);
    CHECK(trpo_envs_init(&envs, &env, 1, 0, memory, 1) == TRPO_ENV_ERR_SPEC);
}

/* ---- without masks --------------------------------------------------------------------------- */

static void without_masks_no_memory_is_used(void)
{
    const trpo_env with = masked_env(0);
    trpo_env without = masked_env(0);
    world w;
    check_name("no masks");
    without.mask = NULL;
    CHECK(trpo_envs_bytes(&without, 1000) + 1000 * A <= trpo_envs_bytes(&with, 1000));
    world_start(&w, 0);
    CHECK(w.out.mask == NULL);
    world_end(&w);
}

/* A struct that ends before `mask`, in memory that ends there too. */
static void older_structs_are_accepted(void)
{
    const size_t size = offsetof(trpo_env, mask);
    const trpo_env now = scripted_env(3);
    trpo_env *older = (trpo_env *)take(size);
    world w;
    check_name("an older struct");
    memcpy(older, &now, size);
    older->struct_size = (int)size;
    CHECK(trpo_env_bad_field(older) == NULL);
    world_start(&w, 3);
    trpo_envs *envs;
    const size_t bytes = trpo_envs_bytes(older, E);
    char *memory = (char *)take(bytes);
    CHECK(trpo_envs_init(&envs, older, E, 1, memory, bytes) == TRPO_ENV_OK);
    CHECK(trpo_envs_reset(envs, NULL, NULL) == TRPO_ENV_OK);
    for (int t = 0; t < 9; t++) {
        CHECK(world_step(&w, 1, END, TRPO_ENV_SAME_STEP) == TRPO_ENV_OK);
        CHECK(trpo_envs_step(envs, w.act, TRPO_ENV_SAME_STEP, 0, E, NULL) == TRPO_ENV_OK);
    }
    const double *obs = trpo_envs_outcome(envs).obs;
    CHECK(memcmp(obs, w.out.obs, E * 3 * sizeof *obs) == 0);
    CHECK(trpo_envs_outcome(envs).mask == NULL);
    free(memory);
    free(older);
    world_end(&w);
}

int main(void)
{
    for (int autoreset = TRPO_ENV_DISABLED; autoreset <= TRPO_ENV_NEXT_STEP; autoreset++)
        masks_follow_the_state(autoreset);
    masks_of_states_that_are_set();
    masks_are_saved();
    for (int mask = SHUT; mask <= UNKNOWN; mask++)
        for (int at_reset = 0; at_reset < 2; at_reset++) masks_are_rejected(mask, at_reset);
    masks_of_real_actions_are_rejected();
    without_masks_no_memory_is_used();
    older_structs_are_accepted();
    return check_result();
}
