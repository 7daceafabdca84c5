/* How many cores there are for this process: the parts of trpo_pool_cores. */
#ifndef TRPO_CORES_H
#define TRPO_CORES_H

#ifdef __cplusplus
extern "C" {
#endif

/* The cores that the CPU quotas of a process come to, rounded up; 0 where there is no quota.
 *   membership  the file that lists the process's control groups: /proc/self/cgroup
 *   root        the folder where they are mounted: /sys/fs/cgroup
 * The least of all groups from the process's own up to the root counts, in v1 and v2 alike. */
int trpo_quota_cores(const char *membership, const char *root);

#ifdef __cplusplus
}
#endif
#endif
