/* os/waiting.h - what another thread of the process is doing, as far as it can
 * be told from outside
 */
#ifndef TIDE_OS_WAITING_H
#define TIDE_OS_WAITING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Whether the thread sleeps in a system call that waits for something to happen
 * (epoll_wait, futex, read, nanosleep and the like), and no signal handler of
 * its is under way: so it was called from the program's code or from code that
 * waits for a lock, not from the middle of anything else.  False when it isn't
 * so or can't be told.  A handler that unblocks its own signal and then waits
 * can't be told; a program that has one with SA_NODEFER is left alone.  A signal
 * that is blocked and not among the usual ones tells of a handler, too, one that
 * is no longer installed.  No
 * malloc; takes some 30 us. */
bool tide_os_is_waiting(pid_t thread, uint64_t usual);

/* The signals that the calling thread blocks, a bit for each. */
uint64_t tide_os_blocked_signals(void);

/* The kernel's ticks since the machine started: now, and when the thread did
 * (UINT64_MAX: there is none, or it can't be told). */
uint64_t tide_os_ticks(void);
uint64_t tide_os_thread_start(pid_t thread);

/* Makes what this thread wrote before seen by all threads of the process from
 * now on, and what they wrote before by this thread.  False where the kernel
 * can't. */
bool tide_os_barrier(void);

/* In a fork child. */
void tide_os_forget_barrier(void);

#endif
