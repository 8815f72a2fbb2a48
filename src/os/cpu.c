/* os/cpu.c - see cpu.h.  System calls only, so that nothing allocates. */
#include "os/cpu.h"

#include <sched.h>

enum { MOST_CPUS = 8192 };

unsigned tide_os_cpu_count(void)
{
    unsigned long mask[MOST_CPUS / (8 * sizeof(unsigned long))] = { 0 };
    int count;

    if (sched_getaffinity(0, sizeof mask, (cpu_set_t *)mask) != 0)
        return 1;
    count = CPU_COUNT_S(sizeof mask, (cpu_set_t *)mask);
    return count > 0 ? (unsigned)count : 1;
}

unsigned tide_os_cpu_now(void)
{
    int cpu = sched_getcpu();

    return cpu >= 0 ? (unsigned)cpu : 0;
}
