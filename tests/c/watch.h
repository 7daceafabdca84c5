/* Runs of the pool that record that every task runs once, with unique worker numbers.
 * Needs POSIX. Include it first, since it defines feature macros. */
#ifndef TRPO_TESTS_WATCH_H
#define TRPO_TESTS_WATCH_H

#if !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif

#include "check.h"
#include "threads.h"

#include "../../csrc/include/trpo_pool.h"

#include <time.h>

enum { MAX_TASKS = 3000 };

static inline void nap(long microseconds)
{
    const struct timespec time = {microseconds / 1000000, microseconds % 1000000 * 1000};
    nanosleep(&time, NULL);
}

typedef struct watch {
    int times[MAX_TASKS];      /* how often each task was run                             */
    int inside[MAX_THREADS];   /* calls in progress with this worker number               */
    int by[MAX_THREADS];       /* tasks that this worker ran                              */
    int twice;                  /* a worker number was in use or out of range */
    long nap_us;                /* duration of a task                                      */
} watch;

static inline void watched_task(void *arg, int index, int worker)
{
    watch *w = (watch *)arg;
    if (worker < 0 || worker >= MAX_THREADS || index < 0 || index >= MAX_TASKS) {
        __atomic_fetch_add(&w->twice, 1, __ATOMIC_SEQ_CST);
        return;
    }
    if (__atomic_fetch_add(&w->inside[worker], 1, __ATOMIC_SEQ_CST) != 0)
        __atomic_fetch_add(&w->twice, 1, __ATOMIC_SEQ_CST);
    w->times[index]++; /* not atomic: the end of the run orders it before reading */
    w->by[worker]++;
    if (w->nap_us > 0) nap(w->nap_us);
    __atomic_fetch_sub(&w->inside[worker], 1, __ATOMIC_SEQ_CST);
}

static inline int all_once(const watch *w, int n_tasks)
{
    for (int i = 0; i < MAX_TASKS; i++)
        if (w->times[i] != (i < n_tasks)) return 0;
    return w->twice == 0;
}

/* Whether n_tasks were run once each, by workers below n_workers. */
static inline int run_watched(trpo_executor executor, int n_tasks, long nap_us)
{
    watch *w = (watch *)take(sizeof *w);
    memset(w, 0, sizeof *w);
    w->nap_us = nap_us;
    executor.run(executor.ctx, n_tasks, watched_task, w);
    int fine = all_once(w, n_tasks);
    for (int i = executor.n_workers; i < MAX_THREADS; i++) fine = fine && w->by[i] == 0;
    free(w);
    return fine;
}

/* The number of threads of this process, or -1 if unknown. */
static inline int count_threads(void)
{
    char line[256];
    int count = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        sscanf(line, "Threads: %d", &count);
    if (file != NULL) fclose(file);
    return count;
}

#endif
