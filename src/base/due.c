/* base/due.c - see due.h */
#include "base/due.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

_Atomic bool tide_something_is_due;
_Atomic uint32_t tide_upkeep_state;
_Atomic uint32_t tide_bell;

bool tide_bell_change(uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong(&tide_bell, &from, to);
}

void tide_ring_slow(void)
{
    if (tide_bell_change(TIDE_BELL_ASLEEP, TIDE_BELL_AWAKE))
        syscall(SYS_futex, &tide_bell, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
