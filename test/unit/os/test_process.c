/* test_process.c - os/process.h: a copy of the process is recognised, and no other */
#include "os/process.h"

#include <signal.h>
#include <sys/syscall.h>

#include "../copies.h"

TestSuite(process, .timeout = 2 * WATCHDOG_SECONDS);

Test(process, the_first_process_is_no_copy)
{
    cr_assert_not(tide_os_process_is_copy());
    cr_assert_not(tide_os_process_is_copy());
}

static void expect_copy(void)
{
    TIDE_REQUIRE(tide_os_process_is_copy() && tide_os_process_is_copy());
    tide_os_process_settle();
    TIDE_REQUIRE(!tide_os_process_is_copy());
}

Test(process, a_copy_is_one_until_it_was_seen_to)
{
    cr_assert_eq(run_copy(expect_copy), 0);
    cr_assert_not(tide_os_process_is_copy(), "its parent isn't");
}

static void copy_again(void)
{
    expect_copy();
    TIDE_REQUIRE(run_copy(expect_copy) == 0);
    TIDE_REQUIRE(!tide_os_process_is_copy());
}

Test(process, so_is_a_copys_copy)
{
    cr_assert_eq(run_copy(copy_again), 0);
}

static void expect_none(void)
{
    TIDE_REQUIRE(!tide_os_process_is_copy());
}

Test(process, a_fork_has_seen_to_its_child)
{
    assert_ended_well(run_apart(expect_none));
}

/* The child lives in this thread's memory, and this thread isn't back before it
 * ends. */
__attribute__((noinline)) static bool is_copy_in_vfork(void)
{
    static volatile bool is_copy = true;
    pid_t child = vfork();

    if (child == 0) {
        is_copy = tide_os_process_is_copy();
        _exit(0);
    }
    TIDE_REQUIRE(child > 0 && waitpid(child, NULL, 0) == child);
    return is_copy;
}

Test(process, the_child_of_a_vfork_is_none)
{
    cr_assert_not(is_copy_in_vfork());
    cr_assert_not(tide_os_process_is_copy());
}

static void ask(void *is_copy)
{
    *(bool *)is_copy = tide_os_process_is_copy();
}

Test(process, any_thread_may_ask)
{
    bool is_copy = true;

    run_thread(ask, &is_copy);
    cr_assert_not(is_copy);
}

static void ask_in_thread(void)
{
    bool is_copy = false;

    ask(&is_copy);
    TIDE_REQUIRE(is_copy);
    tide_os_process_settle();
    run_thread(ask, &is_copy);
    TIDE_REQUIRE(!is_copy);
}

Test(process, what_one_thread_has_settled_is_so_for_all)
{
    cr_assert_eq(run_copy(ask_in_thread), 0);
}
