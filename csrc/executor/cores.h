/* How many cores this process may use: the testable part of trpo_pool_cores. */
#ifndef TRPO_CORES_H
#define TRPO_CORES_H

#ifdef __cplusplus
extern "C" {
#endif

/* A process's CPU quota in cores, rounded up; 0 if there is none.
 *   membership  the file that lists the process's control groups: /proc/self/cgroup
 *   root        the folder where they are mounted: /sys/fs/cgroup
 * This is the minimum over all groups from the process's own up to the root, in v1 and v2. */
int trpo_quota_cores(const char *membership, const char *root);

#ifdef __cplusplus
}
#endif
#endif
