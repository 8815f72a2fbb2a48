/* test/unit/os/doers.h - threads that do one thing, what the kernel says of them, and
 * whether they are seen to wait
 *
 * Nothing depends on how fast: a thread that is to be seen waiting is asked
 * about until it is.
 */
#ifndef TIDE_TEST_DOERS_H
#define TIDE_TEST_DOERS_H

#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "../unit.h"
#include "os/waiting.h"

/* A thread that does one thing, and its number. */
struct doer {
    pthread_t thread;
    _Atomic pid_t number;
    void (*function)(void);
};

MAY_BE_UNUSED static void *do_it(void *argument)
{
    struct doer *doer = argument;

    atomic_store(&doer->number, gettid());
    doer->function();
    return NULL;
}

MAY_BE_UNUSED static void start_doer(struct doer *doer, void (*function)(void))
{
    doer->function = function;
    atomic_store(&doer->number, 0);
    TIDE_REQUIRE(pthread_create(&doer->thread, NULL, do_it, doer) == 0);
    while (atomic_load(&doer->number) == 0)
        sched_yield();
}

/* The first characters of one of the thread's files in /proc. */
MAY_BE_UNUSED static void read_of(pid_t thread, const char *name, char text[1024])
{
    char path[64];
    ssize_t length;
    int file;

    snprintf(path, sizeof path, "/proc/self/task/%d/%s", (int)thread, name);
    file = open(path, O_RDONLY);
    TIDE_REQUIRE(file >= 0);
    length = read(file, text, 1023);
    TIDE_REQUIRE(length > 0);
    text[length] = '\0';
    close(file);
}

MAY_BE_UNUSED static char state_of(pid_t thread)
{
    char text[1024];

    read_of(thread, "stat", text);
    return strrchr(text, ')')[2];
}

MAY_BE_UNUSED static long call_of(pid_t thread)
{
    char text[1024];

    read_of(thread, "syscall", text);
    return strtol(text, NULL, 10);
}

MAY_BE_UNUSED static void wait_for_state(pid_t thread, char state)
{
    while (state_of(thread) != state)
        usleep(1000);
}

MAY_BE_UNUSED static void expect_waiting(pid_t thread)
{
    while (!tide_os_is_waiting(thread, UINT64_MAX))
        usleep(1000);
}

MAY_BE_UNUSED static void expect_not_waiting(pid_t thread)
{
    for (int n = 0; n < 20; n++)
        cr_assert_not(tide_os_is_waiting(thread, UINT64_MAX));
}

/* What threads wait for that nobody sends. */
static int pipe_ends[2];

__attribute__((constructor)) static void make_pipe(void)
{
    TIDE_REQUIRE(pipe2(pipe_ends, O_CLOEXEC) == 0);
}

MAY_BE_UNUSED static void send_byte(void)
{
    TIDE_REQUIRE(write(pipe_ends[1], "", 1) == 1);
}

MAY_BE_UNUSED static void take_byte(void)
{
    char byte;

    while (read(pipe_ends[0], &byte, 1) != 1)
        ;
}

MAY_BE_UNUSED static void sleep_long(void)
{
    const struct timespec hour = { .tv_sec = 3600 };

    nanosleep(&hour, NULL);
}

MAY_BE_UNUSED static void wait_for_condition(void)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static pthread_cond_t never = PTHREAD_COND_INITIALIZER;

    pthread_mutex_lock(&mutex);
    for (;;)
        pthread_cond_wait(&never, &mutex);
}

#endif
