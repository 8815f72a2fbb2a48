/* os/waiting.c - see waiting.h */
#include "os/waiting.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/bits.h"

/* System calls in which a thread waits; newer architectures lack some. */
static const long waits[] = {
    SYS_futex, SYS_epoll_pwait, SYS_ppoll, SYS_pselect6, SYS_nanosleep, SYS_clock_nanosleep,
    SYS_read, SYS_readv, SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg, SYS_accept, SYS_accept4,
    SYS_wait4, SYS_waitid, SYS_io_getevents, SYS_rt_sigtimedwait, SYS_semtimedop, SYS_msgrcv,
    SYS_restart_syscall, /* one of these, after a stop */
#ifdef SYS_epoll_wait
    SYS_epoll_wait,
#endif
#ifdef SYS_epoll_pwait2
    SYS_epoll_pwait2,
#endif
#ifdef SYS_poll
    SYS_poll,
#endif
#ifdef SYS_select
    SYS_select,
#endif
#ifdef SYS_io_uring_enter
    SYS_io_uring_enter,
#endif
#ifdef SYS_futex_waitv
    SYS_futex_waitv,
#endif
};

enum { ROOM = 4096 };

/* The text of /proc/self/task/THREAD/name; false when it can't be read.  A thread
 * that is cancelled must not end here, with locks held: open, read and close
 * would let it. */
static bool read_text(pid_t thread, const char *name, char text[ROOM])
{
    char path[64];
    long file, length;

    snprintf(path, sizeof path, "/proc/self/task/%ld/%s", (long)thread, name);
    file = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    length = syscall(SYS_read, file, text, (long)ROOM - 1);
    syscall(SYS_close, file);
    text[length > 0 ? length : 0] = '\0';
    return length > 0;
}

/* The number after a field's name; base 0 ... as strtoull. */
static bool read_field(const char *text, const char *name, int base, uint64_t *value)
{
    const char *found = strstr(text, name);

    if (!found)
        return false;
    *value = strtoull(found + strlen(name), NULL, base);
    return true;
}

/* ---- Sleeping ---------------------------------------------------------- */

struct sleep {
    uint64_t switches, preemptions; /* the same ones: the same sleep */
    uint64_t caught;                /* a bit for each signal that has a handler */
};

/* Whether it is the text of the thread with this number.  /proc may be that of an
 * outer PID namespace, where another thread has it; the last one listed is the
 * thread's own.  Kernels without namespaces list none. */
static bool is_about(const char *text, pid_t thread)
{
    const char *line = strstr(text, "\nNSpid:"), *last = line ? strchr(line + 1, '\n') : NULL;

    if (!last)
        return !line;
    while (last[-1] >= '0' && last[-1] <= '9')
        last--;
    return strtol(last, NULL, 10) == thread;
}

/* Whether the thread sleeps and blocks no signal that has a handler, as it does
 * while a handler runs. */
static bool is_asleep(pid_t thread, uint64_t usual, struct sleep *sleep)
{
    char text[ROOM];
    uint64_t blocked;

    return read_text(thread, "status", text) && is_about(text, thread) &&
           strstr(text, "\nState:\tS") && read_field(text, "\nSigBlk:\t", 16, &blocked) &&
           read_field(text, "\nSigCgt:\t", 16, &sleep->caught) && (blocked & sleep->caught) == 0 &&
           (blocked & ~usual) == 0 &&
           read_field(text, "\nvoluntary_ctxt_switches:\t", 10, &sleep->switches) &&
           read_field(text, "\nnonvoluntary_ctxt_switches:\t", 10, &sleep->preemptions);
}

/* In user mode, in a page fault or stopped it has no call: a negative number. */
static bool is_in_wait(pid_t thread)
{
    char text[ROOM];
    long number;

    if (!read_text(thread, "syscall", text) || *text < '0' || *text > '9')
        return false;
    number = strtol(text, NULL, 10);
    for (size_t n = 0; n < sizeof waits / sizeof *waits; n++)
        if (waits[n] == number)
            return true;
    return false;
}

/* Handlers of errors don't return to where they came from. */
static bool is_for_errors(int number)
{
    return number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL ||
           number == SIGABRT || number == SIGTRAP || number == SIGSYS;
}

/* Whether a handler may run without its signal being blocked. */
static bool may_be_in_open_handler(uint64_t caught)
{
    struct sigaction action;

    for (; caught != 0; caught &= caught - 1) {
        int number = (int)tide_lowest_bit(caught) + 1;

        if (!is_for_errors(number) && sigaction(number, NULL, &action) == 0 &&
            action.sa_flags & SA_NODEFER)
            return true;
    }
    return false;
}

uint64_t tide_os_blocked_signals(void)
{
    uint64_t blocked = 0;

    syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &blocked, sizeof blocked);
    return blocked;
}

bool tide_os_is_waiting(pid_t thread, uint64_t usual)
{
    struct sleep before, after;
    int saved_errno = errno;
    bool is_so = is_asleep(thread, usual, &before) && is_in_wait(thread) && is_asleep(thread, usual, &after) &&
                 before.switches == after.switches && before.preemptions == after.preemptions &&
                 !may_be_in_open_handler(after.caught);

    errno = saved_errno;
    return is_so;
}

/* ---- Its age ----------------------------------------------------------- */

enum { START_FIELD = 22 };

uint64_t tide_os_ticks(void)
{
    uint64_t per_second = (uint64_t)sysconf(_SC_CLK_TCK);
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * per_second + (uint64_t)now.tv_nsec * per_second / 1000000000;
}

/* The second field, a name in parentheses, may have any character in it. */
uint64_t tide_os_thread_start(pid_t thread)
{
    char text[ROOM], *field;
    int saved_errno = errno;
    bool is_there = read_text(thread, "stat", text) && (field = strrchr(text, ')'));

    errno = saved_errno;
    if (!is_there)
        return UINT64_MAX;
    for (int n = 2; n < START_FIELD && field; n++)
        field = strchr(field + 1, ' ');
    return field ? strtoull(field, NULL, 10) : UINT64_MAX;
}

/* ---- Barrier ----------------------------------------------------------- */

static _Atomic bool is_registered;

bool tide_os_barrier(void)
{
    int saved_errno = errno;
    bool is_done = false;

    if (!tide_relaxed(&is_registered))
        tide_set_relaxed(&is_registered,
                         syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) ==
                             0);
    if (tide_relaxed(&is_registered))
        is_done = syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
    errno = saved_errno;
    return is_done;
}

void tide_os_forget_barrier(void)
{
    tide_set_relaxed(&is_registered, false);
}
