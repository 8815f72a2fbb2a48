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

/* ---- tide_purge and tide_thread_idle ------------------------------------ */

/* A size that fills pages in each geometry. */
enum { PURGED = 40, PAGED = 1024, THIN_POOLS = 20 };

static void *purged[PURGED], *thin[THIN_POOLS][MOST_BLOCKS];

static size_t rss(void)
{
    char line[100];
    size_t kib = 0;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");

    TIDE_REQUIRE(file);
    while (fgets(line, sizeof line, file) && sscanf(line, "Rss: %zu kB", &kib) != 1)
        ;
    fclose(file);
    return kib * 1024;
}

enum { OTHER_PAGES = 64 << 10 }; /* bytes of code and of what asking allocates */

IN_NEW_THREAD(glibc, purge_tells_how_much_it_returned, NULL)
{
    size_t before, after, returned, mapped;

    leave_maintenance_out();
    tide_free(allocate(TIDE_ARENA_BYTES / 2 + 1));
    TIDE_REQUIRE(rss() > 0); /* what reading it allocates is there */
    tide_purge();
    for (int n = 0; n < PURGED; n++)
        memset(purged[n] = allocate(TIDE_SLOT_BYTES), 1, TIDE_SLOT_BYTES);
    free_all(purged, PURGED);
    mapped = tide_mallinfo2().arena + tide_store_totals().dirty_bytes; /* with its code */
    before = rss();
    errno = ERANGE;
    returned = tide_purge();
    TIDE_REQUIRE(errno == ERANGE);
    after = rss();
    TIDE_REQUIRE(returned >= PURGED * TIDE_SLOT_BYTES && returned <= mapped);
    TIDE_REQUIRE(before + OTHER_PAGES >= after + PURGED * TIDE_SLOT_BYTES);
    TIDE_REQUIRE(before <= after + returned + OTHER_PAGES);
    tide_purge();
    TIDE_REQUIRE(tide_purge() == 0);
}

/* Pools that have one block each, which tells whose they are. */
static void make_thin_pools(void *unused)
{
    (void)unused;
    for (int n = 0; n < THIN_POOLS; n++) {
        fill_pool(PAGED, thin[n]);
        for (uint32_t k = 0; k < capacity_of(PAGED); k++)
            memset(thin[n][k], n + 1, PAGED);
    }
    for (int n = 0; n < THIN_POOLS; n++)
        free_all(thin[n] + 1, capacity_of(PAGED) - 1);
}

static const size_t thin_bytes = (TIDE_SLOT_BYTES > 4096 ? TIDE_SLOT_BYTES : 4 * TIDE_SLOT_BYTES);

static void check_thin_pools(void *unused)
{
    (void)unused;
    for (int n = 0; n < THIN_POOLS; n++) {
        for (int k = 0; k < PAGED; k++)
            TIDE_REQUIRE(((char *)thin[n][0])[k] == n + 1);
        tide_free(thin[n][0]);
    }
}

/* As many blocks, wherever they come from. */
static void use_as_much(void *unused)
{
    void **all = thin[0];
    size_t count = THIN_POOLS * capacity_of(PAGED);

    (void)unused;
    for (size_t n = 0; n < count; n++)
        memset(all[n] = allocate(PAGED), (int)n % 255 + 1, PAGED);
    for (size_t n = 0; n < count; n++) {
        for (int k = 0; k < PAGED; k++)
            TIDE_REQUIRE(((unsigned char *)all[n])[k] == n % 255 + 1);
        tide_free(all[n]);
    }
}

static size_t count_resident_ends(void)
{
    size_t count = 0;

    for (int n = 0; n < THIN_POOLS; n++)
        count += is_resident(thin[n][capacity_of(PAGED) - 1]);
    return count;
}

static void check_purge_of_sleeper(size_t (*purge)(void))
{
    static struct peer peer;
    struct heap *heap;

    peer_start(&peer);
    peer_do(&peer, get_heap, &heap);
    peer_do(&peer, make_thin_pools, NULL);
    TIDE_REQUIRE(count_resident_ends() == THIN_POOLS);
    if (tide_os_barrier()) {
        TIDE_REQUIRE(purge() > 0);
        TIDE_REQUIRE(is_bare(heap) && count_resident_ends() == 0);
    }
    tide_check_all();
    peer_do(&peer, check_thin_pools, NULL);
    peer_do(&peer, use_as_much, NULL);
    peer_end(&peer);
}

static size_t purge_and_compare(void)
{
    size_t returned = tide_purge();

    TIDE_REQUIRE(returned >= THIN_POOLS * (thin_bytes - tide_os_page_bytes));
    return returned;
}

static size_t trim(void)
{
    return (size_t)tide_malloc_trim(0);
}

IN_NEW_THREAD(glibc, purge_returns_what_threads_keep_that_sleep, NULL)
{
    check_purge_of_sleeper(purge_and_compare);
}

IN_NEW_THREAD(glibc, purge_does_with_checks_too, "TIDEPOOL_CHECK=on")
{
    check_purge_of_sleeper(purge_and_compare);
}

IN_NEW_THREAD(glibc, purge_does_with_one_lock_too, "TIDEPOOL_ARENA_LOCK=global")
{
    check_purge_of_sleeper(purge_and_compare);
}

IN_NEW_THREAD(glibc, trim_returns_what_threads_keep_that_sleep, NULL)
{
    check_purge_of_sleeper(trim);
}

static void purge_in_child(void)
{
    leave_maintenance_out();
    TIDE_REQUIRE(purge_and_compare() > 0 && count_resident_ends() == 0);
    check_thin_pools(NULL);
    use_as_much(NULL);
    check_purge_of_sleeper(purge_and_compare);
    tide_check_all();
}

/* Another thread, which isn't in the child, has a heap and sleeps. */
IN_NEW_THREAD(glibc, purge_works_in_a_fork_child, NULL)
{
    struct outcome outcome;
    struct peer peer;
    struct heap *heap;

    peer_start(&peer);
    peer_do(&peer, get_heap, &heap);
    make_thin_pools(NULL);
    outcome = run_apart(purge_in_child);
    TIDE_REQUIRE(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 0);
    TIDE_REQUIRE(count_resident_ends() == THIN_POOLS);
    check_thin_pools(NULL);
}

enum { PURGERS = 4, PURGES = 20 };

static void purge_often(void *unused)
{
    void *own[PURGES];

    (void)unused;
    for (int n = 0; n < PURGES; n++) {
        own[n] = memset(allocate(500 * (size_t)(n + 1)), n, 500);
        tide_purge();
        TIDE_REQUIRE(((char *)own[n])[499] == n);
    }
    free_all(own, PURGES);
}

IN_NEW_THREAD(glibc, threads_may_purge_at_once, NULL)
{
    struct peer peers[PURGERS];

    for (int n = 0; n < PURGERS; n++)
        peer_start(&peers[n]);
    for (int n = 0; n < PURGERS; n++)
        peer_ask(&peers[n], purge_often, NULL);
    for (int n = 0; n < PURGES; n++)
        use_as_much(NULL);
    for (int n = 0; n < PURGERS; n++) {
        peer_wait(&peers[n]);
        peer_end(&peers[n]);
    }
}

IN_NEW_THREAD(glibc, an_idle_thread_gives_back_what_is_its_own, NULL)
{
    struct peer peer;
    struct heap *heap;

    peer_start(&peer);
    peer_do(&peer, get_heap, &heap);
    peer_do(&peer, make_thin_pools, NULL);
    tide_free(allocate(100));
    TIDE_REQUIRE(!is_bare(own_heap()));
    errno = ERANGE;
    TIDE_REQUIRE(tide_thread_idle() == 0 && errno == ERANGE); /* its pages are on free slots */
    TIDE_REQUIRE(is_bare(own_heap()));
    TIDE_REQUIRE(!is_bare(heap) && count_resident_ends() == THIN_POOLS);
    peer_do(&peer, check_thin_pools, NULL);
    peer_end(&peer);
    make_thin_pools(NULL);
    TIDE_REQUIRE(tide_thread_idle() == THIN_POOLS * (thin_bytes - tide_os_page_bytes));
    TIDE_REQUIRE(count_resident_ends() == 0);
    TIDE_REQUIRE(tide_thread_idle() == 0);
    check_thin_pools(NULL);
}

static void be_idle_late(void *argument)
{
    void *shared = allocate(100);

    (void)argument;
    TIDE_REQUIRE(tide_thread_idle() == 0);
    tide_purge();
    tide_free(shared);
}

Test(glibc, threads_past_their_destructors_may_call_them)
{
    int argument;

    do_late(be_idle_late, &argument);
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
