/* A thread pool for fasttrpo's core, for hosts without a job system, and a clock to time updates.
 *
 *     trpo_pool *pool = trpo_pool_new(trpo_pool_cores());
 *     trpo_executor executor = trpo_pool_executor(pool);
 *     size_t bytes = trpo_bytes(&s, &executor);
 *     trpo_init(&agent, &s, &executor, malloc(bytes), bytes);
 *     ...                                      (trpo_act, trpo_push, trpo_update as ever)
 *     trpo_pool_free(pool);                    (after the last call to the agent)
 *
 * The core never starts threads: it passes tasks to an executor, such as this one. It needs
 * pthreads (-pthread); on Windows the same functions exist but run tasks sequentially. Results are
 * bit-identical for any number of threads, and without a pool.
 *
 * Conventions
 *   Threads    n_threads includes the caller, which works too, as worker 0. Threads start when a
 *              run first has work for them: an idle pool costs a few bytes.
 *   Tasks      are taken one by one from a shared counter, so a thread on a slow core does fewer.
 *   Waiting    threads spin for about 50 us, so that the next run of an update finds them awake,
 *              then sleep. If n_threads exceeds the number of cores, they never spin.
 *   Sharing    agents may share a pool. It serves one run at a time: a run that starts while
 *              another is in progress (in another thread or inside a task) uses only its caller.
 *   Fork       is safe. A child process has no pool threads; its next run starts new ones.
 *   Host       pool threads run only tasks. They block all signals except those of their own
 *              faults, and use the caller's floating-point environment (fenv.h) during a run.
 */
#ifndef TRPO_POOL_H
#define TRPO_POOL_H

#include "trpo.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct trpo_pool trpo_pool;

/* Returns how many cores this process may use, >= 1: the calling thread's CPU affinity, limited by
 * the CPU quotas of its control groups (Linux cgroups v1 and v2), rounded up; 1 if unknown. Reads
 * files: about 100 us. */
int trpo_pool_cores(void);

/* Returns seconds on a monotonic clock with an arbitrary epoch. For trpo_settings.clock. */
double trpo_pool_clock(void);

/* Creates a pool of n_threads without starting them; NULL if n_threads < 1 or out of memory.
 * trpo_useful_workers (trpo.h) says how many an agent can keep busy. */
trpo_pool *trpo_pool_new(int n_threads);

/* Returns the executor for trpo_bytes and trpo_init, valid until the pool is freed. A run of one
 * task costs a function call; a larger run 1-2 us if the threads are awake. If threads or memory
 * are short, it completes with the threads available, if need be on the caller alone. */
trpo_executor trpo_pool_executor(trpo_pool *pool);

/* Returns n_threads; 1 without pthreads. */
int trpo_pool_threads(const trpo_pool *pool);

/* Stops and joins the threads and frees the pool; NULL is legal. No run may be in progress. In a
 * forked child the parent's threads are unaffected. */
void trpo_pool_free(trpo_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
