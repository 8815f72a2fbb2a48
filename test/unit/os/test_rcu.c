/* test_rcu.c - os/rcu.h: loaded when first needed, waited for by who synchronizes,
 * and in order in the child of a fork
 *
 * Each scenario is a process of its own, in which nobody has read yet.
 */
#include "os/rcu.h"

#include <dlfcn.h>
#include <errno.h>

#include "../unit.h"
#include "base/atomic.h"

static bool is_loaded(void)
{
    char line[512];
    bool is_found = false;
    FILE *maps = fopen("/proc/self/maps", "r");

    TIDE_REQUIRE(maps);
    while (fgets(line, sizeof line, maps))
        is_found = is_found || strstr(line, "/liburcu-bp.so");
    fclose(maps);
    return is_found;
}

#define SCENARIO(name, setting)                                                               \
    Test(rcu, name)                                                                           \
    {                                                                                         \
        struct outcome outcome = run_program(#name, setting, NULL);                           \
                                                                                              \
        assert_ended_well(outcome);                                                           \
        cr_assert_str_eq(outcome.text, "");                                                   \
    }                                                                                         \
    PROGRAM(name)

/* ---- Loading ------------------------------------------------------------ */

SCENARIO(it_is_loaded_when_first_needed, NULL)
{
    TIDE_REQUIRE(!is_loaded() && !tide_rcu_has_readers());
    TIDE_REQUIRE(!is_loaded());
    errno = EDOM;
    TIDE_REQUIRE(tide_rcu_enter() && errno == EDOM);
    TIDE_REQUIRE(is_loaded() && tide_rcu_has_readers());
    TIDE_REQUIRE(tide_rcu_enter());
    tide_rcu_leave();
    TIDE_REQUIRE(tide_rcu_has_readers());
    tide_rcu_leave();
    TIDE_REQUIRE(!tide_rcu_has_readers() && tide_rcu_synchronize());
}

SCENARIO(it_is_not_loaded_when_told_so, "TIDEPOOL_RCU=off")
{
    TIDE_REQUIRE(!tide_rcu_enter() && !tide_rcu_has_readers() && !is_loaded());
    TIDE_REQUIRE(tide_rcu_synchronize());
}

SCENARIO(it_is_not_loaded_at_the_end, NULL)
{
    tide_rcu_end();
    TIDE_REQUIRE(!tide_rcu_enter() && !is_loaded());
}

SCENARIO(once_loaded_it_stays_at_the_end, NULL)
{
    TIDE_REQUIRE(tide_rcu_enter());
    tide_rcu_leave();
    tide_rcu_end();
    TIDE_REQUIRE(tide_rcu_enter());
    tide_rcu_leave();
}

PROGRAM(without_files)
{
    struct rlimit none = { 0, 0 };

    TIDE_REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    for (int n = 0; n < 3; n++)
        TIDE_REQUIRE(!tide_rcu_enter() && !tide_rcu_has_readers());
}

Test(rcu, that_it_can_not_be_loaded_is_said_once)
{
    struct outcome outcome = run_program("without_files", NULL, NULL);
    const char *text = outcome.text;

    assert_ended_well(outcome);
    cr_assert(strncmp(text, "tidepool: ", 10) == 0 && strstr(text, TIDE_LIBURCU) &&
                  strstr(text, "Too many open files") && strstr(text, "liburcu8") &&
                  strstr(text, "TIDEPOOL_RCU=off"),
              "%s", text);
    cr_assert_eq(strchr(text, '\n'), text + strlen(text) - 1, "more than one line: %s", text);
}

/* ---- Waiting ------------------------------------------------------------ */

static struct peer reader, waiter;
static _Atomic bool has_left, has_waited;

static void enter(void *unused)
{
    (void)unused;
    TIDE_REQUIRE(tide_rcu_enter());
}

static void leave(void *unused)
{
    (void)unused;
    atomic_store(&has_left, true);
    tide_rcu_leave();
}

static void synchronize(void *unused)
{
    (void)unused;
    TIDE_REQUIRE(tide_rcu_synchronize());
    TIDE_REQUIRE(atomic_load(&has_left));
    atomic_store(&has_waited, true);
}

static void hold_and_wait(void)
{
    peer_start(&reader);
    peer_start(&waiter);
    peer_do(&reader, enter, NULL);
    peer_ask(&waiter, synchronize, NULL);
}

static void let_go(void)
{
    peer_do(&reader, leave, NULL);
    peer_wait(&waiter);
    peer_end(&reader);
    peer_end(&waiter);
}

SCENARIO(a_reader_is_waited_for, NULL)
{
    hold_and_wait();
    usleep(20000); /* it would be over by now if it didn't wait */
    TIDE_REQUIRE(tide_rcu_has_readers() && !atomic_load(&has_waited));
    let_go();
    TIDE_REQUIRE(!tide_rcu_has_readers());
}

SCENARIO(who_comes_later_is_not_waited_for, NULL)
{
    static struct peer next;

    atomic_store(&has_left, true); /* one or the other reads all the time */
    peer_start(&reader);
    peer_start(&next);
    peer_start(&waiter);
    peer_do(&reader, enter, NULL);
    peer_ask(&waiter, synchronize, NULL);
    while (!atomic_load(&has_waited)) {
        peer_do(&next, enter, NULL);
        peer_do(&reader, leave, NULL);
        peer_do(&reader, enter, NULL);
        peer_do(&next, leave, NULL);
    }
    TIDE_REQUIRE(tide_rcu_has_readers());
    peer_do(&reader, leave, NULL);
}

/* ---- Fork --------------------------------------------------------------- */

static bool can_read_in_child;

static void read_and_wait(void)
{
    bool can_read = tide_rcu_enter();

    TIDE_REQUIRE(can_read == can_read_in_child);
    TIDE_REQUIRE(tide_rcu_has_readers() == can_read);
    if (can_read)
        tide_rcu_leave();
    TIDE_REQUIRE(!tide_rcu_has_readers() && tide_rcu_synchronize());
}

static void check_child(bool can_read)
{
    can_read_in_child = can_read;
    assert_ended_well(run_apart(read_and_wait));
}

SCENARIO(a_child_may_load_it, NULL)
{
    check_child(true);
    TIDE_REQUIRE(!is_loaded());
    check_child(true);
}

SCENARIO(a_child_has_its_parents, NULL)
{
    TIDE_REQUIRE(tide_rcu_enter());
    tide_rcu_leave();
    check_child(true);
    TIDE_REQUIRE(tide_rcu_enter());
    tide_rcu_leave();
    TIDE_REQUIRE(tide_rcu_synchronize());
}

SCENARIO(a_child_waits_for_none_of_its_parents_readers, NULL)
{
    peer_start(&reader);
    peer_do(&reader, enter, NULL);
    check_child(true);
    TIDE_REQUIRE(tide_rcu_has_readers());
    peer_do(&reader, leave, NULL);
    peer_end(&reader);
    check_child(true);
}

static void try_to_read(void)
{
    TIDE_REQUIRE(tide_rcu_enter());
}

/* liburcu's locks are taken then, so the child goes without. */
SCENARIO(a_fork_does_not_wait_for_a_grace_period, NULL)
{
    hold_and_wait();
    while (run_apart(try_to_read).status == 0) /* the grace period hasn't begun */
        ;
    TIDE_REQUIRE(!atomic_load(&has_waited));
    check_child(false);
    TIDE_REQUIRE(!atomic_load(&has_waited));
    let_go();
    check_child(true);
}

static void leave_in_child(void)
{
    TIDE_REQUIRE(tide_rcu_has_readers());
    TIDE_REQUIRE(!tide_rcu_synchronize());
    tide_rcu_leave();
    TIDE_REQUIRE(!tide_rcu_has_readers() && tide_rcu_synchronize());
}

SCENARIO(a_reader_may_fork, NULL)
{
    TIDE_REQUIRE(tide_rcu_enter());
    assert_ended_well(run_apart(leave_in_child));
    TIDE_REQUIRE(tide_rcu_has_readers());
    tide_rcu_leave();
    TIDE_REQUIRE(!tide_rcu_has_readers() && tide_rcu_synchronize());
}

static void (*find(const char *name))(void)
{
    void (*function)(void);

    *(void **)&function = dlsym(dlopen(TIDE_LIBURCU, RTLD_NOW), name);
    TIDE_REQUIRE(function);
    return function;
}

/* As a program does that uses liburcu itself. */
SCENARIO(locks_that_the_program_holds_are_left_to_it, NULL)
{
    TIDE_REQUIRE(tide_rcu_enter());
    tide_rcu_leave();
    check_child(true);
    TIDE_REQUIRE(pthread_atfork(find("urcu_bp_before_fork"), find("urcu_bp_after_fork_parent"),
                                find("urcu_bp_after_fork_child")) == 0);
    check_child(false);
    TIDE_REQUIRE(tide_rcu_enter());
    tide_rcu_leave();
    TIDE_REQUIRE(tide_rcu_synchronize());
}
