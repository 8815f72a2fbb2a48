/* api/fork.h - what a fork finds, and what its child makes of it
 *
 * A process in which one thread alone uses the allocator forks without a lock being
 * taken or reset: nothing else is under way, and the forking thread may itself be in
 * the middle of a malloc that a signal interrupted.  Else fork's handlers take all
 * locks, stdio's first, as its users hold it and allocate.  A child that no handler ran
 * in (_Fork, clone) finds that out at its first slow path and mends what it needs.
 */
#ifndef TIDE_API_FORK_H
#define TIDE_API_FORK_H

#include "heap/heap.h"
#include "os/process.h"

/* fork's three handlers. */
void tide_fork_prepare(void);
void tide_fork_in_parent(void);
void tide_fork_in_child(void);

/* In a copy of the process: makes it one that can be used. */
void tide_fork_mend(void);

/* At every slow path, before anything is used that threads share. */
static inline void tide_fork_check(void)
{
    if (TIDE_UNLIKELY(tide_os_process_is_copy()))
        tide_fork_mend();
}

/* ---- Threads without a heap of their own ------------------------------- */

/* Around whatever such a thread does that takes locks: waits while another one forks
 * that believes itself alone.  Whether it must be followed by tide_fork_pass_out. */
bool tide_fork_pass_in_slow(void);
void tide_fork_pass_out(void);

static inline bool tide_fork_pass_in(void)
{
    tide_fork_check();
    return TIDE_UNLIKELY(tide_heap_fast == &tide_heap_none) && tide_fork_pass_in_slow();
}

#endif
