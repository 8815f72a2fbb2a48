/* test_shortage.c - machine/shortage.h: each cause is told by what names it, once;
 * the kernel's files are the test's, but for the process's own limits */
#include "machine/shortage.h"

#include <linux/capability.h>
#include <sys/syscall.h>

#include "os/limits.h"
#include "os/map.h"
#include "trees.h"

#define MIB ((size_t)1 << 20)
#define MORE ((size_t)1 << 46) /* bytes, than a process has, also with a sanitizer */

/* Nothing is short. */
static void write_plenty(void)
{
    begin_v2();
    write_file("/proc/self/statm", "1000 500 400 1 0 800 0\n");
    write_file("/proc/self/maps", "a\nb\nc\n");
    write_file("/proc/sys/vm/max_map_count", "65530\n");
    write_file("/proc/sys/vm/overcommit_memory", "0\n");
    write_file("/proc/meminfo", "CommitLimit: 1 kB\nCommitted_AS: 2 kB\n");
}

static void set_limit(__rlimit_resource_t resource, rlim_t bytes)
{
    struct rlimit limit;

    TIDE_REQUIRE(getrlimit(resource, &limit) == 0);
    limit.rlim_cur = bytes;
    TIDE_REQUIRE(setrlimit(resource, &limit) == 0);
}

#define CAUSE(name, ...)                                                                      \
    Test(shortage, name)                                                                      \
    {                                                                                         \
        assert_tells(run_program(#name, NULL, NULL), __VA_ARGS__);                            \
    }                                                                                         \
    PROGRAM(name)

/* Just so many lines, of which the nth has the nth text. */
static void assert_tells(struct outcome outcome, int lines, ...)
{
    const char *line = outcome.text;
    va_list texts;

    assert_ended_well(outcome);
    va_start(texts, lines);
    for (int n = 0; n < lines; n++) {
        const char *text = va_arg(texts, const char *), *end = strchr(line, '\n');
        const char *found = strstr(line, text);

        cr_assert(end && found && found < end, "no \"%s\" in %s", text, outcome.text);
        cr_assert_eq(strncmp(line, "tidepool: no memory for ", 24), 0, "%s", line);
        line = end + 1;
    }
    va_end(texts);
    cr_assert_str_empty(line);
}

/* Often enough for every look that is not left out. */
static void tell(size_t bytes)
{
    errno = EXDEV;
    for (int n = 0; n < 10; n++)
        tide_machine_shortage_tell(bytes);
    TIDE_REQUIRE(errno == EXDEV);
}

CAUSE(the_hard_limit, 1, "for 8388608 bytes: TIDEPOOL_LIMIT_HARD is reached: ")
{
    write_plenty();
    tide_os_limits_set(TIDE_NO_LIMIT, tide_os_limits_mapped() + 6 * MIB);
    tell(8 * MIB);
    end_tree();
}

CAUSE(address_space, 1, "RLIMIT_AS, is reached")
{
    char text[100];

    write_plenty();
    set_limit(RLIMIT_AS, MORE);
    snprintf(text, sizeof text, "%zu 1 1 1 0 1 0\n", MORE / tide_os_page_bytes);
    write_file("/proc/self/statm", text);
    tell(100);
    end_tree();
}

CAUSE(data, 1, "RLIMIT_DATA, is reached")
{
    char text[100];

    write_plenty();
    set_limit(RLIMIT_DATA, MORE);
    snprintf(text, sizeof text, "9 1 1 1 0 %zu 0\n", MORE / tide_os_page_bytes);
    write_file("/proc/self/statm", text);
    tell(100);
    end_tree();
}

/* Without CAP_IPC_LOCK, which would lift the limit.  Sanitizers have an mlockall
 * that does nothing. */
static void lock_all_that_is_mapped(rlim_t limit)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[2] = { { 0 } };

    TIDE_REQUIRE(syscall(SYS_capset, &header, none) == 0);
    set_limit(RLIMIT_MEMLOCK, limit);
    TIDE_REQUIRE(syscall(SYS_mlockall, MCL_FUTURE) == 0);
}

CAUSE(locked_memory, 1, "RLIMIT_MEMLOCK, is reached: it has 131072 of 1048576 bytes")
{
    write_plenty();
    write_file("/proc/self/status", "VmPeak:\t  9 kB\nVmLck:\t     128 kB\nVmPin:\t 1 kB\n");
    lock_all_that_is_mapped(MIB);
    TIDE_REQUIRE(!tide_os_map(16 * MIB, TIDE_ARENA_BYTES));
    TIDE_REQUIRE(errno == ENOMEM);
    syscall(SYS_munlockall);
    tell(16 * MIB);
    end_tree();
}

CAUSE(locked_memory_is_none_when_the_kernel_said_otherwise, 1, "the kernel refuses it")
{
    write_plenty();
    write_file("/proc/self/status", "VmLck:\t 8192 kB\n");
    lock_all_that_is_mapped(MIB);
    TIDE_REQUIRE(!tide_os_map(16 * MIB, TIDE_ARENA_BYTES));
    syscall(SYS_munlockall);
    TIDE_REQUIRE(!tide_os_map((size_t)1 << 62, TIDE_ARENA_BYTES));
    tell(16 * MIB);
    end_tree();
}

CAUSE(mappings, 1, "the process has 98 mappings, and vm.max_map_count allows 100")
{
    char text[500] = "";

    write_plenty();
    write_file("/proc/sys/vm/max_map_count", "100\n");
    for (int n = 0; n < 98; n++)
        strcat(text, "x\n");
    write_file("/proc/self/maps", text);
    tell(MIB);
    end_tree();
}

CAUSE(commit, 1, "vm.overcommit_memory is 2, and all programs together have 1073741824 of 1177550848")
{
    write_plenty();
    write_file("/proc/sys/vm/overcommit_memory", "2\n");
    write_file("/proc/meminfo", "CommitLimit: 1149952 kB\nCommitted_AS: 1048576 kB\n");
    tell(MIB);
    end_tree();
}

CAUSE(control_group, 1, "the control group /sys/fs/cgroup/service/worker is full: the limit is 9000")
{
    write_plenty();
    write_file("/sys/fs/cgroup/service/worker/memory.max", "9000\n");
    write_file("/sys/fs/cgroup/service/worker/memory.current", "8990\n");
    tell(MIB);
    end_tree();
}

CAUSE(no_cause_that_can_be_seen, 1, "the kernel refuses it, and no limit that can be seen")
{
    write_plenty();
    tell(MIB);
    end_tree();
}

CAUSE(files_that_are_absent_say_nothing, 1, "the kernel refuses it")
{
    begin_tree();
    set_limit(RLIMIT_AS, MORE);
    tell(MIB);
    end_tree();
}

CAUSE(one_line_for_each_cause, 3, "LIMIT_HARD", "the kernel refuses it", "the process has 3 map")
{
    write_plenty();
    tide_os_limits_set(TIDE_NO_LIMIT, tide_os_limits_mapped());
    tell(MIB);
    tide_os_limits_set(TIDE_NO_LIMIT, TIDE_NO_LIMIT);
    tell(MIB);
    write_file("/proc/sys/vm/max_map_count", "3\n");
    tell(MIB);
    tell(MIB);
    end_tree();
}

CAUSE(sizes_that_no_machine_has_are_not_worth_a_line, 0)
{
    write_plenty();
    tide_os_limits_set(TIDE_NO_LIMIT, 100 * MIB);
    tell(PTRDIFF_MAX);
    tell((size_t)1 << 50);
    tell(SIZE_MAX);
    end_tree();
}
