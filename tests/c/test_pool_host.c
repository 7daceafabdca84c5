/* The thread pool in its host: too few threads, rounding modes and signals, use by several threads
 * and from tasks, forks. */
#include "watch.h"

#include "../../csrc/include/trpo_pool.h"

#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the host -------------------------------------------------------------------------------- */

static void *do_nothing(void *arg) { return arg; }

/* Prevents this process, a child that will exit, from starting threads; 0 if impossible. */
static int forbid_threads(void)
{
    const struct rlimit one = {1, 1};
    pthread_t other;
    if (getuid() == 0 && setuid(65534) != 0) return 0; /* limits do not apply to root */
    if (setrlimit(RLIMIT_NPROC, &one) != 0) return 0;
    return pthread_create(&other, NULL, do_nothing, NULL) != 0;
}

/* If the system provides no threads, or no more of them, the run completes with those available. */
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

typedef struct host_seen {
    pthread_t caller;
    int wrong;
} host_seen;

/* Tasks have the caller's rounding mode; SIGINT goes to the caller, faults to the thread itself. */
static void check_host_settings(void *arg, int index, int worker)
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
    CHECK(run_watched(executor, 100, 0)); /* threads start before the rounding mode changes */
    const int rounding = fegetround();
    fesetround(FE_UPWARD);
    for (int i = 0; i < 10; i++) executor.run(executor.ctx, 16, check_host_settings, &s);
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

/* Two host threads share a pool: one at a time uses its threads. */
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

/* Runs tasks and exits with 0 if they were correct. An alarm kills a child that hangs. */
static void run_as_child(trpo_pool *pool, int frees_only)
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
    if (UNDER_TSAN || (UNDER_ASAN && count_threads() > 1)) return 1;
    const pid_t child = fork();
    if (child == 0) run_as_child(pool, frees_only);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static void forks_between_runs(int n_threads)
{
    trpo_pool *pool = trpo_pool_new(n_threads);
    const trpo_executor executor = trpo_pool_executor(pool);
    check_name("forks, %d threads", n_threads);
    CHECK(child_is_fine(pool, 0)); /* before any thread exists */
    for (int i = 0; i < 5; i++) {
        CHECK(run_watched(executor, 100, 0));
        if (i % 2 == 0) nap(1000); /* asleep; otherwise maybe not */
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

/* Other threads are in the run, and may hold the pool's lock. */
static void a_fork_during_a_run(void)
{
    forker f = {trpo_pool_new(4), 0};
    const trpo_executor executor = trpo_pool_executor(f.pool);
    check_name("a fork during a run");
    for (int i = 0; i < 5; i++) {
        f.fine = 0;
        executor.run(executor.ctx, 40, fork_here, &f);
        CHECK(f.fine);
    }
    trpo_pool_free(f.pool);
}

int main(void)
{
    for (int i = 0; i < N_COUNTS; i++) forks_between_runs(thread_counts[i]);
    a_run_completes_without_threads();
    the_host_is_respected();
    host_threads_may_share();
    a_task_may_use_its_pool();
    a_fork_during_a_run();
    return check_result();
}
