/* os/thread.h - a background thread, and waiting
 *
 * Any thread may call all of these.
 */
#ifndef TIDE_OS_THREAD_H
#define TIDE_OS_THREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tide_os_job {
    void *(*run)(void *);
    const char *name;   /* 15 bytes at most */
    size_t stack_bytes;
};

/* Starts a detached thread for a job, which is constant, that takes no signals.
 * It is scheduled as its maker, but never as a real-time thread.  May call malloc.
 * False when there can't be one more thread. */
bool tide_os_start_thread(const struct tide_os_job *job);

/* Whether the calling thread is one that was started so. */
bool tide_os_is_own_thread(void);

/* How many such threads there are; none in the child of a fork. */
unsigned tide_os_own_threads(void);
void tide_os_forget_threads(void);

/* A clock that goes on steadily, of a few milliseconds' precision. */
uint64_t tide_os_now_ms(void);

/* Gives the calling thread file descriptors of its own, none of them open: what
 * it opens never takes a number from the program, and it keeps none of the
 * program's files open.  False before Linux 5.9. */
bool tide_os_leave_files(void);

#define TIDE_OS_FOREVER UINT64_MAX

/* Sleeps while *word is value, until woken or for so long; may return early. */
void tide_os_wait(_Atomic uint32_t *word, uint32_t value, uint64_t milliseconds);

/* Wakes those that wait for the word. */
void tide_os_wake(_Atomic uint32_t *word);

#endif
