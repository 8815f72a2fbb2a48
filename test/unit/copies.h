/* test/unit/copies.h - copies of the process that no fork handler runs for */
#ifndef TIDE_TEST_COPIES_H
#define TIDE_TEST_COPIES_H

#include <signal.h>
#include <sys/syscall.h>

#include "unit.h"

/* The C library's, where it has one. */
pid_t _Fork(void) __attribute__((weak));

MAY_BE_UNUSED static pid_t copy_process(void)
{
    return _Fork ? _Fork() : (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

/* Runs function in a copy; 0, if it returned. */
MAY_BE_UNUSED static int run_copy(void (*function)(void))
{
    pid_t child = copy_process();
    int status;

    TIDE_REQUIRE(child >= 0);
    if (child == 0) {
        alarm(WATCHDOG_SECONDS);
        function();
        _exit(0);
    }
    TIDE_REQUIRE(waitpid(child, &status, 0) == child);
    return status;
}

#endif
