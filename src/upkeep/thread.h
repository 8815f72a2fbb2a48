/* upkeep/thread.h - the thread that gives idle memory back
 *
 * Started once the program has some megabytes and a second thread that allocates
 * (TIDEPOOL_MAINTENANCE=auto; on: megabytes are enough; off: never), by a malloc on
 * its slow path; gone in the child of a fork until that needs it, too.  When
 * nothing is left to go (look.h) it sleeps until something is freed.
 *
 * While memory is short (machine/pressure.h: the control group is nearly full, or
 * tasks wait for memory), which it asks once a second or at each look, whichever
 * is sooner, nothing waits: all that is free goes at once, again and again.
 */
#ifndef TIDE_UPKEEP_THREAD_H
#define TIDE_UPKEEP_THREAD_H

#include <stdbool.h>
#include <stddef.h>

#define TIDE_MAINTAINED_BYTES ((size_t)16 << 20) /* the thread, from as many on */

/* Whether a thread is to do the work. */
bool tide_thread_is_wanted(void);

/* Starts it, unless somebody else does; mallocs go on when none can be started.  By a
 * thread that holds no lock and uses no heap, as it may call malloc. */
void tide_thread_start(void);

/* Who gives idle memory back, in words. */
const char *tide_upkeep_name(void);

/* Ends the thread for good.  The C library ends a program whose main thread has
 * called pthread_exit when no other is left, and counts this one. */
void tide_thread_end(void);

void tide_thread_after_fork_in_child(void);

#endif
