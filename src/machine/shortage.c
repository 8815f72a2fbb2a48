/* machine/shortage.c - see shortage.h */
#include "machine/shortage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/fatal.h"
#include "base/geometry.h"
#include "machine/cgroup.h"
#include "os/kernel.h"
#include "os/limits.h"
#include "os/map.h"

#define FAILED "no memory for %zu bytes: "

/* With overcommit_memory=2 the kernel keeps so much back for root and for the
 * user to log in (vm.admin_reserve_kbytes, vm.user_reserve_kbytes). */
#define RESERVE ((uint64_t)136 << 20)

/* Address space that is mapped before the first arena: the address map's first
 * tables, and little else. */
#define START_BYTES (2 * TIDE_MAP_PART_BYTES + ((size_t)1 << 20))

enum {
    NEAR_MAPPINGS = 8,   /* so few are left that a mapping and its neighbours don't fit */
    FULL_PERCENT = 97,   /* of a control group's limit */
};

enum cause { HARD_LIMIT, LOCKED, ADDRESS_SPACE, DATA, MAPPINGS, COMMIT, CGROUP, UNKNOWN };

static _Atomic unsigned told;     /* a bit for each cause */
static _Atomic unsigned failures; /* whose causes were looked for, or would have been */

static bool was_told(enum cause cause)
{
    return tide_relaxed(&told) >> cause & 1;
}

/* Whether nobody has told it: the caller does. */
static bool is_to_tell(enum cause cause)
{
    return !was_told(cause) && !(atomic_fetch_or(&told, 1u << cause) >> cause & 1);
}

bool tide_machine_shortage_is_certain(size_t bytes)
{
    struct sysinfo machine;
    int saved_errno = errno;
    bool is_known = sysinfo(&machine) == 0;

    errno = saved_errno;
    return is_known &&
           bytes / machine.mem_unit > (uint64_t)machine.totalram + (uint64_t)machine.totalswap;
}

/* The nth number (from 0) of /proc/self/statm, which counts pages, in bytes. */
static bool read_statm(unsigned n, uint64_t *bytes)
{
    struct tide_lines lines;
    const char *text;
    bool is_known;

    if (!tide_os_lines_open(&lines, "/proc/self/statm"))
        return false;
    text = tide_os_lines_next(&lines);
    is_known = text && tide_os_take_number(&text, bytes);
    while (is_known && n-- > 0)
        is_known = *text++ == ' ' && tide_os_take_number(&text, bytes);
    tide_os_lines_close(&lines);
    return is_known && !__builtin_mul_overflow(*bytes, tide_os_page_bytes, bytes);
}

/* ---- The causes: whether it is this one, which is told then ------------ */

/* At least an arena is mapped. */
static size_t mapped_for(size_t bytes)
{
    return bytes < TIDE_ARENA_BYTES ? TIDE_ARENA_BYTES : bytes;
}

static bool is_hard_limit(size_t bytes)
{
    size_t limit = tide_os_limits_hard(), mapped = tide_os_limits_mapped();

    if (limit == TIDE_NO_LIMIT || mapped + mapped_for(bytes) <= limit)
        return false;
    if (is_to_tell(HARD_LIMIT))
        tide_base_warn(FAILED "TIDEPOOL_LIMIT_HARD is reached: %zu of %zu bytes are mapped", bytes,
                       mapped, limit);
    return true;
}

/* The kernel said so itself. */
static bool is_locked(size_t bytes)
{
    struct rlimit limit;
    uint64_t kilobytes;

    if (!tide_os_map_was_lock_limited() || getrlimit(RLIMIT_MEMLOCK, &limit) != 0 ||
        !tide_os_kernel_value("/proc/self/status", "VmLck", &kilobytes))
        return false;
    if (is_to_tell(LOCKED))
        tide_base_warn(FAILED "the process's limit of locked memory, RLIMIT_MEMLOCK, is reached: "
                              "it has %" PRIu64 " of %" PRIu64 " bytes, and all that it maps is "
                              "locked (mlockall); raise it with ulimit -l",
                       bytes, kilobytes * 1024, (uint64_t)limit.rlim_cur);
    return true;
}

/* An aligned mapping may need an arena's size more for a moment; the first one
 * comes after the address map. */
static size_t mapped_besides(void)
{
    return 2 * TIDE_ARENA_BYTES + (tide_os_limits_mapped() == 0 ? START_BYTES : 0);
}

static bool is_process_limit(size_t bytes, enum cause cause)
{
    bool is_data = cause == DATA;
    struct rlimit limit;
    uint64_t used;

    if (getrlimit(is_data ? RLIMIT_DATA : RLIMIT_AS, &limit) != 0 ||
        limit.rlim_cur == RLIM_INFINITY || !read_statm(is_data ? 5 : 0, &used) ||
        used + mapped_for(bytes) + mapped_besides() <= limit.rlim_cur)
        return false;
    if (is_to_tell(cause))
        tide_base_warn(FAILED "the process's limit of %s is reached: it has %" PRIu64 " of %" PRIu64
                              " bytes; raise it with %s",
                       bytes, is_data ? "data, RLIMIT_DATA," : "address space, RLIMIT_AS,", used,
                       (uint64_t)limit.rlim_cur, is_data ? "ulimit -d" : "ulimit -v");
    return true;
}

static bool is_mappings(size_t bytes)
{
    uint64_t most;
    size_t count;

    if (!tide_os_kernel_number("/proc/sys/vm/max_map_count", &most) ||
        !tide_os_kernel_count_lines("/proc/self/maps", &count) || count + NEAR_MAPPINGS < most)
        return false;
    if (is_to_tell(MAPPINGS))
        tide_base_warn(FAILED "the process has %zu mappings, and vm.max_map_count allows %" PRIu64
                              "; raise that with sysctl",
                       bytes, count, most);
    return true;
}

static bool is_commit(size_t bytes)
{
    uint64_t mode, most, used;

    if (!tide_os_kernel_number("/proc/sys/vm/overcommit_memory", &mode) || mode != 2 ||
        !tide_os_kernel_meminfo("CommitLimit", &most) ||
        !tide_os_kernel_meminfo("Committed_AS", &used) ||
        used + mapped_for(bytes) + RESERVE <= most)
        return false;
    if (is_to_tell(COMMIT))
        tide_base_warn(FAILED "vm.overcommit_memory is 2, and all programs together have %" PRIu64
                              " of %" PRIu64 " bytes (Committed_AS, CommitLimit); raise "
                              "vm.overcommit_ratio or add swap",
                       bytes, used, most);
    return true;
}

static bool is_cgroup(size_t bytes)
{
    struct tide_cgroup_memory memory;
    struct tide_cgroup group;

    if (!tide_machine_cgroup_find(&group, "memory") ||
        !tide_machine_cgroup_is_filled(&group, FULL_PERCENT) ||
        !tide_machine_cgroup_memory(&group, &memory))
        return false;
    if (is_to_tell(CGROUP))
        tide_base_warn(FAILED "the control group %s is full: the limit is %" PRIu64 " bytes", bytes,
                       group.path, memory.limit);
    return true;
}

/* ------------------------------------------------------------------------ */

/* For a program that goes on failing: fewer and fewer looks. */
static bool is_to_look(void)
{
    return tide_is_power_of_two(atomic_fetch_add(&failures, 1) + 1u);
}

void tide_machine_shortage_tell(size_t bytes)
{
    if (tide_machine_shortage_is_certain(bytes) || is_hard_limit(bytes) || !is_to_look())
        return;
    if (is_locked(bytes) || is_process_limit(bytes, ADDRESS_SPACE) ||
        is_process_limit(bytes, DATA) || is_mappings(bytes) || is_commit(bytes) ||
        is_cgroup(bytes))
        return;
    if (is_to_tell(UNKNOWN))
        tide_base_warn(FAILED "the kernel refuses it, and no limit that can be seen is reached",
                       bytes);
}
