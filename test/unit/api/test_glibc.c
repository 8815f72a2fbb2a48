/* test_glibc.c - usable size, good size, ownership; glibc's control and
 * statistics */
#include <tidepool/malloc.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#include "../heap/heaps.h"
#include "config.h"
#include "os/barrier.h"
#include "os/map.h"

static const size_t sizes[] = {
    0, 1, 9, 100, TIDE_LOOKUP_MAX + 1, TIDE_POOLED_MAX, TIDE_POOLED_MAX + 1,
    TIDE_ARENA_BYTES / 2, TIDE_ARENA_BYTES + 1, 3 * TIDE_ARENA_BYTES,
};

enum { SIZES = sizeof sizes / sizeof *sizes };

TestSuite(glibc, .init = leave_maintenance_out);

/* ---- Asking ------------------------------------------------------------- */

Test(glibc, the_usable_size_holds_and_is_the_good_size)
{
    cr_assert_eq(tide_usable_size(NULL), 0);
    for (int n = 0; n < SIZES; n++) {
        void *block = allocate(sizes[n]);

        cr_assert_geq(tide_usable_size(block), sizes[n]);
        cr_assert_eq(tide_usable_size(block), tide_good_size(sizes[n]), "%zu bytes", sizes[n]);
        memset(block, 1, tide_usable_size(block));
        tide_free(block);
    }
    tide_check_all();
}

static void *block;

static void ask_for_size(void)
{
    if (tide_usable_size(block) > 0)
        _exit(1);
}

Test(glibc, misuse_is_reported_as_malloc_usable_sizes)
{
    block = (char *)allocate(100) + 16;
    assert_aborted(run_apart(ask_for_size),
                   "malloc_usable_size(%p): inside a block of 112 bytes, 16 bytes after its start",
                   block);
}

Test(glibc, owns_its_blocks_free_or_not)
{
    for (int n = 0; n < SIZES; n++) {
        char *owned = allocate(sizes[n]);

        cr_assert(tide_owns(owned));
        cr_assert(tide_owns(owned + tide_usable_size(owned) - 1));
        tide_free(owned);
        cr_assert(tide_owns(owned), "a free block of %zu bytes", sizes[n]);
    }
}

Test(glibc, owns_its_records)
{
    cr_assert(tide_owns(tide_arena_of(allocate(1))));
}

Test(glibc, owns_nothing_else)
{
    static int variable;
    int local;

    cr_assert_not(tide_owns(NULL));
    cr_assert_not(tide_owns(&variable));
    cr_assert_not(tide_owns(&local));
    cr_assert_not(tide_owns((void *)(uintptr_t)tide_malloc));
    cr_assert_not(tide_owns((void *)UINTPTR_MAX));
    cr_assert_not(tide_owns((void *)((uintptr_t)1 << TIDE_ADDRESS_BITS)));
}

static const size_t unmapped_bytes = (size_t)256 << 20; /* so much goes for good */

IN_NEW_THREAD(glibc, owns_its_address_space_until_that_goes_too, "TIDEPOOL_DECAY_MS=0")
{
    char *large;

    leave_maintenance_out();
    large = allocate(unmapped_bytes);
    tide_free(large);
    tide_malloc_trim(0);
    TIDE_REQUIRE(tide_owns(large) && tide_owns(large + unmapped_bytes - 1));
    tide_upkeep_look();
    TIDE_REQUIRE(!is_mapped(large) && !is_mapped(large + unmapped_bytes / 2));
    TIDE_REQUIRE(!tide_owns(large) && !tide_owns(large + unmapped_bytes / 2));
}

Test(glibc, the_version_is_the_packages)
{
    cr_assert_str_eq(tide_version(), TIDE_VERSION);
    cr_assert_eq(tide_version(), tide_version());
}

/* ---- malloc_trim -------------------------------------------------------- */

/* Some of an arena's, some of the store's. */
static void use_slots(void)
{
    static void *blocks[400];

    for (int n = 0; n < 400; n++) {
        size_t bytes = n % 4 == 0 ? TIDE_SLOT_BYTES : TIDE_POOLED_MAX;

        memset(blocks[n] = allocate(bytes), 1, bytes);
    }
    free_all(blocks, 400);
}

IN_NEW_THREAD(glibc, trim_returns_what_is_free_and_says_so, NULL)
{
    size_t before;

    use_slots(); /* the first arena is whole from now on */
    tide_malloc_trim(0);
    before = tide_mallinfo2().arena;
    use_slots();
    errno = ERANGE;
    TIDE_REQUIRE(tide_mallinfo2().keepcost > 0);
    TIDE_REQUIRE(tide_malloc_trim(0) == 1);
    TIDE_REQUIRE(tide_mallinfo2().keepcost == 0 && tide_mallinfo2().arena <= before);
    TIDE_REQUIRE(tide_malloc_trim(0) == 0);
    TIDE_REQUIRE(errno == ERANGE);
}

IN_NEW_THREAD(glibc, trim_keeps_the_pad, NULL)
{
    size_t keepcost;

    leave_maintenance_out();
    tide_free(memset(allocate(4 * TIDE_SLOT_BYTES), 1, 4 * TIDE_SLOT_BYTES));
    tide_free(allocate(TIDE_ARENA_BYTES + 1));
    keepcost = tide_mallinfo2().keepcost;
    TIDE_REQUIRE(keepcost >= TIDE_ARENA_BYTES + 4 * TIDE_SLOT_BYTES);
    TIDE_REQUIRE(tide_malloc_trim(PTRDIFF_MAX) == 0);
    TIDE_REQUIRE(tide_mallinfo2().keepcost >= keepcost);
    TIDE_REQUIRE(tide_malloc_trim(keepcost - 1) == 1);
    TIDE_REQUIRE(tide_mallinfo2().keepcost < keepcost);
}

enum { LENT = 200, LENT_BYTES = 112 };

static void *lent[LENT];

static void free_lent(void *unused)
{
    (void)unused;
    free_all(lent, LENT);
    TIDE_REQUIRE(stored_of(LENT_BYTES) > 0);
}

/* The blocks are this thread's own: some come back when the other thread ends,
 * the rest are in the depot. */
IN_NEW_THREAD(glibc, trim_empties_the_depot, NULL)
{
    for (int n = 0; n < LENT; n++)
        lent[n] = allocate(LENT_BYTES);
    run_thread(free_lent, NULL);
    tide_malloc_trim(0);
    TIDE_REQUIRE(stored_of(LENT_BYTES) == 0 && pools_of_size(LENT_BYTES) == 0);
}

/* The blocks are another thread's, which is an orphan then. */
static void allocate_lent(void *unused)
{
    (void)unused;
    for (int n = 0; n < LENT; n++)
        lent[n] = allocate(LENT_BYTES);
}

IN_NEW_THREAD(glibc, trim_returns_an_orphans_blocks_from_the_depot, NULL)
{
    own_heap();
    run_thread(allocate_lent, NULL);
    free_lent(NULL);
    TIDE_REQUIRE(pools_of_size(LENT_BYTES) > 0);
    tide_malloc_trim(0);
    TIDE_REQUIRE(stored_of(LENT_BYTES) == 0 && pools_of_size(LENT_BYTES) == 0);
}

IN_NEW_THREAD(glibc, trim_returns_the_common_heaps_blocks, NULL)
{
    make_many_heaps();
    allocate_lent(NULL);
    TIDE_REQUIRE(is_of_common_heap(lent[0]));
    for (int n = 0; n < LENT; n++)
        tide_free(lent[n]);
    tide_malloc_trim(0);
    TIDE_REQUIRE(pools_of_size(LENT_BYTES) == 0 && is_bare(common_heap()));
}

Test(glibc, trim_leaves_blocks_alone)
{
    void *blocks[SIZES];

    for (int n = 0; n < SIZES; n++)
        memset(blocks[n] = allocate(sizes[n]), n + 1, sizes[n]);
    for (int round = 0; round < 3; round++)
        tide_malloc_trim(0);
    for (int n = 0; n < SIZES; n++) {
        for (size_t at = 0; at < sizes[n]; at++)
            cr_assert(((char *)blocks[n])[at] == n + 1);
        tide_free(blocks[n]);
    }
    tide_check_all();
}

/* ---- mallinfo ----------------------------------------------------------- */

static void check_sums(struct tide_mallinfo2 info)
{
    size_t slots = info.arena / TIDE_SLOT_BYTES;

    TIDE_REQUIRE(info.uordblks + info.fordblks == info.arena && info.uordblks <= info.arena);
    TIDE_REQUIRE(info.arena % (TIDE_ARENA_BYTES / 2) == 0);
    TIDE_REQUIRE(info.ordblks <= slots * MOST_BLOCKS);
    TIDE_REQUIRE(info.smblks + info.usmblks + info.fsmblks == 0);
}

Test(glibc, mallinfo2_adds_up_and_follows_each_block)
{
    for (int n = 0; n < SIZES; n++) {
        struct tide_mallinfo2 before = tide_mallinfo2(), with, after;
        void *counted = allocate(sizes[n]);
        bool is_large = sizes[n] > TIDE_POOLED_MAX;
        size_t bytes = tide_usable_size(counted);

        with = tide_mallinfo2();
        cr_assert_eq(with.uordblks, before.uordblks + !is_large * bytes, "%zu bytes", sizes[n]);
        cr_assert_eq(with.hblks, before.hblks + is_large);
        cr_assert_eq(with.hblkhd, before.hblkhd + is_large * bytes);
        check_sums(with);
        tide_free(counted);
        after = tide_mallinfo2();
        cr_assert_eq(after.uordblks, before.uordblks);
        cr_assert_eq(after.hblkhd, before.hblkhd);
        check_sums(after);
    }
}

enum { BUSY = 3, ASKED = 300 };

static atomic_bool is_enough;

/* Pools change their class, and arenas and large blocks come and go. */
static void be_busy(void *unused)
{
    void *own[100];

    (void)unused;
    for (size_t round = 0; !atomic_load(&is_enough); round++) {
        for (size_t n = 0; n < 100; n++)
            own[n] = allocate((round + n) % 40 * ((size_t)1 << (round + n) % 17));
        free_all(own, 100);
        if (round % 16 == 0)
            tide_thread_idle();
    }
}

IN_NEW_THREAD(glibc, mallinfo2_adds_up_while_other_threads_allocate, NULL)
{
    struct peer peers[BUSY];

    for (int n = 0; n < BUSY; n++) {
        peer_start(&peers[n]);
        peer_ask(&peers[n], be_busy, NULL);
    }
    for (int n = 0; n < ASKED; n++)
        check_sums(tide_mallinfo2());
    atomic_store(&is_enough, true);
    for (int n = 0; n < BUSY; n++) {
        peer_wait(&peers[n]);
        peer_end(&peers[n]);
    }
}

Test(glibc, mallinfo_is_mallinfo2_in_ints)
{
    struct tide_mallinfo2 wide = tide_mallinfo2();
    struct tide_mallinfo info = tide_mallinfo();

    cr_assert_eq((size_t)info.arena, wide.arena);
    cr_assert_eq((size_t)info.ordblks, wide.ordblks);
    cr_assert_eq((size_t)info.uordblks, wide.uordblks);
    cr_assert_eq((size_t)info.fordblks, wide.fordblks);
    cr_assert_eq((size_t)info.hblkhd, wide.hblkhd);
}

Test(glibc, what_does_not_fit_an_int_is_its_largest)
{
    block = allocate((size_t)INT_MAX + 1); /* never touched */
    cr_assert_eq(tide_mallinfo().hblkhd, INT_MAX);
    cr_assert_gt(tide_mallinfo2().hblkhd, INT_MAX);
    tide_free(block);
}

/* ---- Statistics as text ------------------------------------------------- */

static char text[TEXT_BYTES];

Test(glibc, malloc_stats_prints_to_stderr)
{
    static const char *const parts[] = {
        "statistics (" TIDE_GEOMETRY_NAME " geometry", "\nlarge blocks ", "\nfree ranges ",
        "\narenas ", "\nhuge pages ", "\nallocated ", "\nheaps ", "\nlock arena ",
        "\nlock store ",
    };

    allocate(TIDE_POOLED_MAX);
    capture(tide_malloc_stats, text);
    for (size_t n = 0; n < sizeof parts / sizeof *parts; n++)
        cr_assert(strstr(text, parts[n]), "no \"%s\" in:\n%s", parts[n], text);
    cr_assert_eq(text[strlen(text) - 1], '\n');
}

PROGRAM(stats_at_exit)
{
    allocate(100);
}

Test(glibc, stats_come_at_exit_when_asked_for)
{
    struct outcome with = run_program("stats_at_exit", "TIDEPOOL_STATS=1", NULL);
    struct outcome without = run_program("stats_at_exit", "TIDEPOOL_STATS=0", NULL);

    assert_ended_well(with);
    cr_assert(strstr(with.text, " statistics ("), "%s", with.text);
    assert_ended_well(without);
    cr_assert_str_empty(without.text);
}

static size_t count(const char *part)
{
    size_t found = 0;

    for (const char *at = text; (at = strstr(at, part)); at++)
        found++;
    return found;
}

Test(glibc, malloc_info_writes_xml)
{
    FILE *stream = fmemopen(text, sizeof text, "w");
    size_t arenas, blocks, bytes, dirty, clean;

    cr_assert(stream);
    allocate(100);
    allocate(TIDE_ARENA_BYTES);
    cr_assert_eq(tide_malloc_info(0, stream), 0);
    cr_assert_eq(fclose(stream), 0);
    cr_assert_eq(strncmp(text, "<malloc version=\"tidepool-", 26), 0);
    cr_assert_eq(strcmp(text + strlen(text) - 10, "</malloc>\n"), 0);
    cr_assert_eq(count("<"), count(">"));
    cr_assert_eq(count("\"") % 2, 0);
    cr_assert_eq(count("<sizes>") + count("</sizes>"), 2);
    cr_assert_geq(count("<size block=\"112\""), 1);
    cr_assert_eq(sscanf(strstr(text, "<arenas"), "<arenas count=\"%zu\"", &arenas), 1);
    cr_assert_geq(arenas, 1);
    cr_assert_eq(sscanf(strstr(text, "<large"), "<large count=\"%zu\" bytes=\"%zu\"/>", &blocks,
                        &bytes),
                 2);
    cr_assert(blocks >= 1 && bytes >= TIDE_ARENA_BYTES);
    cr_assert_eq(sscanf(strstr(text, "<free"), "<free dirty=\"%zu\" purged=\"%zu\"/>", &dirty,
                        &clean),
                 2);
    cr_assert_geq(count("<lock name=\"store\""), 1);
    cr_assert(strstr(text, "\n<huge_pages transparent=\"0\" reserve_bytes=\"0\" "));
}

Test(glibc, malloc_info_refuses_options_and_no_stream)
{
    errno = 0;
    cr_assert_eq(tide_malloc_info(1, stderr), -1);
    cr_assert_eq(errno, EINVAL);
    errno = 0;
    cr_assert_eq(tide_malloc_info(0, NULL), -1);
    cr_assert_eq(errno, EINVAL);
}

Test(glibc, malloc_info_tells_that_writing_failed)
{
    FILE *full = fopen("/dev/full", "w");

    cr_assert(full);
    setbuf(full, NULL);
    errno = 0;
    cr_assert_eq(tide_malloc_info(0, full), -1);
    cr_assert_eq(errno, ENOSPC);
    fclose(full);
}
