/* Any settings and sizes: either a setting is named as invalid, or the bytes are 0 because too many
 * are needed, or an agent works in exactly that many bytes. */
#include "agent.h"

enum { MANY = 40, FEW_BYTES = 1 << 20 };

static int lengths[MANY], parts[MANY];

static void fill(int *x, int count, input *in)
{
    for (int i = 0; i < count; i++) x[i] = next_int(in);
}

static int next_count(input *in)
{
    const int count = next_int(in);
    return count > MANY ? count % MANY : count;
}

static void choose_sizes(trpo_settings *s, input *in)
{
    fill(lengths, MANY, in);
    fill(parts, MANY, in);
    s->obs_size = next_int(in);
    s->distribution = next_int(in);
    s->parts = next_of(in, 20) ? parts : NULL;
    s->n_parts = next_count(in);
    if (s->distribution != TRPO_CATEGORICAL)
        for (int d = 0; d < MANY; d++) parts[d] = 1;
    s->policy_hidden = next_of(in, 20) ? lengths : NULL;
    s->value_hidden = lengths;
    s->n_policy_hidden = next_count(in);
    s->n_value_hidden = next_count(in);
    s->features = next_of(in, 5);
    s->n_features = next_int(in);
    s->feature_degree = next_int(in);
    s->n_steps = next_int(in);
    s->n_envs = next_int(in);
    s->sub_sampling_factor = next_int(in);
    s->preconditioner = next_of(in, 2);
    s->critic = next_of(in, TRPO_N_CRITICS + 1);
    s->batch_size = next_int(in);
}

static void choose_numbers(trpo_settings *s, input *in)
{
    double *const numbers[] = {&s->log_std_init, &s->log_std_min, &s->log_std_max, &s->gamma,
                               &s->gae_lambda, &s->target_kl, &s->ent_coef, &s->cg_damping,
                               &s->cg_tolerance, &s->line_search_shrinking_factor, &s->kl_slack,
                               &s->critic_damping, &s->learning_rate, &s->feature_bandwidth};
    const int count = (int)(sizeof numbers / sizeof *numbers);
    for (int changes = next_of(in, 4); changes > 0; changes--)
        *numbers[next_of(in, count)] = next_double(in);
    s->activation = next_of(in, 4);
    s->acceptance = next_of(in, 4);
    s->kl_direction = next_of(in, 3);
    s->normalize_observations = next_of(in, 2);
    s->normalize_rewards = next_of(in, 2);
    s->seed = next_long(in);
}

static void run_sequentially(void *ctx, int n_tasks, void (*task)(void *arg, int index, int worker),
                         void *arg)
{
    (void)ctx;
    for (int i = 0; i < n_tasks; i++) task(arg, i, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    trpo_settings s;
    trpo_agent *agent = NULL;
    trpo_default_settings(&s);
    choose_sizes(&s, &in);
    choose_numbers(&s, &in);
    const trpo_executor executor = {NULL, next_int(&in), run_sequentially};
    const int is_bad = trpo_bad_setting(&s) != NULL || executor.n_workers < 1;
    const size_t bytes = trpo_bytes(&s, &executor);
    MUST((trpo_useful_workers(&s) == 0) == (trpo_bad_setting(&s) != NULL));
    if (is_bad || bytes == 0) {
        MUST(bytes == 0);
        MUST(trpo_init(&agent, &s, &executor, &agent, sizeof agent) ==
             (is_bad ? TRPO_ERR_SETTING : TRPO_ERR_MEMORY));
    } else if (bytes < FEW_BYTES) {
        void *memory = room(bytes);
        MUST(trpo_init(&agent, &s, &executor, memory, bytes - 1) == TRPO_ERR_MEMORY);
        MUST(trpo_init(&agent, &s, &executor, memory, bytes) == TRPO_OK);
        MUST(trpo_save_bytes(agent) < bytes);
        row r = row_of(&s);
        live(agent, &r, &in, &s);
        row_end(&r);
        free(memory);
    }
    return 0;
}
