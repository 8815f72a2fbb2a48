/* test_limits.c - machine/limits.h: what the settings mean */
#include "machine/limits.h"

#include "os/limits.h"
#include "trees.h"

#define MIB ((size_t)1 << 20)
#define WORKER "/sys/fs/cgroup/service/worker/"

static int64_t soft_setting, hard_setting;
static size_t soft, hard;
static char text[TEXT_BYTES];

static void start(void)
{
    tide_machine_limits_start(soft_setting, hard_setting);
    soft = tide_os_limits_soft();
    hard = tide_os_limits_hard();
    tide_os_limits_set(TIDE_NO_LIMIT, TIDE_NO_LIMIT);
}

/* The warning is in text. */
static void start_with(int64_t soft_value, int64_t hard_value)
{
    soft_setting = soft_value;
    hard_setting = hard_value;
    capture(start, text);
}

#define IN_V2(name) Test(limits, name, .init = begin_v2, .fini = end_tree)

IN_V2(zero_is_no_limit)
{
    start_with(0, 0);
    cr_assert(soft == TIDE_NO_LIMIT && hard == TIDE_NO_LIMIT);
    cr_assert_str_empty(text);
}

IN_V2(bytes_are_bytes)
{
    start_with(100 << 20, 200 << 20);
    cr_assert(soft == 100 << 20 && hard == 200 << 20);
    cr_assert_str_empty(text);
}

IN_V2(a_percentage_is_of_the_control_groups_limit)
{
    write_file(WORKER "memory.max", "1000000000\n");
    write_file("/proc/meminfo", "MemTotal: 8000000 kB\n");
    start_with(-50, -80);
    cr_assert(soft == 500000000 && hard == 800000000, "%zu %zu", soft, hard);
    cr_assert_str_empty(text);
}

IN_V2(without_a_control_groups_limit_it_is_of_the_machines_memory)
{
    write_file("/proc/meminfo", "MemTotal: 8000000 kB\n");
    start_with(0, -100);
    cr_assert(soft == TIDE_NO_LIMIT && hard == (size_t)8000000 * 1024 / 100 * 100);
}

IN_V2(a_percentage_of_something_unknown_is_ignored)
{
    start_with(0, -80);
    cr_assert_eq(hard, TIDE_NO_LIMIT);
    cr_assert(strstr(text, "TIDEPOOL_LIMIT_HARD=80% is ignored"), "%s", text);
}

IN_V2(too_little_to_live_on_is_ignored)
{
    start_with(1, 2 * TIDE_ARENA_BYTES - 1);
    cr_assert(soft == TIDE_NO_LIMIT && hard == TIDE_NO_LIMIT);
    cr_assert(strstr(text, "TIDEPOOL_LIMIT_SOFT is ignored: 1 bytes"), "%s", text);
    cr_assert(strstr(text, "TIDEPOOL_LIMIT_HARD is ignored"), "%s", text);
    start_with(0, 2 * TIDE_ARENA_BYTES);
    cr_assert_eq(hard, 2 * TIDE_ARENA_BYTES);
    cr_assert_str_empty(text);
}

IN_V2(a_soft_limit_that_is_not_below_the_hard_one_is_ignored)
{
    start_with(100 << 20, 100 << 20);
    cr_assert(soft == TIDE_NO_LIMIT && hard == 100 << 20);
    cr_assert(strstr(text, "TIDEPOOL_LIMIT_SOFT (104857600 bytes) is ignored"), "%s", text);
}
