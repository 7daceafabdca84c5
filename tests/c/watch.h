/* Runs of the pool that are watched: every task once, by workers with numbers of their own.
 *
 * Needs POSIX. Include it first: it asks the system's headers for what it needs. */
#ifndef TRPO_TESTS_WATCH_H
#define TRPO_TESTS_WATCH_H

#if !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif

#include "check.h"
#include "threads.h"

#include "../../csrc/include/trpo_pool.h"

#include <time.h>

enum { MOST_TASKS = 3000 };

static inline void nap(long microseconds)
{
    const struct timespec time = {microseconds / 1000000, microseconds % 1000000 * 1000};
    nanosleep(&time, NULL);
}

typedef struct watch {
    int times[MOST_TASKS];      /* each task was run                                       */
    int inside[MOST_THREADS];   /* calls under way with this worker number                 */
    int by[MOST_THREADS];       /* tasks that this worker ran                              */
    int twice;                  /* a worker number was in use already, or was out of range */
    long nap_us;                /* how long a task takes                                   */
} watch;

static inline void watched_task(void *arg, int index, int worker)
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

static inline int all_once(const watch *w, int n_tasks)
{
    for (int i = 0; i < MOST_TASKS; i++)
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
    for (int i = executor.n_workers; i < MOST_THREADS; i++) fine = fine && w->by[i] == 0;
    free(w);
    return fine;
}

/* Threads of this process, or -1 where they cannot be counted. */
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
