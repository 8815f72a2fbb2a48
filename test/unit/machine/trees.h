/* test/unit/machine/trees.h - for tests of what the kernel tells: a folder with files
 * of the test's in place of /proc and /sys
 *
 * write_file makes a file and the folders above it.  What was made is removed by
 * end_tree.
 */
#ifndef TIDE_TEST_TREES_H
#define TIDE_TEST_TREES_H

#include <errno.h>
#include <ftw.h>
#include <sys/stat.h>

#include "../unit.h"
#include "os/kernel.h"

static char tree[] = "/tmp/tidepool-tree.XXXXXX";

/* From here on every file is one of the test's. */
MAY_BE_UNUSED static void begin_tree(void)
{
    TIDE_REQUIRE(mkdtemp(tree));
    tide_os_kernel_set_root(tree);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

MAY_BE_UNUSED static void end_tree(void)
{
    tide_os_kernel_set_root("");
    nftw(tree, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

MAY_BE_UNUSED static void write_file(const char *path, const char *text)
{
    char whole[1500];
    FILE *file;

    snprintf(whole, sizeof whole, "%s%s", tree, path);
    for (char *slash = whole + strlen(tree); (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        TIDE_REQUIRE(mkdir(whole, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
    file = fopen(whole, "w");
    TIDE_REQUIRE(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* ---- Usual trees ------------------------------------------------------- */

/* Version 2, the process in /service/worker. */
MAY_BE_UNUSED static void begin_v2(void)
{
    begin_tree();
    write_file("/proc/self/cgroup", "0::/service/worker\n");
    write_file("/proc/self/mountinfo",
               "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
               "30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 master:1 - cgroup2 cgroup2 rw\n");
    write_file("/sys/fs/cgroup/service/worker/memory.max", "max\n");
    write_file("/sys/fs/cgroup/service/worker/memory.high", "max\n");
    write_file("/sys/fs/cgroup/service/worker/memory.current", "1000\n");
    write_file("/sys/fs/cgroup/service/worker/cpu.max", "max 100000\n");
    write_file("/sys/fs/cgroup/service/memory.max", "max\n");
    write_file("/sys/fs/cgroup/service/memory.high", "max\n");
    write_file("/sys/fs/cgroup/service/memory.current", "5000\n");
    write_file("/sys/fs/cgroup/service/cpu.max", "max 100000\n");
}

/* Version 1, memory in /box and CPU in /run. */
MAY_BE_UNUSED static void begin_v1(void)
{
    begin_tree();
    write_file("/proc/self/cgroup", "7:memory:/box\n4:cpu,cpuacct:/run\n1:name=systemd:/\n0::/x\n");
    write_file("/proc/self/mountinfo",
               "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
               "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
               "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
               "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    write_file("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "9223372036854771712\n");
    write_file("/sys/fs/cgroup/memory/box/memory.usage_in_bytes", "1000\n");
    write_file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    write_file("/sys/fs/cgroup/memory/memory.usage_in_bytes", "9000\n");
    write_file("/sys/fs/cgroup/cpu,cpuacct/run/cpu.cfs_quota_us", "-1\n");
    write_file("/sys/fs/cgroup/cpu,cpuacct/run/cpu.cfs_period_us", "100000\n");
}

#endif
