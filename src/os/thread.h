/* os/thread.h - a background thread, and waiting
 *
 * Any thread may call all of these.
 */
#ifndef TIDE_OS_THREAD_H
#define TIDE_OS_THREAD_H

#include <stdbool.h>
#include <stdint.h>

/* Starts a detached thread of that name (15 bytes at most) that takes no
 * signals.  May call malloc.  Not twice at a time.  False when there can't be one more thread. */
bool tide_os_start_thread(void *(*run)(void *), const char *name);

#define TIDE_OS_FOREVER UINT64_MAX

/* Sleeps while *word is value, until woken or for so long; may return early. */
void tide_os_wait(_Atomic uint32_t *word, uint32_t value, uint64_t milliseconds);

/* Wakes those that wait for the word. */
void tide_os_wake(_Atomic uint32_t *word);

#endif
