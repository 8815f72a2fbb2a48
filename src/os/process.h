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

extern TIDE_HIDDEN _Atomic uint32_t *tide_os_process_word; /* constant after the start */

/* Maps the page.  Where that fails (before Linux 4.14) no process is a copy. */
void tide_os_process_start(void);

/* Any thread, any time. */
static inline bool tide_os_process_is_copy(void)
{
    return tide_relaxed(tide_os_process_word) == 0;
}

/* It has been seen to. */
static inline void tide_os_process_settle(void)
{
    tide_set_relaxed(tide_os_process_word, 1);
}

#endif
