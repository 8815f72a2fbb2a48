/* test_cgroup.c - machine/cgroup.h with trees of files as the kernel has them: both
 * versions, nested groups, partly mounted trees, words and garbage for numbers */
#include "machine/cgroup.h"

#include "trees.h"

#define WORKER "/sys/fs/cgroup/service/worker/"
#define SERVICE "/sys/fs/cgroup/service/"
#define BOX "/sys/fs/cgroup/memory/box/"
#define RUN "/sys/fs/cgroup/cpu,cpuacct/run/"

#define IN_V2(name) Test(cgroup, name, .init = begin_v2, .fini = end_tree)
#define IN_V1(name) Test(cgroup, name, .init = begin_v1, .fini = end_tree)

static struct tide_cgroup find(const char *controller)
{
    struct tide_cgroup group;

    cr_assert(tide_machine_cgroup_find(&group, controller), "no group for %s", controller);
    return group;
}

static void assert_memory(uint64_t limit, uint64_t used)
{
    struct tide_cgroup group = find("memory");
    struct tide_cgroup_memory memory;

    cr_assert(tide_machine_cgroup_memory(&group, &memory));
    cr_assert_eq(memory.limit, limit, "%lu", memory.limit);
    cr_assert_eq(memory.used, used, "%lu", memory.used);
}

static void assert_no_limit(void)
{
    struct tide_cgroup group = find("memory");
    struct tide_cgroup_memory memory;

    cr_assert_not(tide_machine_cgroup_memory(&group, &memory));
}

static bool is_filled(void)
{
    struct tide_cgroup group = find("memory");

    return tide_machine_cgroup_is_filled(&group, 90);
}

static unsigned cpus(void) /* 0: no quota */
{
    struct tide_cgroup group = find("cpu");
    unsigned count;

    return tide_machine_cgroup_cpus(&group, &count) ? count : 0;
}

/* ---- Where ------------------------------------------------------------- */

IN_V2(version_2_is_found)
{
    struct tide_cgroup group = find("memory");

    cr_assert_eq(group.version, 2);
    cr_assert_str_eq(group.path, "/sys/fs/cgroup/service/worker");
    cr_assert_str_eq(find("cpu").path, group.path);
}

IN_V1(version_1_is_found_by_controller)
{
    struct tide_cgroup group = find("memory");

    cr_assert_eq(group.version, 1);
    cr_assert_str_eq(group.path, "/sys/fs/cgroup/memory/box");
    cr_assert_str_eq(find("cpu").path, "/sys/fs/cgroup/cpu,cpuacct/run");
}

IN_V1(a_controller_that_version_1_has_not_is_looked_for_in_version_2)
{
    struct tide_cgroup group = find("io");

    cr_assert_eq(group.version, 2);
    cr_assert_str_eq(group.path, "/sys/fs/cgroup/unified/x");
}

/* As in a container that has its own part of the tree only. */
IN_V1(only_the_groups_own_part_is_mounted)
{
    write_file("/proc/self/cgroup", "7:memory:/docker/12ab/inner\n");
    write_file("/proc/self/mountinfo",
               "34 31 0:32 /docker/12 /other ro - cgroup cgroup rw,memory\n"
               "35 31 0:32 /docker/12ab /mnt/my\\040memory ro - cgroup cgroup rw,memory\n");
    cr_assert_str_eq(find("memory").path, "/mnt/my memory/inner");
    write_file("/proc/self/cgroup", "7:memory:/docker/12ab\n");
    cr_assert_str_eq(find("memory").path, "/mnt/my memory");
}

IN_V2(the_outermost_group_is_the_mount_point)
{
    write_file("/proc/self/cgroup", "0::/\n");
    cr_assert_str_eq(find("memory").path, "/sys/fs/cgroup");
}

IN_V2(what_cannot_be_seen_is_unknown)
{
    struct tide_cgroup group;
    char long_path[1000] = "0::/";

    write_file("/proc/self/mountinfo", "30 22 0:26 /else /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    cr_assert_not(tide_machine_cgroup_find(&group, "memory"), "outside of what is mounted");
    write_file("/proc/self/mountinfo", "30 22 0:26\n\nnonsense - \n - - -\n");
    cr_assert_not(tide_machine_cgroup_find(&group, "memory"));
    write_file("/proc/self/mountinfo", "30 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    write_file("/proc/self/cgroup", "nonsense\n\n0\n:\n");
    cr_assert_not(tide_machine_cgroup_find(&group, "memory"));
    memset(long_path + 4, 'a', sizeof long_path - 5);
    write_file("/proc/self/cgroup", long_path);
    cr_assert_not(tide_machine_cgroup_find(&group, "memory"), "too long");
    write_file("/proc/self/cgroup", "");
    cr_assert_not(tide_machine_cgroup_find(&group, "memory"));
}

Test(cgroup, without_files_all_is_unknown, .init = begin_tree, .fini = end_tree)
{
    struct tide_cgroup group;

    cr_assert_not(tide_machine_cgroup_find(&group, "memory"));
    write_file("/proc/self/cgroup", "0::/\n");
    cr_assert_not(tide_machine_cgroup_find(&group, "memory"));
}

/* ---- Memory ------------------------------------------------------------ */

IN_V2(max_is_no_limit)
{
    assert_no_limit();
    cr_assert_not(is_filled());
}

IN_V2(a_limit_and_what_is_used)
{
    write_file(WORKER "memory.max", "2000\n");
    assert_memory(2000, 1000);
}

IN_V2(memory_high_is_a_limit_too)
{
    write_file(WORKER "memory.max", "2000\n");
    write_file(WORKER "memory.high", "1500\n");
    assert_memory(1500, 1000);
    write_file(WORKER "memory.high", "2500\n");
    assert_memory(2000, 1000);
}

IN_V2(the_smallest_limit_along_the_parents_counts)
{
    write_file(WORKER "memory.max", "9000\n");
    write_file(SERVICE "memory.max", "8000\n");
    assert_memory(8000, 5000);
    write_file(WORKER "memory.max", "7000\n");
    assert_memory(7000, 1000);
}

IN_V2(garbage_is_no_limit)
{
    static const char *const texts[] = { "", "\n", "many\n", "-5\n", "99999999999999999999999\n" };

    for (size_t n = 0; n < sizeof texts / sizeof *texts; n++) {
        write_file(WORKER "memory.max", texts[n]);
        assert_no_limit();
    }
    write_file(WORKER "memory.max", "2000\n");
    write_file(WORKER "memory.current", "?\n");
    assert_no_limit();
}

IN_V1(version_1_has_a_number_for_unlimited)
{
    assert_no_limit();
    write_file(BOX "memory.limit_in_bytes", "4000\n");
    assert_memory(4000, 1000);
    write_file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "3000\n");
    assert_memory(3000, 9000);
}

IN_V2(a_group_near_its_limit_is_filled)
{
    write_file(WORKER "memory.max", "1000000\n");
    write_file(WORKER "memory.current", "900000\n");
    cr_assert_not(is_filled());
    write_file(WORKER "memory.current", "900001\n");
    cr_assert(is_filled());
}

IN_V2(so_is_one_whose_parent_is)
{
    write_file(SERVICE "memory.max", "5100\n");
    write_file(WORKER "memory.max", "1900\n");
    cr_assert(is_filled());
}

IN_V2(file_cache_that_can_go_does_not_fill_a_group)
{
    write_file(WORKER "memory.max", "1000000\n");
    write_file(WORKER "memory.current", "990000\n");
    write_file(WORKER "memory.stat", "anon 1\nfile 300000\ninactive_file 90000\n");
    cr_assert_not(is_filled());
    write_file(WORKER "memory.stat", "anon 1\nfile 300000\ninactive_file 80000\n");
    cr_assert(is_filled());
    write_file(WORKER "memory.stat", "inactive_file 99000000\n");
    cr_assert_not(is_filled());
}

IN_V1(version_1_counts_file_cache_below_it)
{
    write_file(BOX "memory.limit_in_bytes", "1000000\n");
    write_file(BOX "memory.usage_in_bytes", "990000\n");
    write_file(BOX "memory.stat", "inactive_file 90000\ntotal_inactive_file 10000\n");
    cr_assert(is_filled());
    write_file(BOX "memory.stat", "inactive_file 0\ntotal_inactive_file 90000\n");
    cr_assert_not(is_filled());
}

/* ---- CPUs -------------------------------------------------------------- */

IN_V2(a_quota_is_rounded_up)
{
    cr_assert_eq(cpus(), 0);
    write_file(WORKER "cpu.max", "100000 100000\n");
    cr_assert_eq(cpus(), 1);
    write_file(WORKER "cpu.max", "100001 100000\n");
    cr_assert_eq(cpus(), 2);
    write_file(WORKER "cpu.max", "50000 100000\n");
    cr_assert_eq(cpus(), 1);
    write_file(WORKER "cpu.max", "1000 10\n");
    cr_assert_eq(cpus(), 100);
}

IN_V2(the_smallest_quota_along_the_parents_counts)
{
    write_file(WORKER "cpu.max", "400000 100000\n");
    write_file(SERVICE "cpu.max", "150000 50000\n");
    cr_assert_eq(cpus(), 3);
    write_file(SERVICE "cpu.max", "max 100000\n");
    cr_assert_eq(cpus(), 4);
}

IN_V2(garbage_is_no_quota)
{
    static const char *const texts[] = { "", "5\n", "5 \n", "5 0\n", "0 5\n", "-1 5\n", "a b\n" };

    for (size_t n = 0; n < sizeof texts / sizeof *texts; n++) {
        write_file(WORKER "cpu.max", texts[n]);
        cr_assert_eq(cpus(), 0, "\"%s\"", texts[n]);
    }
}

IN_V1(version_1_has_quota_and_period_apart)
{
    cr_assert_eq(cpus(), 0);
    write_file(RUN "cpu.cfs_quota_us", "250000\n");
    cr_assert_eq(cpus(), 3);
}

Test(cgroup, this_process_can_be_asked_about)
{
    struct tide_cgroup group;
    struct tide_cgroup_memory memory;
    unsigned count;

    errno = EXDEV;
    if (tide_machine_cgroup_find(&group, "memory") && tide_machine_cgroup_memory(&group, &memory))
        cr_assert_gt(memory.limit, 0);
    if (tide_machine_cgroup_find(&group, "cpu") && tide_machine_cgroup_cpus(&group, &count))
        cr_assert_gt(count, 0);
    cr_assert_eq(errno, EXDEV);
}
