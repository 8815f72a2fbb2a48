/* os/process.h - whether this process is a copy of another that nobody has seen to
 *
 * fork runs handlers, but _Fork and bare system calls don't.  A page that the kernel
 * wipes in a copy of the address space (not in the child of a vfork, which lives in its
 * parent's) tells, wherever it is looked at.
 */
#ifndef TIDE_OS_PROCESS_H
#define TIDE_OS_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/bits.h"

/* The number of the process whose memory this is, 0 in a copy; the pointer is constant
 * after the start. */
extern TIDE_HIDDEN _Atomic uint32_t *tide_os_process_number;

/* Maps the page.  Where that fails (before Linux 4.14) no process is a copy. */
void tide_os_process_start(void);

/* It has been seen to. */
void tide_os_process_settle(void);

/* Not in the child of a vfork, which lives in its parent's memory. */
bool tide_os_process_is_owner(void);

/* Any thread, any time. */
static inline bool tide_os_process_is_copy(void)
{
    return tide_relaxed(tide_os_process_number) == 0;
}

#endif
