/* Shared by the pool's tests: the numbers of threads to try, and whether forks can be tested. */
#ifndef TRPO_TESTS_THREADS_H
#define TRPO_TESTS_THREADS_H

enum { MAX_THREADS = 16 };
static const int thread_counts[] = {1, 2, 3, 4, MAX_THREADS};
enum { N_COUNTS = sizeof thread_counts / sizeof *thread_counts };

/* The thread sanitizer has a thread of its own, and does not support starting threads in a
 * child. */
#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

/* The address sanitizer's allocator has locks that a thread may hold during a fork, and that the
 * child would then wait for forever. */
#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif
#ifndef UNDER_ASAN
#define UNDER_ASAN 0
#endif

#endif
