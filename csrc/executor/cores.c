/* How many cores this process may use: its affinity, limited by its control groups' quotas.
 *
 * A quota is `quota` microseconds of CPU time per `period`, over all threads. More threads than
 * quota / period would use it up early and be suspended until the next period. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_getaffinity */
#endif

#include "cores.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "../include/trpo_pool.h"

#ifdef __linux__
#include <sched.h>
#elif !defined(_WIN32)
#include <unistd.h>
#endif

enum { MAX_LINE = 4352, MAX_PATH_LENGTH = 2 * MAX_LINE }; /* a path has at most 4096 bytes */

/* ---- quotas ---------------------------------------------------------------------------------- */

static int min_quota(int a, int b) { return a == 0 || (b != 0 && b < a) ? b : a; }

/* quota / period, rounded up; 0 if there is no quota ("max" in v2, -1 in v1). */
static int quota_in_cores(long long quota, long long period)
{
    if (quota <= 0 || period <= 0) return 0;
    const long long cores = (quota - 1) / period + 1;
    return cores < INT_MAX ? (int)cores : 0;
}

/* Reads up to two numbers from folder/name; returns how many, 0 if there is no such file. */
static int read_numbers(const char *folder, const char *name, long long *first, long long *second)
{
    char path[MAX_PATH_LENGTH];
    const int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = length < MAX_PATH_LENGTH ? fopen(path, "r") : NULL;
    if (file == NULL) return 0;
    const int found = fscanf(file, "%lld %lld", first, second);
    fclose(file);
    return found > 0 ? found : 0;
}

/* The quota of one group, v1 or v2. */
static int group_cores(const char *folder)
{
    long long quota = 0, period = 0, rest = 0;
    if (read_numbers(folder, "cpu.max", &quota, &period) == 2) return quota_in_cores(quota, period);
    if (read_numbers(folder, "cpu.cfs_quota_us", &quota, &rest) != 1) return 0;
    if (read_numbers(folder, "cpu.cfs_period_us", &period, &rest) != 1) return 0;
    return quota_in_cores(quota, period);
}

/* The minimum quota from group `path` of a hierarchy up to its top. Missing folders are skipped: a
 * container often sees only the upper end. */
static int hierarchy_cores(const char *root, const char *hierarchy, const char *path)
{
    char folder[MAX_PATH_LENGTH];
    const int top = snprintf(folder, sizeof folder, "%s%s", root, hierarchy);
    const int length = snprintf(folder, sizeof folder, "%s%s%s", root, hierarchy, path);
    if (top < 0 || length < top || length >= MAX_PATH_LENGTH) return 0;
    int cores = group_cores(folder);
    for (char *slash = strrchr(folder, '/'); slash != NULL && slash - folder >= top;
         slash = strrchr(folder, '/')) {
        *slash = '\0';
        cores = min_quota(cores, group_cores(folder));
    }
    return cores;
}

/* Whether `cpu` is in a comma-separated list of controllers. */
static int has_cpu(const char *controllers)
{
    for (const char *at = controllers; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        const size_t length = strcspn(at, ",");
        if (length == 3 && strncmp(at, "cpu", length) == 0) return 1;
    }
    return 0;
}

/* The quota of a line "number:controllers:path". v2 has no controllers, and is mounted at the root,
 * or as `unified` next to v1's hierarchies, which are named after one or all controllers. */
static int line_cores(char *line, const char *root)
{
    char *controllers = strchr(line, ':'), *path;
    char hierarchy[MAX_LINE + 1];
    line[strcspn(line, "\n")] = '\0';
    if (controllers == NULL || (path = strchr(++controllers, ':')) == NULL) return 0;
    *path++ = '\0';
    if (*controllers == '\0')
        return min_quota(hierarchy_cores(root, "", path), hierarchy_cores(root, "/unified", path));
    if (!has_cpu(controllers)) return 0;
    snprintf(hierarchy, sizeof hierarchy, "/%s", controllers);
    return min_quota(hierarchy_cores(root, hierarchy, path), hierarchy_cores(root, "/cpu", path));
}

int trpo_quota_cores(const char *membership, const char *root)
{
    char line[MAX_LINE];
    int cores = 0;
    FILE *file = fopen(membership, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        cores = min_quota(cores, line_cores(line, root));
    if (file != NULL) fclose(file);
    return cores;
}

/* ---- affinity -------------------------------------------------------------------------------- */

#ifdef __linux__
static int allowed_cores(void)
{
    cpu_set_t sets[16]; /* 16,384 cores; the kernel rejects a mask that is too short */
    if (sched_getaffinity(0, sizeof sets, sets) != 0) return 1;
    return CPU_COUNT_S(sizeof sets, sets);
}
#elif !defined(_WIN32)
static int allowed_cores(void)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores < INT_MAX ? (int)cores : INT_MAX;
}
#else
static int allowed_cores(void) { return 1; } /* the pool has no threads here */
#endif

int trpo_pool_cores(void)
{
    const int allowed = allowed_cores();
    const int quota = trpo_quota_cores("/proc/self/cgroup", "/sys/fs/cgroup");
    return min_quota(allowed > 0 ? allowed : 1, quota);
}
