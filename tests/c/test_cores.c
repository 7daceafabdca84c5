/* The cores that a process may use: the quotas of control groups, in made-up files; and the
 * clock. */
#if !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif

#include "check.h"

#include "../../csrc/executor/cores.h"
#include "../../csrc/include/trpo_pool.h"

#include <sys/stat.h>
#include <unistd.h>

typedef struct groups {
    char root[256];
} groups;

/* Writes root/name, creating its folders. */
static void put(const groups *g, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", g->root, name);
    for (char *at = path + strlen(g->root) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        mkdir(path, 0700);
        *at = '/';
    }
    FILE *file = fopen(path, "w");
    if (!CHECK(file != NULL)) return;
    fputs(text, file);
    fclose(file);
}

static int quota(const groups *g, const char *membership)
{
    char path[512];
    put(g, "membership", membership);
    snprintf(path, sizeof path, "%s/membership", g->root);
    return trpo_quota_cores(path, g->root);
}

static void quotas_of_version_two(const groups *g)
{
    check_name("cgroup v2");
    CHECK(quota(g, "0::/a/b\n") == 0);
    put(g, "a/b/cpu.max", "max 100000\n");
    CHECK(quota(g, "0::/a/b\n") == 0);
    put(g, "a/b/cpu.max", "400000 100000\n");
    CHECK(quota(g, "0::/a/b\n") == 4);
    CHECK(quota(g, "0::/a\n") == 0);
    CHECK(quota(g, "0::/\n") == 0);
    put(g, "a/cpu.max", "150001 50000\n"); /* a little more than 3 */
    CHECK(quota(g, "0::/a/b\n") == 4);
    CHECK(quota(g, "0::/a/c/d") == 4); /* c and d do not exist */
    put(g, "a/cpu.max", "1000 100000\n");
    CHECK(quota(g, "0::/a/b\n") == 1);
    CHECK(quota(g, "0::/elsewhere\n") == 0);
    put(g, "cpu.max", "200000 100000\n"); /* the top, where a container sees its own group */
    CHECK(quota(g, "0::/elsewhere\n") == 2);
    CHECK(quota(g, "0::/\n") == 2);
    put(g, "cpu.max", "nonsense\n");
    CHECK(quota(g, "0::/\n") == 0);
    put(g, "cpu.max", "100000 0\n");
    CHECK(quota(g, "0::/\n") == 0);
}

static void quotas_of_version_one(const groups *g)
{
    static const char both[] = "5:cpuset:/q\n4:cpuacct,cpu:/p/q\n1:name=systemd:/q\n0::/q\n";
    check_name("cgroup v1");
    put(g, "cpuset/q/cpu.cfs_quota_us", "100000\n"); /* not a cpu controller */
    put(g, "cpuset/q/cpu.cfs_period_us", "100000\n");
    CHECK(quota(g, both) == 0);
    put(g, "cpuacct,cpu/p/q/cpu.cfs_quota_us", "-1\n");
    put(g, "cpuacct,cpu/p/q/cpu.cfs_period_us", "100000\n");
    CHECK(quota(g, both) == 0);
    put(g, "cpuacct,cpu/p/q/cpu.cfs_quota_us", "250000\n");
    CHECK(quota(g, both) == 3);
    put(g, "cpu/cpu.cfs_quota_us", "200000\n"); /* under its short name, at the top */
    put(g, "cpu/cpu.cfs_period_us", "100000\n");
    CHECK(quota(g, both) == 2);
    CHECK(quota(g, "4:cpuacct:/p/q\n3:mycpu,cpus:/p\n") == 0);
    put(g, "unified/q/cpu.max", "100000 100000\n");
    CHECK(quota(g, both) == 1);
    CHECK(quota(g, "") == 0);
    CHECK(quota(g, "4\n4:cpu\n\n::\n") == 0);
}

static void quotas_are_read(void)
{
    groups g = {"/tmp/test_pool.XXXXXX"}, h = g;
    char command[600];
    CHECK(mkdtemp(g.root) != NULL && mkdtemp(h.root) != NULL);
    quotas_of_version_two(&g);
    quotas_of_version_one(&h);
    CHECK(trpo_quota_cores("/no/such/file", "/no/such/folder") == 0);
    snprintf(command, sizeof command, "rm -r '%s' '%s'", g.root, h.root);
    CHECK(system(command) == 0);
}

int main(void)
{
    quotas_are_read();
    CHECK(trpo_pool_cores() >= 1);
    check_name("the clock goes forward");
    for (double began = trpo_pool_clock(), now = began; now < began + 1e-3;) {
        const double later = trpo_pool_clock();
        if (!CHECK(later >= now)) break;
        now = later;
    }
    return check_result();
}
