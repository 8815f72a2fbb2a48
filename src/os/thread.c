/* os/thread.c - see thread.h */
#include "os/thread.h"

#include <limits.h>
#include <linux/close_range.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"

#define LARGE_STACK ((size_t)8 << 20)

static __attribute__((tls_model("initial-exec"))) _Thread_local bool is_own;
static _Atomic unsigned own_threads; /* that were or are being started, and run */

bool tide_os_is_own_thread(void)
{
    return is_own;
}

static void *run_named(void *argument)
{
    const struct tide_os_job *job = argument;

    is_own = true;
    prctl(PR_SET_NAME, job->name);
    job->run(NULL);
    atomic_fetch_sub(&own_threads, 1);
    return NULL;
}

static bool create(const struct tide_os_job *job, size_t stack_bytes, int inherit)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int error;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, stack_bytes);
    pthread_attr_setinheritsched(&attributes, inherit);
    error = pthread_create(&thread, &attributes, run_named, (void *)job);
    pthread_attr_destroy(&attributes);
    return error == 0;
}

/* A thread of the allocator's must not run ahead of the program's, as one would
 * that a real-time thread has started.  Elsewhere nothing is set: a seccomp filter
 * may kill a program for that. */
static int scheduling(void)
{
    switch (sched_getscheduler(0) & ~SCHED_RESET_ON_FORK) {
    case SCHED_FIFO:
    case SCHED_RR:
    case SCHED_DEADLINE:
        return PTHREAD_EXPLICIT_SCHED;
    default:
        return PTHREAD_INHERIT_SCHED;
    }
}

/* The second try is for programs whose thread-local storage needs a larger
 * stack. */
bool tide_os_start_thread(const struct tide_os_job *job)
{
    sigset_t all, before;
    bool is_started;

    atomic_fetch_add(&own_threads, 1);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    is_started = create(job, job->stack_bytes, scheduling()) ||
                 create(job, LARGE_STACK, scheduling());
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!is_started)
        atomic_fetch_sub(&own_threads, 1);
    return is_started;
}

unsigned tide_os_own_threads(void)
{
    return atomic_load(&own_threads);
}

void tide_os_forget_threads(void)
{
    atomic_store(&own_threads, 0);
}

uint64_t tide_os_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* A sanitizer must be able to report what it finds in that thread. */
bool tide_os_leave_files(void)
{
    return TIDE_THREAD_SANITIZER ||
           syscall(SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE) == 0;
}

void tide_os_wait(_Atomic uint32_t *word, uint32_t value, uint64_t milliseconds)
{
    struct timespec time = {
        .tv_sec = (time_t)(milliseconds / 1000),
        .tv_nsec = (long)(milliseconds % 1000) * 1000000,
    };

    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value,
            milliseconds == TIDE_OS_FOREVER ? NULL : &time, NULL, 0);
}

void tide_os_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}
