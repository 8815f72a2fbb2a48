/* test_pressure.c - machine/pressure.h: which of two files tells, and from where on
 * memory counts as short */
#include "machine/pressure.h"

#include "trees.h"

#define OWN "/sys/fs/cgroup/service/worker/memory.pressure"
#define MACHINE "/proc/pressure/memory"
#define WORKER "/sys/fs/cgroup/service/worker/"

#define IN_V2(name) Test(pressure, name, .init = begin_v2, .fini = end_tree)

static void write_stalled(const char *path, const char *percent)
{
    char text[200];

    snprintf(text, sizeof text,
             "some avg10=%s avg60=77.00 avg300=77.00 total=1234\n"
             "full avg10=66.00 avg60=66.00 avg300=66.00 total=123\n",
             percent);
    write_file(path, text);
}

static struct tide_cgroup own_group(void)
{
    struct tide_cgroup group;

    cr_assert(tide_machine_cgroup_find(&group, "memory"));
    return group;
}

static int stalled(void) /* -1: unknown */
{
    struct tide_cgroup group = own_group();
    unsigned percent;

    return tide_machine_pressure_stalled(&group, &percent) ? (int)percent : -1;
}

static bool is_high(void)
{
    struct tide_cgroup group = own_group();

    return tide_machine_pressure_is_high(&group);
}

IN_V2(a_group_tells_before_the_machine)
{
    unsigned percent;

    cr_assert_eq(stalled(), -1);
    write_stalled(MACHINE, "12.34");
    cr_assert_eq(stalled(), 12);
    write_stalled(OWN, "3.99");
    cr_assert_eq(stalled(), 3);
    cr_assert(tide_machine_pressure_stalled(NULL, &percent) && percent == 12);
}

IN_V2(garbage_is_unknown)
{
    static const char *const texts[] = { "", "some\n", "some avg10=\n", "some avg10=x\n",
                                         "full avg10=5.00\n", "some avg10=101.00\n" };

    for (size_t n = 0; n < sizeof texts / sizeof *texts; n++) {
        write_file(OWN, texts[n]);
        cr_assert_eq(stalled(), -1, "\"%s\"", texts[n]);
    }
}

IN_V2(it_is_high_when_tasks_wait)
{
    cr_assert_not(is_high(), "unknown is not high");
    write_stalled(OWN, "0.00");
    cr_assert_not(is_high());
    write_stalled(OWN, "4.99");
    cr_assert_not(is_high());
    write_stalled(OWN, "5.00");
    cr_assert(is_high());
    write_stalled(OWN, "100.00");
    cr_assert(is_high());
}

IN_V2(it_is_high_near_the_groups_limit)
{
    write_stalled(OWN, "0.00");
    write_file(WORKER "memory.max", "1000000\n");
    write_file(WORKER "memory.current", "950000\n");
    cr_assert(is_high());
    write_file(WORKER "memory.current", "850000\n");
    cr_assert_not(is_high());
}

IN_V2(without_a_group_the_machine_tells)
{
    cr_assert_not(tide_machine_pressure_is_high(NULL));
    write_stalled(MACHINE, "50.00");
    cr_assert(tide_machine_pressure_is_high(NULL));
}
