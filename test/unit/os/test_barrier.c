/* test_barrier.c - os/barrier.h: a barrier is there where the kernel has one, and orders
 * what others write and read
 */
#include "os/barrier.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/membarrier.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "../unit.h"

TestSuite(barrier, .timeout = 2 * WATCHDOG_SECONDS);

static bool can_have_barriers(void)
{
    long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

    return commands > 0 && commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED;
}

Test(barrier, it_is_there_where_the_kernel_has_one)
{
    cr_assert(tide_os_has_barrier());
    cr_assert_eq(tide_os_barrier(), can_have_barriers());
    cr_assert_eq(tide_os_has_barrier(), can_have_barriers());
}

static void have_barrier(void)
{
    TIDE_REQUIRE(tide_os_barrier() && tide_os_barrier() && tide_os_has_barrier());
}

Test(barrier, a_fork_child_has_it_too)
{
    if (!tide_os_barrier())
        cr_skip_test("this kernel has no barriers");
    assert_ended_well(run_apart(have_barrier));
}

PROGRAM(executed)
{
    TIDE_REQUIRE(tide_os_barrier() == can_have_barriers());
}

Test(barrier, a_program_that_is_executed_has_it_too)
{
    tide_os_barrier();
    assert_ended_well(run_program("executed", NULL, NULL));
}

/* ---- Where it is refused --------------------------------------------------- */

enum { CANT = 77 };

/* From now on the call fails, as in a sandbox. */
static void refuse(void)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = { sizeof steps / sizeof *steps, steps };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(CANT);
}

static void be_refused(void)
{
    refuse();
    errno = ERANGE;
    TIDE_REQUIRE(!tide_os_barrier() && !tide_os_has_barrier() && errno == ERANGE);
    TIDE_REQUIRE(!tide_os_barrier() && errno == ERANGE);
}

static void be_refused_later(void)
{
    if (!tide_os_barrier())
        _exit(CANT);
    be_refused();
}

static void check_refused(void (*function)(void))
{
    struct outcome outcome = run_apart(function);

    if (WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == CANT)
        cr_skip_test("calls can't be refused here");
    assert_ended_well(outcome);
}

Test(barrier, none_is_passed_where_it_is_refused)
{
    check_refused(be_refused);
}

Test(barrier, none_is_passed_once_it_is_refused)
{
    check_refused(be_refused_later);
}

/* ---- Order ------------------------------------------------------------------ */

/* Each writes its word and then reads the other's.  Without the barrier both may
 * read what was before. */
enum { ROUNDS = 20000 };

static _Atomic int mine, theirs, round_of_peer, round_now;
static int seen_by_peer;

static void write_and_read(void *unused)
{
    (void)unused;
    for (int round = 1; round <= ROUNDS; round++) {
        while (atomic_load(&round_now) != round)
            ;
        atomic_store_explicit(&theirs, round, memory_order_relaxed);
        atomic_signal_fence(memory_order_seq_cst);
        seen_by_peer = atomic_load_explicit(&mine, memory_order_relaxed);
        atomic_store(&round_of_peer, round);
    }
}

Test(barrier, it_orders_what_others_write_and_read)
{
    struct peer peer;
    int seen;

    if (!tide_os_barrier())
        cr_skip_test("this kernel has no barriers");
    peer_start(&peer);
    peer_ask(&peer, write_and_read, NULL);
    for (int round = 1; round <= ROUNDS; round++) {
        atomic_store(&round_now, round);
        atomic_store_explicit(&mine, round, memory_order_relaxed);
        tide_os_barrier();
        seen = atomic_load_explicit(&theirs, memory_order_relaxed);
        while (atomic_load(&round_of_peer) != round)
            ;
        cr_assert(seen == round || seen_by_peer == round, "round %d", round);
    }
    peer_wait(&peer);
    peer_end(&peer);
}

/* ---- What it leaves alone --------------------------------------------------- */

Test(barrier, errno_is_kept)
{
    errno = ERANGE;
    tide_os_barrier();
    cr_assert_eq(errno, ERANGE);
}

static atomic_bool is_past;

/* A request that is pending is acted upon at the next cancellation point. */
static void *ask_while_cancelled(void *unused)
{
    pthread_cancel(pthread_self());
    tide_os_barrier();
    atomic_store(&is_past, true);
    pthread_testcancel();
    return unused;
}

Test(barrier, a_thread_that_is_cancelled_does_not_end_in_it)
{
    pthread_t thread;
    void *result;

    TIDE_REQUIRE(pthread_create(&thread, NULL, ask_while_cancelled, NULL) == 0);
    pthread_join(thread, &result);
    cr_assert_eq(result, PTHREAD_CANCELED);
    cr_assert(atomic_load(&is_past));
}
