/* Saving and loading environments, setting their states, and closing them. */
#include "scripted.h"

static int closed = 0;

static void scripted_close(const void *config, void *state)
{
    (void)config, (void)state;
    closed++;
}

static void loaded_environments_continue_bit_for_bit(void)
{
    world a, b;
    check_name("saving");
    world_start(&a, 3);
    for (int t = 0; t < 4; t++) world_step(&a, t, END, TRPO_ENV_SAME_STEP);
    const size_t bytes = trpo_envs_save_bytes(a.envs);
    unsigned char *saved = (unsigned char *)take(bytes);
    CHECK(trpo_envs_save(a.envs, saved, bytes - 1) == TRPO_ENV_ERR_MEMORY);
    CHECK(trpo_envs_save(a.envs, saved, bytes) == TRPO_ENV_OK);
    b.env = scripted_env(3);
    world_place(&b, 5);
    const uint64_t before = bits_of(&b);
    CHECK(trpo_envs_load(b.envs, NULL, bytes) == TRPO_ENV_ERR_MEMORY);
    CHECK(trpo_envs_load(b.envs, saved, bytes - 1) == TRPO_ENV_ERR_SAVED);
    saved[bytes / 2] ^= 1;
    CHECK(trpo_envs_load(b.envs, saved, bytes) == TRPO_ENV_ERR_SAVED);
    CHECK(bits_of(&b) == before);
    saved[bytes / 2] ^= 1;
    CHECK(trpo_envs_load(b.envs, saved, bytes) == TRPO_ENV_OK);
    for (int t = 0; t < 10; t++) {
        CHECK(bits_of(&a) == bits_of(&b));
        world_step(&a, t % E, END, TRPO_ENV_SAME_STEP);
        world_step(&b, t % E, END, TRPO_ENV_SAME_STEP);
    }
    b.env.name = "Another";
    CHECK(trpo_envs_load(b.envs, saved, bytes) == TRPO_ENV_ERR_SAVED);
    free(saved);
    world_end(&a);
    world_end(&b);
}

static void states_can_be_set(void)
{
    world w;
    check_name("states");
    world_start(&w, 3);
    world_step(&w, 0, END, TRPO_ENV_DISABLED);
    ((scripted *)trpo_envs_state(w.envs, 0))->steps = 40;
    CHECK(trpo_envs_observe(w.envs, 0, &w.failure) == TRPO_ENV_OK);
    CHECK(obs_at(&w, 0, 1) == 40 && w.out.term[0] == 0 && w.out.episode_length[0] == 0);
    CHECK(world_step(&w, 0, GO, TRPO_ENV_DISABLED) == TRPO_ENV_OK);
    CHECK(obs_at(&w, 0, 1) == 41 && w.out.episode_length[0] == 1 && w.out.rew[0] == 41);
    w.env.observe = NULL;
    CHECK(trpo_envs_observe(w.envs, 0, NULL) == TRPO_ENV_ERR_NONE);
    world_end(&w);
}

static void started_environments_are_closed(void)
{
    const uint8_t mask[E] = {1, 0, 1, 0};
    world w;
    check_name("closing");
    w.env = scripted_env(0);
    w.env.close = scripted_close;
    world_place(&w, 1);
    CHECK(trpo_envs_reset(w.envs, mask, NULL) == TRPO_ENV_OK);
    closed = 0;
    trpo_envs_close(w.envs);
    CHECK(closed == 2);
    CHECK(world_step(&w, 0, GO, TRPO_ENV_SAME_STEP) == TRPO_ENV_ERR_ORDER);
    trpo_envs_close(w.envs);
    CHECK(closed == 2);
    CHECK(trpo_envs_save_bytes(w.envs) == 0);
    CHECK(trpo_envs_save(w.envs, w.act, sizeof w.act) == TRPO_ENV_ERR_NONE);
    CHECK(trpo_envs_load(w.envs, w.act, sizeof w.act) == TRPO_ENV_ERR_NONE);
    CHECK(trpo_envs_reset(w.envs, NULL, NULL) == TRPO_ENV_OK);
    CHECK(obs_at(&w, 0, 0) == 1); /* the first episode of a new state */
    trpo_envs_close(w.envs);
    world_end(&w);
}

int main(void)
{
    loaded_environments_continue_bit_for_bit();
    states_can_be_set();
    started_environments_are_closed();
    return check_result();
}
