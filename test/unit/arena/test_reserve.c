/* test_reserve.c - arena/reserve.h: TIDEPOOL_HUGETLB
 *
 * The programs need huge pages in the system's pool; root can add some for as
 * long as a test runs, else they are skipped.
 */
#include "arena/reserve.h"

#include <sys/file.h>

#include "../os/smaps.h"
#include "arenas.h"

#define SETTING "/proc/sys/vm/nr_hugepages"

/* ---- The system's pool -------------------------------------------------- */

static int setting = -1; /* locked: one such test at a time */
static size_t pages_before;

static void lock_pages(int access)
{
    setting = open(SETTING, access | O_CLOEXEC);
    if (setting >= 0)
        flock(setting, LOCK_EX);
}

static bool set_pages(size_t pages)
{
    char text[30];
    int length = snprintf(text, sizeof text, "%zu", pages);

    return pwrite(setting, text, (size_t)length, 0) == length &&
           tide_os_huge_page_pool().pages == pages;
}

static void restore_pages(void)
{
    set_pages(pages_before);
    close(setting);
}

/* Makes so many available, but for those that others use.  False when it can't. */
static bool add_pages(size_t count)
{
    struct tide_huge_page_pool pool;

    lock_pages(O_RDWR);
    if (setting < 0)
        return false;
    pool = tide_os_huge_page_pool();
    pages_before = pool.pages;
    if (set_pages(pool.pages - pool.available + count))
        return true;
    restore_pages();
    return false;
}

/* A program with 8 MiB of huge pages set aside, of a pool that has no more. */
#define RESERVE_SCENARIO(name)                                                               \
    Test(reserve, name)                                                                       \
    {                                                                                         \
        assert_ended_well(run_with_pages(#name, 4));                                          \
    }                                                                                         \
    PROGRAM(name)

static struct outcome run_with_pages(const char *name, size_t pages)
{
    struct outcome outcome;

    if (!add_pages(pages))
        cr_skip_test("no huge pages can be had: " SETTING " can't be set");
    outcome = run_program(name, "TIDEPOOL_HUGETLB=8M", "TIDEPOOL_SHARDS=1");
    restore_pages();
    return outcome;
}

enum { RESERVED = ((size_t)8 << 20) / TIDE_ARENA_BYTES };

/* ---- Arenas from it ----------------------------------------------------- */

static void touch(struct pool *run)
{
    memset(tide_pool_start(run), 1, tide_pool_bytes(run));
}

RESERVE_SCENARIO(arenas_come_from_it_first)
{
    struct tide_reserve_totals totals;

    while (created() <= RESERVED)
        touch(take(&filler, 1));
    totals = tide_reserve_totals();
    TIDE_REQUIRE(totals.bytes == RESERVED * TIDE_ARENA_BYTES && totals.arenas == RESERVED);
    TIDE_REQUIRE(totals.arenas_in_use == RESERVED);
    for (size_t n = 0; n < RESERVED; n++) {
        const char *arena = tide_reserve_start + n * TIDE_ARENA_BYTES;

        TIDE_REQUIRE(is_aligned(arena, TIDE_ARENA_BYTES) && has_flag(arena, "ht"));
        TIDE_REQUIRE(is_there((const struct arena *)arena));
    }
    TIDE_REQUIRE(!tide_reserve_has(filler.arena) && !has_flag(filler.arena, "ht"));
    tide_arena_check();
}

RESERVE_SCENARIO(its_slots_are_never_purged)
{
    struct pool *run = take(&filler, 1);

    TIDE_REQUIRE(tide_reserve_has(tide_arena_of(run)));
    touch(run);
    tide_arena_put_run(run);
    TIDE_REQUIRE(tide_arena_returnable() == 0);
    decay();
    decay();
    tide_arena_trim(0);
    TIDE_REQUIRE(is_there(tide_arena_of(run)) && *tide_pool_start(run) == 1);
    TIDE_REQUIRE(decay() == 0);
    tide_arena_check();
}

/* Only pages that were never written are zero. */
RESERVE_SCENARIO(an_arena_comes_back_and_tells_what_is_zero)
{
    struct pool *run = fill();
    struct arena *arena = tide_arena_of(run);
    size_t in_use = tide_reserve_totals().arenas_in_use;

    TIDE_REQUIRE(tide_reserve_has(arena));
    touch(run);
    tide_arena_put_run(run);
    tide_arena_leave(&filler);
    tide_arena_trim(0);
    TIDE_REQUIRE(!is_there(arena) && tide_reserve_totals().arenas_in_use == in_use - 1);
    TIDE_REQUIRE(take_new(&filler) == run && tide_reserve_totals().arenas_in_use == in_use);
    TIDE_REQUIRE(!run->is_zero && *tide_pool_start(run) == 1);
    run = take(&filler, 1);
    TIDE_REQUIRE(tide_arena_of(run) == arena);
    TIDE_REQUIRE(run->is_zero && is_zero(tide_pool_start(run), tide_pool_bytes(run)));
    tide_arena_check();
}

/* ---- Too few pages ------------------------------------------------------ */

PROGRAM(refused)
{
    TIDE_REQUIRE(!tide_reserve_has(tide_arena_of(take(&filler, 1))));
    TIDE_REQUIRE(tide_reserve_totals().bytes == 0);
}

Test(reserve, what_is_missing_is_told_and_it_goes_on)
{
    size_t wanted = ((size_t)1 << 40) / TIDE_HUGE_PAGE_BYTES;
    struct tide_huge_page_pool pool;
    struct outcome outcome;
    char expected[400];

    lock_pages(O_RDONLY);
    pool = tide_os_huge_page_pool();
    outcome = run_program("refused", "TIDEPOOL_HUGETLB=1T", NULL);
    snprintf(expected, sizeof expected,
             "tidepool: TIDEPOOL_HUGETLB=1099511627776 takes %zu huge pages of 2 MiB and the system "
             "has %zu to give: %zu are missing (sysctl vm.nr_hugepages=%zu; as many again for each "
             "child that it forks); going on without\n",
             wanted, pool.available, wanted - pool.available,
             pool.pages + wanted - pool.available);
    assert_ended_well(outcome);
    cr_assert_str_eq(outcome.text, expected);
}

/* ---- Fork --------------------------------------------------------------- */

static const char fork_warning[] = "tidepool: fork: ";

/* The status of a child that writes to every run that was taken. */
static int fork_and_write(struct pool *run)
{
    int status;
    pid_t child = fork();

    TIDE_REQUIRE(child >= 0);
    if (child == 0) {
        touch(run);
        touch(take(&filler, 1));
        tide_arena_check();
        _exit(0);
    }
    TIDE_REQUIRE(waitpid(child, &status, 0) == child);
    return status;
}

PROGRAM(forks)
{
    struct pool *run = take(&filler, 1);

    TIDE_REQUIRE(tide_reserve_has(tide_arena_of(run)));
    touch(run);
    TIDE_REQUIRE(fork_and_write(run) == 0);
    touch(run);
    tide_arena_check();
}

Test(reserve, a_child_has_pages_of_its_own_when_the_pool_has_more)
{
    struct outcome outcome = run_with_pages("forks", 8);

    assert_ended_well(outcome);
    cr_assert_str_eq(outcome.text, "");
}

/* The child needs all but one arena's pages of those that are left: it makes no
 * arena from the reserve without them. */
PROGRAM(forks_for_more)
{
    struct pool *run = take(&filler, 1);
    int status;
    pid_t child;

    touch(run);
    child = fork();
    if (child == 0) {
        touch(run);
        while (created() <= RESERVED + 1)
            touch(take(&filler, 1));
        _exit(0);
    }
    TIDE_REQUIRE(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

Test(reserve, a_child_goes_on_with_ordinary_arenas)
{
    struct outcome outcome = run_with_pages("forks_for_more", 6);

    assert_ended_well(outcome);
    cr_assert_str_eq(outcome.text, "");
}

PROGRAM(forks_twice_without_more)
{
    struct pool *run = take(&filler, 1);

    touch(run);
    for (int n = 0; n < 2; n++) {
        pid_t child = fork();

        TIDE_REQUIRE(child >= 0);
        if (child == 0)
            _exit(0); /* if the kernel hasn't killed it before */
        waitpid(child, NULL, 0);
    }
    touch(run); /* the parent's pages are its own again */
    tide_arena_check();
}

Test(reserve, a_fork_warns_once_when_the_pool_has_too_few)
{
    struct outcome outcome = run_with_pages("forks_twice_without_more", 4);
    char *warning;

    assert_ended_well(outcome);
    warning = strstr(outcome.text, fork_warning);
    cr_assert(warning && strstr(warning, "SIGBUS") && strstr(warning, "vm.nr_hugepages="),
              "%s", outcome.text);
    cr_assert_null(strstr(warning + 1, fork_warning));
}
