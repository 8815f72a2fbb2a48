/* os/thread.c - see thread.h */
#include "os/thread.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { STACK_BYTES = 256 << 10 };

static const char *_Atomic thread_name;
static void *(*_Atomic thread_run)(void *);

static void *run_named(void *unused)
{
    prctl(PR_SET_NAME, thread_name);
    return thread_run(unused);
}

/* The standard stack is tried where a program's thread-local storage leaves no
 * room in a small one. */
static bool create(pthread_attr_t *attributes)
{
    pthread_t thread;

    pthread_attr_setdetachstate(attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setinheritsched(attributes, PTHREAD_EXPLICIT_SCHED);
    if (pthread_create(&thread, attributes, run_named, NULL) == 0)
        return true;
    pthread_attr_destroy(attributes);
    pthread_attr_init(attributes);
    pthread_attr_setdetachstate(attributes, PTHREAD_CREATE_DETACHED);
    return pthread_create(&thread, attributes, run_named, NULL) == 0;
}

bool tide_os_start_thread(void *(*run)(void *), const char *name)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    bool is_started;

    thread_run = run;
    thread_name = name;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    is_started = create(&attributes);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return is_started;
}

void tide_os_sleep_ms(uint64_t milliseconds)
{
    struct timespec left = {
        .tv_sec = (time_t)(milliseconds / 1000),
        .tv_nsec = (long)(milliseconds % 1000) * 1000000,
    };

    clock_nanosleep(CLOCK_MONOTONIC, 0, &left, NULL);
}

void tide_os_wait(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

void tide_os_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}
