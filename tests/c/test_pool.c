/* The thread pool: every task runs once, with unique worker numbers, for any number of threads and
 * tasks, and with no more threads than requested. */
#include "watch.h"

#include "../../csrc/include/trpo_pool.h"

static void every_task_runs_once(int n_threads)
{
    static const int n_tasks[] = {0, 1, 2, 3, 5, 16, 17, 32, MAX_TASKS, 4, 1, 0, 100};
    trpo_pool *pool = trpo_pool_new(n_threads);
    const trpo_executor executor = trpo_pool_executor(pool);
    check_name("tasks, %d threads", n_threads);
    CHECK(trpo_pool_threads(pool) == n_threads);
    CHECK(executor.n_workers == n_threads);
    for (size_t i = 0; i < sizeof n_tasks / sizeof *n_tasks; i++) {
        CHECK(run_watched(executor, n_tasks[i], 0));
        CHECK(run_watched(executor, n_tasks[i] < 32 ? n_tasks[i] : 32, 100));
    }
    trpo_pool_free(pool);
}

static void add_index(void *arg, int index, int worker)
{
    (void)worker;
    __atomic_fetch_add((long *)arg, index + 1L, __ATOMIC_RELAXED);
}

/* Runs follow each other directly, so that threads are spinning, going to sleep, asleep or
 * waking. */
static void thousands_of_short_runs(int n_threads)
{
    enum { RUNS = 3000 };
    trpo_pool *pool = trpo_pool_new(n_threads);
    const trpo_executor executor = trpo_pool_executor(pool);
    int wrong = 0;
    check_name("short runs, %d threads", n_threads);
    for (int i = 0; i < RUNS; i++) {
        const int n_tasks = i % 33;
        long sum = 0;
        executor.run(executor.ctx, n_tasks, add_index, &sum);
        wrong += sum != n_tasks * (n_tasks + 1L) / 2;
        if (i % 100 == 0) nap(i % 300);
    }
    CHECK(wrong == 0);
    trpo_pool_free(pool);
}

/* ---- threads --------------------------------------------------------------------------------- */

/* The number of threads after those of earlier pools are gone: a joined thread is still counted for
 * a moment. -1 if unknown. */
static int threads_left(void)
{
    int count = count_threads();
    for (int i = 0, same = 0; count >= 0 && same < 20 && i < 1000; i++) {
        const int last = count;
        nap(1000);
        count = count_threads();
        same = count == last ? same + 1 : 0;
    }
    return count;
}

/* Only as many as a run has work for, and never more than requested. */
static void threads_start_when_needed(int n_threads)
{
    const int before = threads_left();
    trpo_pool *pool = trpo_pool_new(n_threads), *idle = trpo_pool_new(n_threads);
    const trpo_executor executor = trpo_pool_executor(pool);
    check_name("number of threads, %d n_mask_calls for", n_threads);
    if (before >= 0) {
        CHECK(run_watched(executor, 1, 0) && count_threads() == before);
        CHECK(run_watched(executor, 2, 0) && count_threads() <= before + 1);
        for (int i = 0; i < 20; i++) CHECK(run_watched(executor, 100, 0));
        CHECK(count_threads() == before + n_threads - 1);
    }
    trpo_pool_free(idle); /* has never run */
    trpo_pool_free(pool);
    CHECK(threads_left() == before);
}

/* Waits until *x >= least; 0 on timeout. */
static int wait_for(const int *x, int least)
{
    enum { PATIENCE = 30000 };
    for (int i = 0; i < PATIENCE; i++) {
        if (__atomic_load_n(x, __ATOMIC_SEQ_CST) >= least) return 1;
        nap(50);
    }
    return 0;
}

typedef struct meeting {
    int present, wanted, missed;
} meeting;

/* Waits for the others, so that all must run at once. */
static void meet(void *arg, int index, int worker)
{
    meeting *m = (meeting *)arg;
    (void)index;
    (void)worker;
    __atomic_fetch_add(&m->present, 1, __ATOMIC_SEQ_CST);
    if (!wait_for(&m->present, m->wanted)) __atomic_fetch_add(&m->missed, 1, __ATOMIC_SEQ_CST);
}

static void all_threads_work_at_once(int n_threads)
{
    trpo_pool *pool = trpo_pool_new(n_threads);
    const trpo_executor executor = trpo_pool_executor(pool);
    meeting m = {0, n_threads, 0};
    check_name("all at once, %d threads", n_threads);
    for (int i = 0; i < 20 && m.missed == 0; i++) {
        m.present = 0;
        executor.run(executor.ctx, n_threads, meet, &m);
        if (i % 5 == 0) nap(2000); /* asleep */
    }
    CHECK(m.missed == 0);
    trpo_pool_free(pool);
}

/* Task 0 waits for all other tasks, which must not be queued behind it. */
static void wait_for_all_others(void *arg, int index, int worker)
{
    meeting *m = (meeting *)arg;
    (void)worker;
    if (index == 0 && !wait_for(&m->present, m->wanted)) m->missed = 1;
    if (index != 0) __atomic_fetch_add(&m->present, 1, __ATOMIC_SEQ_CST);
}

static void a_slow_task_does_not_hold_the_others(int n_threads)
{
    enum { N_TASKS = 500 };
    trpo_pool *pool = trpo_pool_new(n_threads);
    const trpo_executor executor = trpo_pool_executor(pool);
    meeting m = {0, N_TASKS - 1, 0};
    check_name("a slow task, %d threads", n_threads);
    executor.run(executor.ctx, N_TASKS, wait_for_all_others, &m);
    CHECK(m.missed == 0);
    trpo_pool_free(pool);
}

int main(void)
{
    for (int i = 0; i < N_COUNTS; i++) {
        every_task_runs_once(thread_counts[i]);
        thousands_of_short_runs(thread_counts[i]);
        threads_start_when_needed(thread_counts[i]);
        if (check_failures > 0) return check_result(); /* the rest takes long to fail */
        all_threads_work_at_once(thread_counts[i]);
        if (thread_counts[i] > 1) a_slow_task_does_not_hold_the_others(thread_counts[i]);
    }
    CHECK(trpo_pool_new(0) == NULL && trpo_pool_new(-1) == NULL);
    trpo_pool_free(NULL);
    return check_result();
}
