/* test_waiting_signals.c - os/waiting.h: who may be in a signal handler, is stopped,
 * or is another of the same number, and is never seen to wait
 *
 * Threads are first brought to where they stay: asleep in a handler, stopped.
 */
#include "os/waiting.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "doers.h"

TestSuite(waiting_signals, .timeout = 120);

/* ---- Signal handlers --------------------------------------------------- */

static atomic_bool is_in_handler;

static void handle(int number)
{
    (void)number;
    atomic_store(&is_in_handler, true);
    take_byte();
    atomic_store(&is_in_handler, false);
}

static void set_action(int number, void (*handler)(int), int flags)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

    TIDE_REQUIRE(sigaction(number, &action, NULL) == 0);
}

Test(waiting_signals, one_that_waits_in_a_signal_handler_does_not)
{
    struct doer doer;

    set_action(SIGUSR1, handle, SA_RESTART);
    start_doer(&doer, wait_for_condition);
    expect_waiting(doer.number);
    pthread_kill(doer.thread, SIGUSR1);
    while (!atomic_load(&is_in_handler))
        sched_yield();
    wait_for_state(doer.number, 'S');
    cr_assert_eq(call_of(doer.number), SYS_read);
    expect_not_waiting(doer.number);
    send_byte();
    expect_waiting(doer.number);
    cr_assert_not(atomic_load(&is_in_handler));
}

static void sleep_with_signal_blocked(void)
{
    sigset_t one;

    sigemptyset(&one);
    sigaddset(&one, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &one, NULL);
    sleep_long();
}

Test(waiting_signals, one_that_blocks_a_signal_may_be_in_its_handler)
{
    struct doer doer;

    start_doer(&doer, sleep_with_signal_blocked);
    expect_waiting(doer.number);
    set_action(SIGUSR2, handle, 0);
    expect_not_waiting(doer.number);
    set_action(SIGUSR2, SIG_IGN, 0);
    expect_waiting(doer.number);
    set_action(SIGUSR2, handle, 0);
    expect_not_waiting(doer.number);
    set_action(SIGUSR2, SIG_DFL, 0);
    expect_waiting(doer.number);
}

/* A handler that is no longer installed may still be under way. */
Test(waiting_signals, a_blocked_signal_without_handler_is_harmless_if_usual)
{
    const uint64_t usual = (uint64_t)1 << (SIGUSR2 - 1);
    struct doer doer;

    start_doer(&doer, sleep_with_signal_blocked);
    expect_waiting(doer.number);
    for (int n = 0; n < 20; n++) {
        cr_assert(tide_os_is_waiting(doer.number, usual));
        cr_assert_not(tide_os_is_waiting(doer.number, ~usual));
    }
}

Test(waiting_signals, any_may_be_in_a_handler_that_leaves_its_signal_open)
{
    struct doer doer;

    start_doer(&doer, sleep_long);
    expect_waiting(doer.number);
    set_action(SIGRTMAX, handle, SA_NODEFER);
    expect_not_waiting(doer.number);
    set_action(SIGRTMAX, SIG_IGN, SA_NODEFER);
    expect_waiting(doer.number);
    set_action(SIGHUP, handle, SA_NODEFER);
    expect_not_waiting(doer.number);
    set_action(SIGHUP, SIG_DFL, SA_NODEFER);
    set_action(SIGSEGV, handle, SA_NODEFER); /* of an error: doesn't return to malloc */
    expect_waiting(doer.number);
}

/* ---- Stopping ---------------------------------------------------------- */

static int to_tracer[2], from_tracer[2];

static void tell(int file, char byte)
{
    TIDE_REQUIRE(write(file, &byte, 1) == 1);
}

static char hear(int file)
{
    char byte = 0;

    while (read(file, &byte, 1) < 0)
        ;
    return byte;
}

/* In a child: stops the thread until told to let it go.  Tells whether it may. */
static void trace(pid_t thread)
{
    int status;

    hear(to_tracer[0]);
    if (ptrace(PTRACE_SEIZE, thread, 0, 0) != 0) {
        tell(from_tracer[1], 'n');
        _exit(0);
    }
    TIDE_REQUIRE(ptrace(PTRACE_INTERRUPT, thread, 0, 0) == 0);
    TIDE_REQUIRE(waitpid(thread, &status, __WALL) == thread && WIFSTOPPED(status));
    tell(from_tracer[1], 'y');
    hear(to_tracer[0]);
    _exit(ptrace(PTRACE_DETACH, thread, 0, 0) != 0);
}

static void start_tracer(pid_t thread)
{
    pid_t child;

    TIDE_REQUIRE(pipe(to_tracer) == 0 && pipe(from_tracer) == 0);
    child = fork();
    if (child == 0)
        trace(thread);
    prctl(PR_SET_PTRACER, child, 0, 0, 0); /* fails where nobody has to ask */
    tell(to_tracer[1], 0);
    if (hear(from_tracer[0]) == 'n')
        cr_skip_test("threads can't be traced here");
}

Test(waiting_signals, one_that_is_stopped_does_not_until_it_goes_on)
{
    struct doer doer;
    int status;

    start_doer(&doer, sleep_long);
    expect_waiting(doer.number);
    start_tracer(doer.number);
    expect_not_waiting(doer.number);
    tell(to_tracer[1], 0);
    cr_assert(wait(&status) > 0 && status == 0);
    expect_waiting(doer.number);
    cr_assert_eq(call_of(doer.number), SYS_restart_syscall);
}

/* ---- Other PID namespaces ---------------------------------------------- */

enum { CANT = 77 };

/* The number that /proc, which is of the outer namespace, has for the only other
 * thread. */
static pid_t other_thread(pid_t first)
{
    DIR *directory = opendir("/proc/self/task");
    const struct dirent *entry;
    pid_t other = 0;

    TIDE_REQUIRE(directory);
    while ((entry = readdir(directory)))
        if (atoi(entry->d_name) != 0 && atoi(entry->d_name) != first)
            other = atoi(entry->d_name);
    closedir(directory);
    return other;
}

static void compute_on(void)
{
    for (;;)
        atomic_signal_fence(memory_order_seq_cst);
}

static pid_t first_thread(void)
{
    char target[20] = "";

    TIDE_REQUIRE(readlink("/proc/self", target, sizeof target - 1) > 0);
    return atoi(target);
}

/* The first process of a namespace: one thread sleeps, another computes that has
 * the number here that the first one has in /proc. */
static void live_in_namespace(void)
{
    struct doer sleeper, computer;
    pid_t outside;
    FILE *last;

    start_doer(&sleeper, sleep_long);
    outside = other_thread(first_thread());
    last = fopen("/proc/sys/kernel/ns_last_pid", "w");
    if (!last || fprintf(last, "%d", outside - 1) < 0 || fclose(last) != 0)
        _exit(CANT);
    start_doer(&computer, compute_on);
    if (computer.number != outside)
        _exit(CANT);
    wait_for_state(outside, 'S');
    for (int n = 0; n < 20; n++)
        TIDE_REQUIRE(!tide_os_is_waiting(computer.number, UINT64_MAX));
    _exit(0);
}

static void enter_namespace(void)
{
    int status;
    pid_t child;

    if (unshare(CLONE_NEWPID) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWPID) != 0)
        _exit(CANT);
    child = fork();
    if (child == 0)
        live_in_namespace();
    TIDE_REQUIRE(waitpid(child, &status, 0) == child && WIFEXITED(status));
    _exit(WEXITSTATUS(status));
}

Test(waiting_signals, another_that_has_its_number_in_an_outer_namespace_is_not_meant)
{
    struct outcome outcome = run_apart(enter_namespace);

    if (WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == CANT)
        cr_skip_test("there can be no PID namespace here, or no choice of numbers in it");
    assert_ended_well(outcome);
}

/* ---- What it leaves alone ---------------------------------------------- */

Test(waiting_signals, errno_is_kept)
{
    struct doer doer;

    start_doer(&doer, sleep_long);
    errno = ERANGE;
    expect_waiting(doer.number);
    tide_os_is_waiting(0, UINT64_MAX);
    tide_os_thread_start(doer.number);
    tide_os_thread_start(0);
    tide_os_ticks();
    tide_os_barrier();
    cr_assert_eq(errno, ERANGE);
}

static atomic_bool is_past;

/* A request that is pending is acted upon at the next cancellation point. */
static void ask_while_cancelled(void)
{
    pthread_cancel(pthread_self());
    tide_os_is_waiting(getpid(), UINT64_MAX);
    tide_os_thread_start(getpid());
    tide_os_barrier();
    atomic_store(&is_past, true);
    pthread_testcancel();
}

Test(waiting_signals, a_thread_that_is_cancelled_does_not_end_in_it)
{
    struct doer doer;
    void *result;

    start_doer(&doer, ask_while_cancelled);
    pthread_join(doer.thread, &result);
    cr_assert_eq(result, PTHREAD_CANCELED);
    cr_assert(atomic_load(&is_past));
}
