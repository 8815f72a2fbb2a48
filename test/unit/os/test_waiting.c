/* test_waiting.c - os/waiting.h: who is seen to wait, and who isn't; how old threads
 * are; barriers
 */
#include "os/waiting.h"

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
#include <sys/syscall.h>
#include <time.h>

#include "doers.h"

TestSuite(waiting, .timeout = 120);

/* ---- Who waits --------------------------------------------------------- */

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
