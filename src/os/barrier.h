/* os/barrier.h - a memory barrier that every thread of the process passes
 *
 * For protocols in which one side, which is fast and common, needs no barrier of its
 * own: it sets a mark, then looks at a word (with nothing but the compiler kept from
 * turning the two around); the other, which is rare, writes the word, lets all pass a
 * barrier, and looks at the mark.  One of the two sees what the other wrote.
 */
#ifndef TIDE_OS_BARRIER_H
#define TIDE_OS_BARRIER_H

#include <stdbool.h>

/* Makes the process known to the kernel, once, which takes some milliseconds with several
 * threads. */
void tide_os_barrier_start(void);

/* Every thread that shares this memory, also the child of a vfork, has passed a full
 * memory barrier when it returns true; false where the kernel has none (before Linux
 * 4.14, or where a sandbox forbids membarrier).  Keeps errno; starts it if need be. */
bool tide_os_barrier(void);

/* Whether the last one was passed, for statistics; true before the first. */
bool tide_os_has_barrier(void);

#endif
