/* A pool of threads for fasttrpo's core, and for whoever has no job system of their own.
 *
 *     trpo_pool *pool = trpo_pool_new(trpo_pool_cores());
 *     trpo_executor executor = trpo_pool_executor(pool);
 *     size_t bytes = trpo_bytes(&s, &executor);
 *     trpo_init(&agent, &s, &executor, malloc(bytes), bytes);
 *     ...                                      (trpo_act, trpo_push, trpo_update as ever)
 *     trpo_pool_free(pool);                    (after the last call to the agent)
 *
 * The core starts no thread: it hands tasks to an executor, and this is one. It needs pthreads
 * (-pthread); where there are none (Windows) it has the same functions, and runs tasks in a row.
 * The bits of a result are the same for any number of threads, and without a pool.
 *
 * Beside it stands a clock, for who wants an update's stages timed.
 *
 * Conventions
 *   Threads    n_threads counts the caller, who works too, as worker 0; there are never more. They
 *              start when a run first has work for them: an idle pool costs a few bytes.
 *   Tasks      are taken one by one off a common counter: a thread on a slow core does fewer.
 *   Waiting    threads spin for some 50 us, so that the next run of an update finds them awake,
 *              then sleep. Where more threads are asked for than there are cores, none spins.
 *   Sharing    agents may share a pool. It serves one run at a time: one that comes while another
 *              is under way, from another thread or from within a task, runs on its caller alone.
 *   Fork       is safe. A child process has no threads but the one that forked: its next run starts
 *              fresh ones.
 *   Host       the threads run nothing but tasks: they take no signals but those of their own
 *              faults, and have the caller's floating-point environment (fenv.h) during a run.
 */
#ifndef TRPO_POOL_H
#define TRPO_POOL_H

#include "trpo.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct trpo_pool trpo_pool;

/* The cores that this process may keep busy, >= 1: those that the calling thread may run on, and
 * no more than the CPU quotas of its control groups (Linux cgroups v1 and v2) come to, rounded up.
 * 1 where the system does not tell. Reads files: some 100 us. */
int trpo_pool_cores(void);

/* Seconds, on a clock that only goes forward; 0 is any time. For trpo_settings.clock. */
double trpo_pool_clock(void);

/* A pool of n_threads >= 1, none of them started; NULL if n_threads < 1 or memory is short.
 * trpo_useful_workers (trpo.h) says how many an agent can keep busy. */
trpo_pool *trpo_pool_new(int n_threads);

/* The executor to give to trpo_bytes and trpo_init; good until the pool is freed. A run of one task
 * costs a function call, of more a microsecond or two if the threads are awake. If threads cannot
 * be started, or memory is short, it completes with those there are: the caller, if need be. */
trpo_executor trpo_pool_executor(trpo_pool *pool);

/* n_threads as asked for; 1 where there are no pthreads. */
int trpo_pool_threads(const trpo_pool *pool);

/* Ends the threads, waits for them and frees the pool; NULL is legal. No run may be under way. In
 * the child of a fork the parent's threads are left alone. */
void trpo_pool_free(trpo_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
