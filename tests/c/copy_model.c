/* A C program between Python programs: reads a model file, acts with its policy, saves the model
 * again, trains it on and saves that.
 *
 *     copy_model MODEL COPY TRAINED     prints the policy's actions for 3 rows; exits with a status
 */
#include "check.h"

enum { ROWS = 3, MANY = 1000 };

static unsigned char *read_file(const char *path, size_t *count)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) exit(2);
    unsigned char *bytes = (unsigned char *)take(1u << 24);
    *count = fread(bytes, 1, 1u << 24, file);
    fclose(file);
    return bytes;
}

/* Saves the agent, with what else is in the original file. */
static void write_file(const char *path, const trpo_agent *agent, const unsigned char *original,
                       size_t original_bytes)
{
    size_t count = trpo_save_bytes(agent), room = count + original_bytes;
    unsigned char *bytes = (unsigned char *)take(room);
    FILE *file = fopen(path, "wb");
    if (file == NULL) exit(2);
    CHECK(trpo_save(agent, bytes, count) == TRPO_OK);
    CHECK(trpo_copy_sections(bytes, &count, room, original, original_bytes) == TRPO_OK);
    CHECK(fwrite(bytes, 1, count, file) == count);
    fclose(file);
    free(bytes);
}

static void print_actions(const unsigned char *saved, size_t count)
{
    const size_t bytes = trpo_policy_bytes(saved, count, NULL);
    void *memory = take(bytes);
    trpo_policy *policy;
    CHECK(trpo_policy_init(&policy, saved, count, NULL, memory, bytes) == TRPO_OK);
    const int O = trpo_policy_settings(policy)->obs_size;
    const int D = trpo_policy_settings(policy)->n_parts;
    trpo_real obs[MANY], act[MANY];
    for (int i = 0; i < ROWS * O; i++) obs[i] = (trpo_real)(i % 7) / 4 - 1;
    for (int deterministic = 1; deterministic >= 0; deterministic--) {
        CHECK(trpo_policy_act(policy, act, obs, NULL, deterministic, ROWS) == TRPO_OK);
        trpo_policy_to_env(policy, act, ROWS);
        for (int i = 0; i < ROWS * D; i++) printf("%.17g\n", (double)act[i]);
    }
    free(memory);
}

/* An iteration on made-up rows. */
static void train(trpo_agent *agent, const trpo_settings *s)
{
    static trpo_real obs[MANY], act[MANY];
    static double rew[MANY];
    static uint8_t term[MANY], trunc[MANY];
    for (int t = 0; t < s->n_steps; t++) {
        for (int i = 0; i < s->n_envs * s->obs_size; i++) obs[i] = (trpo_real)trpo_sin(t + 3.7 * i);
        CHECK(trpo_act(agent, act, NULL, NULL, obs, NULL) == TRPO_OK);
        for (int e = 0; e < s->n_envs; e++) rew[e] = (double)act[e * s->n_parts];
        CHECK(trpo_push(agent, rew, term, trunc, obs, NULL) == TRPO_OK);
    }
    CHECK(trpo_update(agent, NULL) >= 0);
}

int main(int argc, char **argv)
{
    trpo_settings s;
    trpo_agent *agent;
    int sizes[MANY];
    size_t count;
    if (argc != 4) return 2;
    unsigned char *saved = read_file(argv[1], &count);
    CHECK(trpo_peek(saved, count, &s, sizes, MANY) == TRPO_OK);
    const size_t bytes = trpo_bytes(&s, NULL);
    void *memory = take(bytes);
    CHECK(trpo_init(&agent, &s, NULL, memory, bytes) == TRPO_OK);
    CHECK(trpo_load(agent, saved, count) == TRPO_OK);
    if (check_failures > 0) return 1;
    print_actions(saved, count);
    write_file(argv[2], agent, saved, count);
    train(agent, &s);
    write_file(argv[3], agent, saved, count);
    free(saved), free(memory);
    return check_result();
}
