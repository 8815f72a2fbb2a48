/* os/barrier.c - see barrier.h.  The process is registered once; a fork's child is,
 * too, and a program that is executed isn't. */
#include "os/barrier.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"

static _Atomic bool is_registered, is_missing;

static bool call(int command)
{
    return syscall(SYS_membarrier, command, 0, 0) == 0;
}

void tide_os_barrier_start(void)
{
    int saved_errno = errno;

    if (tide_relaxed(&is_registered) || tide_relaxed(&is_missing))
        return;
    if (call(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED))
        tide_set_relaxed(&is_registered, true);
    else
        tide_set_relaxed(&is_missing, true);
    errno = saved_errno;
}

bool tide_os_barrier(void)
{
    int saved_errno = errno;
    bool is_passed;

    tide_os_barrier_start();
    is_passed = tide_relaxed(&is_registered) && call(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    tide_set_relaxed(&is_missing, !is_passed);
    errno = saved_errno;
    return is_passed;
}

bool tide_os_has_barrier(void)
{
    return !tide_relaxed(&is_missing);
}
