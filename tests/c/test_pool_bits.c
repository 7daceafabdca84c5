/* Agents on the thread pool: updates give the same bits for any number of threads, in any
 * process. */
#if !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif

#include "check.h"
#include "threads.h"

#include "../../csrc/include/trpo_pool.h"

#include <sys/wait.h>
#include <unistd.h>

static void large_settings(trpo_settings *s, int space, int critic)
{
    small_settings(s, space, 1);
    s->n_envs = MAX_ENVS;
    s->n_steps = 33;
    s->critic = critic;
    s->sub_sampling_factor = 1 + critic;
    s->normalize_observations = s->normalize_rewards = 1;
}

static uint64_t bits_after(const trpo_settings *s, const trpo_executor *executor, int iterations)
{
    learner l;
    learner_start(&l, s, executor);
    for (int i = 0; i < iterations; i++) learner_iterate(&l, NULL);
    const uint64_t bits = saved_bits(l.agent);
    learner_end(&l);
    return bits;
}

/* Updates of every space and critic, one after the other on the same pool. */
static void threads_change_nothing(trpo_pool **pools, int space, int critic)
{
    trpo_settings s;
    large_settings(&s, space, critic);
    const uint64_t bits = bits_after(&s, NULL, 2);
    for (int i = 0; i < N_COUNTS; i++) {
        const trpo_executor executor = trpo_pool_executor(pools[i]);
        check_name("%s, critic %d, %d threads", space_name(space), critic, thread_counts[i]);
        CHECK(bits_after(&s, &executor, 2) == bits);
    }
}

static void agents_one_after_the_other(void)
{
    trpo_pool *pools[N_COUNTS];
    for (int i = 0; i < N_COUNTS; i++) pools[i] = trpo_pool_new(thread_counts[i]);
    for (int space = 0; space < N_SPACES; space++)
        for (int critic = 0; critic < N_CRITICS; critic++)
            threads_change_nothing(pools, space, critic);
    for (int i = 0; i < N_COUNTS; i++) trpo_pool_free(pools[i]);
}

/* Child and parent continue from the same point, with the same bits. */
static void a_child_computes_the_same_bits(void)
{
    trpo_settings s;
    learner l;
    uint64_t bits[2] = {0, 1};
    int ends[2], status = -1;
    if (UNDER_TSAN || UNDER_ASAN) return;
    trpo_pool *pool = trpo_pool_new(4);
    const trpo_executor executor = trpo_pool_executor(pool);
    check_name("an agent and its child");
    large_settings(&s, GAUSSIAN, TRPO_GAUSS_NEWTON);
    learner_start(&l, &s, &executor);
    learner_iterate(&l, NULL);
    CHECK(pipe(ends) == 0);
    const pid_t child = fork();
    if (child == 0) alarm(60);
    learner_iterate(&l, NULL);
    bits[0] = saved_bits(l.agent);
    if (child == 0) _exit(write(ends[1], bits, sizeof *bits) != sizeof *bits || check_failures);
    CHECK(read(ends[0], bits + 1, sizeof *bits) == sizeof *bits);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(bits[1] == bits[0] && bits[0] == bits_after(&s, NULL, 2));
    close(ends[0]);
    close(ends[1]);
    learner_end(&l);
    trpo_pool_free(pool);
}

static void useful_workers_are_those_that_can_be_busy(void)
{
    static const int rows[][2] = {{1, 1},     {64, 1},    {65, 2},    {1023, 16}, {1024, 16},
                                  {4096, 16}, {4097, 17}, {8192, 32}, {8193, 32}, {99999, 32}};
    trpo_settings s;
    check_name("useful workers");
    small_settings(&s, GAUSSIAN, 1);
    s.n_envs = 1;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        s.n_steps = rows[i][0];
        CHECK(trpo_useful_workers(&s) == rows[i][1]);
    }
    s.n_steps = 0;
    CHECK(trpo_useful_workers(&s) == 0);
}

int main(void)
{
    agents_one_after_the_other();
    a_child_computes_the_same_bits();
    useful_workers_are_those_that_can_be_busy();
    return check_result();
}
