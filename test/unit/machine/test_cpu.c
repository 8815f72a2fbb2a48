/* test_cpu.c - machine/cpu.h follows the affinity mask */
#include "machine/cpu.h"

#include <sched.h>

#include "../unit.h"

static cpu_set_t allowed;

static void allow_only(unsigned cpu)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0);
}

Test(cpu, the_count_is_that_of_the_affinity_mask)
{
    cr_assert_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    cr_assert_eq(tide_machine_cpu_count(), (unsigned)CPU_COUNT(&allowed));
    cr_assert_geq(tide_machine_cpu_count(), 1);
}

Test(cpu, a_thread_bound_to_a_cpu_runs_on_it)
{
    cr_assert_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed)) {
            allow_only(cpu);
            cr_assert_eq(tide_machine_cpu_now(), cpu);
            cr_assert_eq(tide_machine_cpu_count(), 1);
        }
}
