/* machine/cpu.c - see cpu.h.  Nothing allocates; where the thread runs is asked without a
 * system call. */
#include "machine/cpu.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/bits.h"

enum { MOST_CPUS = 8192 };

static unsigned (*_Atomic fake_now)(void); /* tests only */

unsigned tide_machine_cpu_count(void)
{
    unsigned long mask[MOST_CPUS / (8 * sizeof(unsigned long))] = { 0 };
    unsigned count = 0;

    if (syscall(SYS_sched_getaffinity, 0, sizeof mask, mask) < 0)
        return 1;
    for (size_t n = 0; n < sizeof mask / sizeof *mask; n++)
        count += tide_bit_count(mask[n]);
    return count > 0 ? count : 1;
}

unsigned tide_machine_cpu_now(void)
{
    unsigned (*fake)(void) = tide_relaxed(&fake_now);
    int cpu;

    if (TIDE_UNLIKELY(fake != NULL))
        return fake();
    cpu = sched_getcpu();
    return cpu >= 0 ? (unsigned)cpu : 0;
}

void tide_machine_fake_cpu(unsigned (*now)(void))
{
    tide_set_relaxed(&fake_now, now);
}
