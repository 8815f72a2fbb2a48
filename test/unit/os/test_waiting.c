/* test_waiting.c - os/waiting.h: who is seen to wait, and who never is
 *
 * Nothing depends on how fast: a thread that is to be seen waiting is asked
 * about until it is.  Those that must not be are first brought to where they
 * stay: asleep in a handler, stopped, in a page fault.
 */
#include "os/waiting.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <time.h>

#include "../unit.h"

TestSuite(waiting, .timeout = 120);

/* ---- Threads ----------------------------------------------------------- */

/* A thread that does one thing, and its number. */
struct doer {
    pthread_t thread;
    _Atomic pid_t number;
    void (*function)(void);
};

static void *do_it(void *argument)
{
    struct doer *doer = argument;

    atomic_store(&doer->number, gettid());
    doer->function();
    return NULL;
}

static void start_doer(struct doer *doer, void (*function)(void))
{
    doer->function = function;
    atomic_store(&doer->number, 0);
    TIDE_REQUIRE(pthread_create(&doer->thread, NULL, do_it, doer) == 0);
    while (atomic_load(&doer->number) == 0)
        sched_yield();
}

/* The first characters of one of the thread's files in /proc. */
static void read_of(pid_t thread, const char *name, char text[1024])
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

static char state_of(pid_t thread)
{
    char text[1024];

    read_of(thread, "stat", text);
    return strrchr(text, ')')[2];
}

static long call_of(pid_t thread)
{
    char text[1024];

    read_of(thread, "syscall", text);
    return strtol(text, NULL, 10);
}

static void wait_for_state(pid_t thread, char state)
{
    while (state_of(thread) != state)
        usleep(1000);
}

static void expect_waiting(pid_t thread)
{
    while (!tide_os_is_waiting(thread, UINT64_MAX))
        usleep(1000);
}

static void expect_not_waiting(pid_t thread)
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

static void send_byte(void)
{
    TIDE_REQUIRE(write(pipe_ends[1], "", 1) == 1);
}

static void take_byte(void)
{
    char byte;

    while (read(pipe_ends[0], &byte, 1) != 1)
        ;
}

/* ---- Who waits --------------------------------------------------------- */

static void sleep_long(void)
{
    const struct timespec hour = { .tv_sec = 3600 };

    nanosleep(&hour, NULL);
}

static void wait_for_condition(void)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static pthread_cond_t never = PTHREAD_COND_INITIALIZER;

    pthread_mutex_lock(&mutex);
    for (;;)
        pthread_cond_wait(&never, &mutex);
}

static void wait_for_events(void)
{
    struct epoll_event event = { .events = EPOLLIN };
    int file = epoll_create1(EPOLL_CLOEXEC);

    TIDE_REQUIRE(epoll_ctl(file, EPOLL_CTL_ADD, pipe_ends[0], &event) == 0);
    epoll_wait(file, &event, 1, -1);
}

static void poll_pipe(void)
{
    struct pollfd file = { .fd = pipe_ends[0], .events = POLLIN };

    poll(&file, 1, -1);
}

static void select_pipe(void)
{
    fd_set files;

    FD_ZERO(&files);
    FD_SET(pipe_ends[0], &files);
    select(pipe_ends[0] + 1, &files, NULL, NULL, NULL);
}

static void wait_for_signal(void)
{
    sigset_t one;
    int number;

    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &one, NULL);
    sigwait(&one, &number);
}

static void wait_for_child(void)
{
    pid_t child = fork();

    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    waitpid(child, NULL, 0);
}

Test(waiting, threads_wait_in_many_calls)
{
    static void (*const ways[])(void) = {
        sleep_long, wait_for_condition, wait_for_events, take_byte,
        poll_pipe,  select_pipe,        wait_for_signal, wait_for_child,
    };
    enum { WAYS = sizeof ways / sizeof *ways };
    static struct doer doers[WAYS];

    for (int n = 0; n < WAYS; n++)
        start_doer(&doers[n], ways[n]);
    for (int n = 0; n < WAYS; n++)
        expect_waiting(doers[n].number);
}

/* ---- Who doesn't ------------------------------------------------------- */

static atomic_bool is_over;

static void compute(void)
{
    while (!atomic_load(&is_over))
        ;
}

Test(waiting, one_that_computes_does_not)
{
    struct doer doer;

    start_doer(&doer, compute);
    expect_not_waiting(doer.number);
    atomic_store(&is_over, true);
    pthread_join(doer.thread, NULL);
    cr_assert_not(tide_os_is_waiting(gettid(), UINT64_MAX));
}

/* pause is no call that programs wait for work in. */
static void wait_for_any_signal(void)
{
    pause();
}

Test(waiting, one_in_another_call_does_not)
{
    struct doer doer;

    start_doer(&doer, wait_for_any_signal);
    wait_for_state(doer.number, 'S');
    expect_not_waiting(doer.number);
}

static void do_nothing(void)
{
}

Test(waiting, one_that_does_not_exist_does_not)
{
    struct doer doer;

    start_doer(&doer, do_nothing);
    pthread_join(doer.thread, NULL);
    expect_not_waiting(doer.number);
    expect_not_waiting(0);
    expect_not_waiting(-1);
    expect_not_waiting(getppid()); /* another process's */
}

static struct doer forker;
static int child_pipe[2];

/* The child lives in this thread's memory, and this thread isn't back before it
 * ends. */
__attribute__((noinline)) static void be_in_vfork(void)
{
    static char byte;

    if (vfork() == 0) {
        syscall(SYS_read, child_pipe[0], &byte, 1);
        _exit(0);
    }
    sleep_long();
}

Test(waiting, one_in_vfork_does_not)
{
    TIDE_REQUIRE(pipe(child_pipe) == 0);
    start_doer(&forker, be_in_vfork);
    wait_for_state(forker.number, 'D');
    expect_not_waiting(forker.number);
    TIDE_REQUIRE(write(child_pipe[1], "", 1) == 1);
    expect_waiting(forker.number);
}

/* ---- Page faults ------------------------------------------------------- */

static char *missing; /* a page whose faults someone else resolves */

static void touch_missing(void)
{
    *(volatile char *)missing = 1;
}

/* The file that tells of faults, or -1 where that isn't allowed. */
static int watch_missing(size_t page)
{
    struct uffdio_api api = { .api = UFFD_API };
    struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
    int file = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

    missing = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TIDE_REQUIRE(missing != MAP_FAILED);
    range.range = (struct uffdio_range){ (uintptr_t)missing, page };
    if (file < 0 || ioctl(file, UFFDIO_API, &api) != 0 ||
        ioctl(file, UFFDIO_REGISTER, &range) != 0)
        return -1;
    return file;
}

Test(waiting, one_in_a_page_fault_does_not)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct uffdio_zeropage zero = { .mode = 0 };
    struct pollfd file = { .events = POLLIN };
    struct doer doer;

    file.fd = watch_missing(page);
    if (file.fd < 0)
        cr_skip_test("userfaultfd can't be used here");
    start_doer(&doer, touch_missing);
    cr_assert_eq(poll(&file, 1, -1), 1);
    while (state_of(doer.number) == 'R')
        usleep(1000);
    expect_not_waiting(doer.number);
    zero.range = (struct uffdio_range){ (uintptr_t)missing, page };
    cr_assert_eq(ioctl(file.fd, UFFDIO_ZEROPAGE, &zero), 0);
    pthread_join(doer.thread, NULL);
    cr_assert_eq(*missing, 1);
}

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

Test(waiting, one_that_waits_in_a_signal_handler_does_not)
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

Test(waiting, one_that_blocks_a_signal_may_be_in_its_handler)
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

Test(waiting, any_may_be_in_a_handler_that_leaves_its_signal_open)
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

Test(waiting, one_that_is_stopped_does_not_until_it_goes_on)
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
    start_doer(&computer, compute);
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

Test(waiting, another_that_has_its_number_in_an_outer_namespace_is_not_meant)
{
    struct outcome outcome = run_apart(enter_namespace);

    if (WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == CANT)
        cr_skip_test("there can be no PID namespace here, or no choice of numbers in it");
    assert_ended_well(outcome);
}

/* ---- What it leaves alone ---------------------------------------------- */

Test(waiting, errno_is_kept)
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

Test(waiting, a_thread_that_is_cancelled_does_not_end_in_it)
{
    struct doer doer;
    void *result;

    start_doer(&doer, ask_while_cancelled);
    pthread_join(doer.thread, &result);
    cr_assert_eq(result, PTHREAD_CANCELED);
    cr_assert(atomic_load(&is_past));
}

/* ---- Age --------------------------------------------------------------- */

Test(waiting, threads_start_between_now_and_later)
{
    uint64_t before = tide_os_ticks(), start;
    struct doer doer;

    cr_assert_leq(tide_os_thread_start(getpid()), before);
    while (tide_os_ticks() == before)
        usleep(1000);
    start_doer(&doer, sleep_long);
    start = tide_os_thread_start(doer.number);
    cr_assert_gt(start, before);
    cr_assert_leq(start, tide_os_ticks());
    cr_assert_eq(tide_os_thread_start(doer.number), start);
}

Test(waiting, a_threads_name_does_not_change_its_start)
{
    uint64_t start = tide_os_thread_start(gettid());

    prctl(PR_SET_NAME, "a) R 1 2 (3\n4 5");
    cr_assert_eq(tide_os_thread_start(gettid()), start);
    cr_assert_lt(start, UINT64_MAX);
}

Test(waiting, a_thread_that_does_not_exist_has_no_start)
{
    cr_assert_eq(tide_os_thread_start(0), UINT64_MAX);
    cr_assert_eq(tide_os_thread_start(getppid()), UINT64_MAX);
}

/* ---- Barrier ----------------------------------------------------------- */

static bool can_have_barriers(void)
{
    long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

    return commands > 0 && commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED;
}

static void have_barrier(void)
{
    tide_os_forget_barrier();
    TIDE_REQUIRE(tide_os_barrier() && tide_os_barrier());
}

Test(waiting, a_barrier_is_there_where_the_kernel_has_one)
{
    cr_assert_eq(tide_os_barrier(), can_have_barriers());
}

Test(waiting, a_fork_child_has_barriers_too)
{
    if (!tide_os_barrier())
        cr_skip_test("this kernel has no barriers");
    assert_ended_well(run_apart(have_barrier));
}

/* Each writes its word and then reads the other's.  Without the barrier both may
 * read what was before. */
enum { ROUNDS = 1000 };

static _Atomic int mine, theirs, round_of_peer, round_now;
static int seen_by_peer;

static void write_and_read(void)
{
    for (int round = 1; round <= ROUNDS; round++) {
        while (atomic_load(&round_now) != round)
            sched_yield();
        atomic_store_explicit(&theirs, round, memory_order_relaxed);
        atomic_signal_fence(memory_order_seq_cst);
        seen_by_peer = atomic_load_explicit(&mine, memory_order_relaxed);
        atomic_store(&round_of_peer, round);
    }
}

Test(waiting, a_barrier_orders_what_others_write_and_read)
{
    struct doer doer;
    int seen;

    if (!tide_os_barrier())
        cr_skip_test("this kernel has no barriers");
    start_doer(&doer, write_and_read);
    for (int round = 1; round <= ROUNDS; round++) {
        atomic_store(&round_now, round);
        atomic_store_explicit(&mine, round, memory_order_relaxed);
        tide_os_barrier();
        seen = atomic_load_explicit(&theirs, memory_order_relaxed);
        while (atomic_load(&round_of_peer) != round)
            sched_yield();
        cr_assert(seen == round || seen_by_peer == round, "round %d", round);
    }
    pthread_join(doer.thread, NULL);
}
