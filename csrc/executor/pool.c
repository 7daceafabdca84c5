/* The pool: a crew of threads that executes runs of tasks, one run at a time.
 *
 * The caller publishes a run in the crew's fields and opens it. Threads that are awake enter, take
 * tasks from the counter `next` until none are left, and leave. After its own last task the caller
 * shuts the run and waits only for the threads inside; a thread that wakes too late finds the run
 * shut. While a run is shut and empty, only the caller accesses its fields.
 *
 * `inside` counts the threads in the run, with SHUT in its top bit. `n_parked` counts sleeping
 * threads; `caller_waits` says that the caller sleeps. A sleeper announces itself, then checks
 * again what it waits for; a waker changes that, then checks for sleepers. All these accesses are
 * sequentially consistent, so at least one of the two sees the other. */
#if !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif

#include "../include/trpo_pool.h"

#include <stdlib.h>

static void run_sequentially(int n_tasks, void (*task)(void *arg, int index, int worker), void *arg)
{
    for (int i = 0; i < n_tasks; i++) task(arg, i, 0);
}

#ifndef _WIN32

#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

enum { SPIN_NS = 50000, LOOKS = 64, CACHE_LINE = 64 };
#define SHUT 0x80000000u

/* A thread of a crew. */
typedef struct member {
    struct crew *crew;
    int worker;           /* its number, >= 1; the caller is 0                                 */
    unsigned last_run;    /* the number of the last run it saw                                 */
    pthread_t thread;
} member;

typedef struct crew {
    pid_t owner;          /* the process that has the threads                                  */
    int spins;            /* threads spin before they sleep                                    */
    int size;             /* threads started                                                   */
    int leaving;          /* atomic: the threads must exit                                     */
    pthread_mutex_t lock; /* for sleeping and waking; never held during a task                 */
    pthread_cond_t wake;  /* a run has started                                                 */
    pthread_cond_t done;  /* the last thread has left a shut run                               */
    /* the run: written by the caller while it is shut */
    void (*task)(void *arg, int index, int worker);
    void *arg;
    unsigned n_tasks;
    fenv_t env;           /* the caller's floating-point environment                           */
    /* atomics, on cache lines by use: waited on; changed per task; changed at a run's ends */
    char pad1[CACHE_LINE];
    unsigned number;      /* runs started                                                      */
    char pad2[CACHE_LINE];
    unsigned next;        /* index of the next task                                            */
    char pad3[CACHE_LINE];
    unsigned inside;      /* threads in the run, and SHUT                                      */
    int n_parked;         /* sleeping threads                                                  */
    int caller_waits;     /* 1 while the caller sleeps                                         */
    char pad4[CACHE_LINE];
} crew;

struct trpo_pool {
    int n_threads;
    int spins;
    int busy;             /* atomic: the process with a run in progress, or 0                  */
    crew *threads;        /* NULL until the first run with work for it                         */
};

/* ---- waiting --------------------------------------------------------------------------------- */

static unsigned load(const unsigned *x) { return __atomic_load_n(x, __ATOMIC_SEQ_CST); }

static void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__ARM_ARCH_7A__)
    __asm__ __volatile__("yield");
#endif
}

static long long nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Spins until *x == value (is_equal = 1) or *x != value (is_equal = 0); returns 0 on timeout. */
static int spin(const crew *c, const unsigned *x, unsigned value, int is_equal)
{
    if (!c->spins) return (load(x) == value) == is_equal;
    const long long end = nanoseconds() + SPIN_NS;
    do {
        for (int i = 0; i < LOOKS; i++) {
            if ((load(x) == value) == is_equal) return 1;
            pause_cpu();
        }
    } while (nanoseconds() < end);
    return 0;
}

/* ---- a thread -------------------------------------------------------------------------------- */

static void park(crew *c, unsigned last_run)
{
    pthread_mutex_lock(&c->lock);
    __atomic_fetch_add(&c->n_parked, 1, __ATOMIC_SEQ_CST);
    while (load(&c->number) == last_run) pthread_cond_wait(&c->wake, &c->lock);
    __atomic_fetch_sub(&c->n_parked, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&c->lock);
}

/* Waits for a run after run `last_run`; returns its number. */
static unsigned await_run(crew *c, unsigned last_run)
{
    if (!spin(c, &c->number, last_run, 0)) park(c, last_run);
    return load(&c->number);
}

/* Enters the run; 0 if it is shut. */
static int enter(crew *c)
{
    unsigned inside = load(&c->inside);
    while (!(inside & SHUT))
        if (__atomic_compare_exchange_n(&c->inside, &inside, inside + 1, 0, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST))
            return 1;
    return 0;
}

static void leave(crew *c)
{
    if (__atomic_sub_fetch(&c->inside, 1, __ATOMIC_SEQ_CST) != SHUT) return;
    if (!__atomic_load_n(&c->caller_waits, __ATOMIC_SEQ_CST)) return;
    pthread_mutex_lock(&c->lock);
    pthread_cond_signal(&c->done);
    pthread_mutex_unlock(&c->lock);
}

static void take_tasks(crew *c, int worker)
{
    unsigned i;
    while ((i = __atomic_fetch_add(&c->next, 1, __ATOMIC_RELAXED)) < c->n_tasks)
        c->task(c->arg, (int)i, worker);
}

static void *work(void *arg)
{
    member *m = (member *)arg;
    crew *c = m->crew;
    for (;;) {
        m->last_run = await_run(c, m->last_run);
        if (__atomic_load_n(&c->leaving, __ATOMIC_SEQ_CST)) return NULL;
        if (!enter(c)) continue;
        fesetenv(&c->env);
        take_tasks(c, m->worker);
        leave(c);
    }
}

/* ---- a crew ---------------------------------------------------------------------------------- */

/* The members, stored after the crew. */
static member *members(crew *c) { return (member *)(void *)(c + 1); }

static crew *new_crew(const trpo_pool *pool, pid_t owner)
{
    crew *c = (crew *)calloc(1, sizeof *c + (size_t)pool->n_threads * sizeof(member));
    if (c == NULL) return NULL;
    c->owner = owner;
    c->spins = pool->spins;
    c->inside = SHUT;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->wake, NULL);
    pthread_cond_init(&c->done, NULL);
    return c;
}

/* Blocks signals, which are for the host's threads, except those of a thread's own faults. */
static void block_signals(sigset_t *before)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    sigset_t blocked;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_BLOCK, &blocked, before);
}

/* Starts threads up to `size`, or as many as can be created. They inherit the signal mask. */
static void start_threads(crew *c, int size)
{
    sigset_t before;
    if (c->size >= size) return;
    block_signals(&before);
    for (; c->size < size; c->size++) {
        member *m = members(c) + c->size;
        m->crew = c;
        m->worker = c->size + 1;
        m->last_run = load(&c->number);
        if (pthread_create(&m->thread, NULL, work, m) != 0) break;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void stop_threads(crew *c)
{
    __atomic_store_n(&c->leaving, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_lock(&c->lock);
    __atomic_fetch_add(&c->number, 1, __ATOMIC_SEQ_CST);
    pthread_cond_broadcast(&c->wake);
    pthread_mutex_unlock(&c->lock);
    for (int i = 0; i < c->size; i++) pthread_join(members(c)[i].thread, NULL);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->wake);
    pthread_cond_destroy(&c->done);
}

/* After a fork only the crew's memory exists here: its threads do not, and its lock may be held
 * forever. */
static void free_crew(crew *c, pid_t pid)
{
    if (c != NULL && c->owner == pid) stop_threads(c);
    free(c);
}

/* The crew, with threads for n_tasks; NULL if there are no threads besides the caller. */
static crew *ready_crew(trpo_pool *pool, int n_tasks, pid_t pid)
{
    crew *c = pool->threads;
    if (c == NULL || c->owner != pid) {
        free_crew(c, pid);
        c = pool->threads = new_crew(pool, pid);
    }
    if (c == NULL) return NULL;
    start_threads(c, (n_tasks < pool->n_threads ? n_tasks : pool->n_threads) - 1);
    return c->size > 0 ? c : NULL;
}

/* ---- a run ----------------------------------------------------------------------------------- */

static void wake_up(crew *c, int count)
{
    if (__atomic_load_n(&c->n_parked, __ATOMIC_SEQ_CST) == 0) return;
    /* A thread that is counted in `n_parked` but not yet asleep holds the lock. */
    pthread_mutex_lock(&c->lock);
    const int n_parked = __atomic_load_n(&c->n_parked, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&c->lock);
    for (int i = 0; i < n_parked && i < count; i++) pthread_cond_signal(&c->wake);
}

static void open_run(crew *c, int n_tasks, void (*task)(void *arg, int index, int worker),
                     void *arg)
{
    c->task = task;
    c->arg = arg;
    c->n_tasks = (unsigned)n_tasks;
    fegetenv(&c->env);
    __atomic_store_n(&c->next, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&c->inside, 0, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&c->number, 1, __ATOMIC_SEQ_CST);
    wake_up(c, n_tasks - 1);
}

static void close_run(crew *c)
{
    __atomic_fetch_or(&c->inside, SHUT, __ATOMIC_SEQ_CST);
    if (spin(c, &c->inside, SHUT, 1)) return;
    pthread_mutex_lock(&c->lock);
    __atomic_store_n(&c->caller_waits, 1, __ATOMIC_SEQ_CST);
    while (load(&c->inside) != SHUT) pthread_cond_wait(&c->done, &c->lock);
    __atomic_store_n(&c->caller_waits, 0, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&c->lock);
}

/* Marks the pool as busy; 0 if it already is. A mark left by a parent process that forked during a
 * run is ignored. */
static int claim(trpo_pool *pool, int pid)
{
    int busy = __atomic_load_n(&pool->busy, __ATOMIC_RELAXED);
    return busy != pid && __atomic_compare_exchange_n(&pool->busy, &busy, pid, 0,
                                                      __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static void run(void *ctx, int n_tasks, void (*task)(void *arg, int index, int worker), void *arg)
{
    trpo_pool *pool = (trpo_pool *)ctx;
    const pid_t pid = n_tasks > 1 && pool->n_threads > 1 ? getpid() : 0;
    if (pid == 0 || !claim(pool, pid)) {
        run_sequentially(n_tasks, task, arg);
        return;
    }
    crew *c = ready_crew(pool, n_tasks, pid);
    if (c != NULL) {
        open_run(c, n_tasks, task, arg);
        take_tasks(c, 0);
        close_run(c);
    } else {
        run_sequentially(n_tasks, task, arg);
    }
    __atomic_store_n(&pool->busy, 0, __ATOMIC_RELEASE);
}

/* ---- trpo_pool.h ----------------------------------------------------------------------------- */

trpo_pool *trpo_pool_new(int n_threads)
{
    trpo_pool *pool = n_threads >= 1 ? (trpo_pool *)calloc(1, sizeof *pool) : NULL;
    if (pool == NULL) return NULL;
    pool->n_threads = n_threads;
    pool->spins = n_threads > 1 && n_threads <= trpo_pool_cores();
    return pool;
}

void trpo_pool_free(trpo_pool *pool)
{
    if (pool != NULL) free_crew(pool->threads, getpid());
    free(pool);
}

#else /* no pthreads */

struct trpo_pool {
    int n_threads;
};

static void run(void *ctx, int n_tasks, void (*task)(void *arg, int index, int worker), void *arg)
{
    (void)ctx;
    run_sequentially(n_tasks, task, arg);
}

trpo_pool *trpo_pool_new(int n_threads)
{
    trpo_pool *pool = n_threads >= 1 ? (trpo_pool *)calloc(1, sizeof *pool) : NULL;
    if (pool != NULL) pool->n_threads = 1;
    return pool;
}

void trpo_pool_free(trpo_pool *pool) { free(pool); }

#endif

int trpo_pool_threads(const trpo_pool *pool) { return pool->n_threads; }

trpo_executor trpo_pool_executor(trpo_pool *pool)
{
    const trpo_executor executor = {pool, pool->n_threads, run};
    return executor;
}
