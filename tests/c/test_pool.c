/* The pool of threads: every task once, by workers with numbers of their own, whatever the number
 * of threads and tasks, across forks, with no more threads than asked for. */
#if !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif

#include "check.h"
#include "threads.h"

#include "../../csrc/include/trpo_pool.h"

#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST_TASKS = 3000 };

static void nap(long microseconds)
{
    const struct timespec time = {microseconds / 1000000, microseconds % 1000000 * 1000};
    nanosleep(&time, NULL);
}

/* ---- a run that is watched ------------------------------------------------------------------- */

typedef struct watch {
    int times[MOST_TASKS];      /* each task was run                                       */
    int inside[MOST_THREADS];   /* calls under way with this worker number                 */
    int by[MOST_THREADS];       /* tasks that this worker ran                              */
    int twice;                  /* a worker number was in use already, or was out of range */
    long nap_us;                /* how long a task takes                                   */
} watch;

static void watched_task(void *arg, int index, int worker)
{
    watch *w = (watch *)arg;
    if (worker < 0 || worker >= MOST_THREADS || index < 0 || index >= MOST_TASKS) {
        __atomic_fetch_add(&w->twice, 1, __ATOMIC_SEQ_CST);
        return;
    }
    if (__atomic_fetch_add(&w->inside[worker], 1, __ATOMIC_SEQ_CST) != 0)
        __atomic_fetch_add(&w->twice, 1, __ATOMIC_SEQ_CST);
    w->times[index]++; /* plain: the run orders it before our reading it */
    w->by[worker]++;
    if (w->nap_us > 0) nap(w->nap_us);
    __atomic_fetch_sub(&w->inside[worker], 1, __ATOMIC_SEQ_CST);
}

static int all_once(const watch *w, int n_tasks)
{
    for (int i = 0; i < MOST_TASKS; i++)
        if (w->times[i] != (i < n_tasks)) return 0;
    return w->twice == 0;
}

/* Whether n_tasks were run once each, by workers below n_workers. */
static int run_watched(trpo_executor executor, int n_tasks, long nap_us)
{
    watch *w = (watch *)take(sizeof *w);
    memset(w, 0, sizeof *w);
    w->nap_us = nap_us;
    executor.run(executor.ctx, n_tasks, watched_task, w);
    int fine = all_once(w, n_tasks);
    for (int i = executor.n_workers; i < MOST_THREADS; i++) fine = fine && w->by[i] == 0;
    free(w);
    return fine;
}

static void every_task_runs_once(int n_threads)
{
    static const int n_tasks[] = {0, 1, 2, 3, 5, 16, 17, 32, MOST_TASKS, 4, 1, 0, 100};
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

/* Back to back, so that threads are met spinning, going to sleep, asleep and waking. */
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

/* Threads of this process, or -1 where they cannot be counted. */
static int count_threads(void)
{
    char line[256];
    int count = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        sscanf(line, "Threads: %d", &count);
    if (file != NULL) fclose(file);
    return count;
}

/* Only as many as a run has work for, and never more than asked for. */
static void threads_start_when_needed(int n_threads)
{
    const int before = count_threads();
    trpo_pool *pool = trpo_pool_new(n_threads), *idle = trpo_pool_new(n_threads);
    const trpo_executor executor = trpo_pool_executor(pool);
    check_name("number of threads, %d asked for", n_threads);
    if (before >= 0) {
        CHECK(run_watched(executor, 1, 0) && count_threads() == before);
        CHECK(run_watched(executor, 2, 0) && count_threads() <= before + 1);
        for (int i = 0; i < 20; i++) CHECK(run_watched(executor, 100, 0));
        CHECK(count_threads() == before + n_threads - 1);
    }
    trpo_pool_free(idle); /* has never run */
    trpo_pool_free(pool);
    for (int i = 0; before >= 0 && count_threads() > before && i < 1000; i++) nap(1000);
    CHECK(count_threads() == before);
}

/* Until *x is `least`; 0 if that seems never to happen. */
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

/* Waits for the others: all of them have to be at it at once. */
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

/* Task 0 takes until all others are done, which they are not if some wait behind it. */
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

static void *do_nothing(void *arg) { return arg; }

/* Whether this process, a child to be ended, can be kept from having a second thread. */
static int forbid_threads(void)
{
    const struct rlimit one = {1, 1};
    pthread_t other;
    if (getuid() == 0 && setuid(65534) != 0) return 0; /* there is no limit for root */
    if (setrlimit(RLIMIT_NPROC, &one) != 0) return 0;
    return pthread_create(&other, NULL, do_nothing, NULL) != 0;
}

/* A system that gives no threads, or no more of them: the run completes with those there are. */
static void a_run_completes_without_threads(void)
{
    int status = -1;
    if (UNDER_TSAN) return;
    const pid_t child = fork();
    check_name("no threads to be had");
    if (child == 0) {
        trpo_pool *pool = trpo_pool_new(4);
        const int limited = forbid_threads();
        int fine = run_watched(trpo_pool_executor(pool), 100, 0);
        if (limited && count_threads() > 1) fine = 0;
        trpo_pool_free(pool);
        _exit(!fine);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

/* ---- the host -------------------------------------------------------------------------------- */

typedef struct host_seen {
    pthread_t caller;
    int wrong;
} host_seen;

/* Rounding as the caller's; Ctrl-C is the caller's, a fault one's own. */
static void look_at_the_host(void *arg, int index, int worker)
{
    host_seen *s = (host_seen *)arg;
    sigset_t mask;
    (void)index;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    const int is_caller = pthread_equal(pthread_self(), s->caller) != 0;
    const int fine = fegetround() == FE_UPWARD && is_caller == (worker == 0) &&
                     (is_caller || sigismember(&mask, SIGINT)) && !sigismember(&mask, SIGSEGV);
    if (!fine) __atomic_fetch_add(&s->wrong, 1, __ATOMIC_SEQ_CST);
    nap(100);
}

static void the_host_is_respected(void)
{
    trpo_pool *pool = trpo_pool_new(4);
    const trpo_executor executor = trpo_pool_executor(pool);
    host_seen s = {pthread_self(), 0};
    sigset_t before, after;
    check_name("the host");
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    CHECK(run_watched(executor, 100, 0)); /* threads are there before rounding changes */
    const int rounding = fegetround();
    fesetround(FE_UPWARD);
    for (int i = 0; i < 10; i++) executor.run(executor.ctx, 16, look_at_the_host, &s);
    fesetround(rounding);
    CHECK(s.wrong == 0);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    CHECK(sigismember(&after, SIGINT) == sigismember(&before, SIGINT));
    trpo_pool_free(pool);
}

typedef struct user {
    trpo_executor executor;
    int wrong;
} user;

static void *use_pool(void *arg)
{
    user *u = (user *)arg;
    for (int i = 0; i < 300; i++) u->wrong += !run_watched(u->executor, 1 + i % 40, 0);
    return NULL;
}

/* Two host threads, one pool: one at a time has its threads. */
static void host_threads_may_share(void)
{
    trpo_pool *pool = trpo_pool_new(3);
    user users[] = {{trpo_pool_executor(pool), 0}, {trpo_pool_executor(pool), 0}};
    pthread_t other;
    check_name("two threads, one pool");
    CHECK(pthread_create(&other, NULL, use_pool, &users[1]) == 0);
    use_pool(&users[0]);
    pthread_join(other, NULL);
    CHECK(users[0].wrong == 0 && users[1].wrong == 0);
    trpo_pool_free(pool);
}

static void run_within(void *arg, int index, int worker)
{
    user *u = (user *)arg;
    (void)worker;
    if (!run_watched(u->executor, 1 + index, 0)) __atomic_fetch_add(&u->wrong, 1, __ATOMIC_SEQ_CST);
}

static void a_task_may_use_its_pool(void)
{
    trpo_pool *pool = trpo_pool_new(3);
    user u = {trpo_pool_executor(pool), 0};
    check_name("a run within a run");
    u.executor.run(u.executor.ctx, 20, run_within, &u);
    CHECK(u.wrong == 0);
    CHECK(run_watched(u.executor, 20, 0));
    trpo_pool_free(pool);
}

/* ---- fork ------------------------------------------------------------------------------------ */

/* Runs, and ends itself with 0 if all was well. A child that hangs is ended by its alarm. */
static void live_as_child(trpo_pool *pool, int frees_only)
{
    const trpo_executor executor = trpo_pool_executor(pool);
    const int before = count_threads();
    int fine = before == 1 || before == -1;
    alarm(60);
    for (int i = 0; !frees_only && i < 20; i++) fine = fine && run_watched(executor, 100, 0);
    if (!frees_only && before == 1) fine = fine && count_threads() == trpo_pool_threads(pool);
    trpo_pool_free(pool);
    _exit(!fine);
}

static int child_is_fine(trpo_pool *pool, int frees_only)
{
    int status = -1;
    if (UNDER_TSAN) return 1;
    const pid_t child = fork();
    if (child == 0) live_as_child(pool, frees_only);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static void forks_between_runs(int n_threads)
{
    trpo_pool *pool = trpo_pool_new(n_threads);
    const trpo_executor executor = trpo_pool_executor(pool);
    check_name("forks, %d threads", n_threads);
    CHECK(child_is_fine(pool, 0)); /* before any thread */
    for (int i = 0; i < 5; i++) {
        CHECK(run_watched(executor, 100, 0));
        if (i % 2 == 0) nap(1000); /* asleep, else perhaps not */
        CHECK(child_is_fine(pool, i % 2));
    }
    CHECK(run_watched(executor, 100, 0));
    trpo_pool_free(pool);
}

typedef struct forker {
    trpo_pool *pool;
    int fine;
} forker;

static void fork_here(void *arg, int index, int worker)
{
    forker *f = (forker *)arg;
    (void)worker;
    if (index == 0)
        f->fine = child_is_fine(f->pool, 0);
    else
        nap(100);
}

/* Other threads are in the run, and perhaps hold the pool's lock. */
static void a_fork_amid_a_run(void)
{
    forker f = {trpo_pool_new(4), 0};
    const trpo_executor executor = trpo_pool_executor(f.pool);
    check_name("a fork amid a run");
    for (int i = 0; i < 5; i++) {
        f.fine = 0;
        executor.run(executor.ctx, 40, fork_here, &f);
        CHECK(f.fine);
    }
    trpo_pool_free(f.pool);
}

int main(void)
{
    for (int i = 0; i < N_COUNTS; i++) {
        every_task_runs_once(thread_counts[i]);
        thousands_of_short_runs(thread_counts[i]);
        threads_start_when_needed(thread_counts[i]);
        if (check_failures > 0) return check_result(); /* what follows takes its time to fail */
        all_threads_work_at_once(thread_counts[i]);
        if (thread_counts[i] > 1) a_slow_task_does_not_hold_the_others(thread_counts[i]);
        forks_between_runs(thread_counts[i]);
    }
    a_run_completes_without_threads();
    the_host_is_respected();
    host_threads_may_share();
    a_task_may_use_its_pool();
    a_fork_amid_a_run();
    CHECK(trpo_pool_new(0) == NULL && trpo_pool_new(-1) == NULL);
    trpo_pool_free(NULL);
    return check_result();
}
