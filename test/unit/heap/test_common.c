/* test_common.c - heap/common.h: the heap that threads share, past their
 * destructors and, when there are many, for the first blocks of each class */
#include "heap/common.h"
#include "store/store.h"

#include <errno.h>

#include "heaps.h"
#include "heap/remote.h"
#include "os/map.h"

#define SIZE ((size_t)240)
#define LARGE (TIDE_POOLED_MAX)
static const unsigned size_class = SIZE / TIDE_ALIGNMENT;

static void *blocks[2][MOST_BLOCKS];

/* ---- Which heap it is ---------------------------------------------------- */

Test(common, one_of_all_heaps_is_the_common_one)
{
    size_t common = 0;

    own_heap();
    for (struct heap *heap = tide_heap_next(NULL); heap; heap = tide_heap_next(heap))
        common += tide_heap_is_common(heap);
    cr_assert_eq(common, 1);
    cr_assert_not(tide_heap_is_common(own_heap()));
    cr_assert_eq(tide_heap_count(), count_heaps() - 1);
    cr_assert_eq(tide_relaxed(&common_heap()->state), HEAP_COMMON);
}

/* ---- Shares -------------------------------------------------------------- */

/* Blocks of a class that a heap gets from the common one: one, then twice as
 * many, and so on, as long as they are 1 KiB at most. */
static uint32_t shares_of(size_t size)
{
    uint32_t shares = 0;

    if (size < TIDE_CACHE_LINE)
        size = TIDE_CACHE_LINE;
    for (uint32_t batch = 1; batch * size <= 1024; batch *= 2)
        shares += batch;
    return shares;
}

static void expect_own(const void *block)
{
    TIDE_REQUIRE(tide_relaxed(&tide_pool_of(block)->owner) == own_heap());
}

IN_NEW_THREAD(common, with_few_heaps_each_has_its_own_pools, NULL)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        TIDE_REQUIRE(!tide_common_share(own_heap(), c));
        expect_own(allocate(tide_class_bytes[c]));
    }
    TIDE_REQUIRE(own_heap()->shares[size_class] == 0);
}

IN_NEW_THREAD(common, of_many_heaps_each_gets_its_first_blocks_from_it, NULL)
{
    make_many_heaps();
    for (unsigned c = 0; c < TIDE_CLASSES && tide_class_bytes[c] < 2048; c++) {
        uint32_t shares = shares_of(tide_class_bytes[c]);

        if (own_heap()->current[c] || own_heap()->shares[c] > 0)
            continue; /* the C library has blocks of it, for threads */
        for (uint32_t n = 0; n < shares; n++)
            TIDE_REQUIRE(is_of_common_heap(allocate(tide_class_bytes[c])));
        TIDE_REQUIRE(!own_heap()->current[c] && !list_of(own_heap(), c));
        for (uint32_t n = 0; n < 5; n++)
            expect_own(blocks[0][n] = allocate(tide_class_bytes[c]));
        TIDE_REQUIRE(own_heap()->current[c]);
        tide_heap_check(own_heap());
    }
    tide_heap_check(common_heap());
}

IN_NEW_THREAD(common, a_share_is_twice_the_last, NULL)
{
    make_many_heaps();
    for (uint32_t shared = 1; shared <= 1024 / TIDE_CACHE_LINE; shared *= 2) {
        allocate(TIDE_CACHE_LINE);
        TIDE_REQUIRE(length_of(list_of(own_heap(), tide_class_of(TIDE_CACHE_LINE))) == shared - 1);
        for (uint32_t n = 1; n < shared; n++)
            allocate(TIDE_CACHE_LINE);
    }
    TIDE_REQUIRE(!tide_common_share(own_heap(), tide_class_of(TIDE_CACHE_LINE)));
}

IN_NEW_THREAD(common, a_heap_that_has_a_pool_gets_no_share, NULL)
{
    expect_own(allocate(SIZE));
    make_many_heaps();
    TIDE_REQUIRE(!tide_common_share(own_heap(), size_class));
    TIDE_REQUIRE(tide_common_share(own_heap(), size_class + 1));
}

IN_NEW_THREAD(common, a_heap_has_its_shares_once, NULL)
{
    make_many_heaps();
    for (uint32_t n = 0; n < shares_of(SIZE); n++)
        TIDE_REQUIRE(is_of_common_heap(allocate(SIZE)));
    tide_free(allocate(SIZE));
    tide_idle_give_back_own();
    TIDE_REQUIRE(!own_heap()->current[size_class]);
    expect_own(allocate(SIZE));
}

IN_NEW_THREAD(common, blocks_above_a_kibibyte_are_the_threads_own, NULL)
{
    make_many_heaps();
    for (unsigned c = tide_class_of(1025); c < TIDE_CLASSES; c++)
        expect_own(allocate(tide_class_bytes[c]));
}

/* How often locks were taken that threads share. */
static uint64_t locks_taken(void)
{
    struct tide_lock sum = { .acquired = 0 };

    tide_lock_add_counts(&sum, tide_common_lock());
    tide_lock_add_counts(&sum, tide_store_lock());
    tide_depot_lock_counts(&sum);
    tide_arena_lock_counts(&sum, &sum);
    return tide_relaxed(&sum.acquired);
}

static void use_sixteen(size_t size)
{
    enum { BLOCKS = 16 };

    for (int n = 0; n < BLOCKS; n++)
        blocks[0][n] = allocate(size);
    free_all(blocks[0], BLOCKS);
}

IN_NEW_THREAD(common, steady_use_of_larger_blocks_takes_no_lock_of_all, NULL)
{
    static const size_t sizes[] = { 1100, 2500, 8000, 30000, TIDE_POOLED_MAX };

    make_many_heaps();
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        uint64_t before;

        use_sixteen(sizes[n] < TIDE_POOLED_MAX ? sizes[n] : TIDE_POOLED_MAX);
        before = locks_taken();
        for (int round = 0; round < 100; round++)
            use_sixteen(sizes[n] < TIDE_POOLED_MAX ? sizes[n] : TIDE_POOLED_MAX);
        TIDE_REQUIRE(locks_taken() - before < 40); /* of looks, not of each round */
    }
}

static void expect_lines_apart(void *const *some, void *const *others, uint32_t count)
{
    for (uint32_t n = 0; n < count; n++)
        for (uint32_t at = 0; at < count; at++)
            TIDE_REQUIRE((uintptr_t)some[n] / TIDE_CACHE_LINE !=
                         (uintptr_t)others[at] / TIDE_CACHE_LINE);
}

enum { SMALL_BLOCKS = 40 }; /* more than all shares */

static void allocate_small(void *place)
{
    *(void **)place = allocate(1);
}

/* Two threads allocate in turn. */
IN_NEW_THREAD(common, small_blocks_never_share_a_line_with_another_threads, NULL)
{
    struct peer peers[2];

    make_many_heaps();
    for (int n = 0; n < 2; n++)
        peer_start(&peers[n]);
    for (int n = 0; n < 2 * SMALL_BLOCKS; n++)
        peer_do(&peers[n % 2], allocate_small, &blocks[n % 2][n / 2]);
    TIDE_REQUIRE(is_of_common_heap(blocks[0][0]) && is_of_common_heap(blocks[1][0]));
    TIDE_REQUIRE(!is_of_common_heap(blocks[0][SMALL_BLOCKS - 1]));
    expect_lines_apart(blocks[0], blocks[1], SMALL_BLOCKS);
    for (int n = 0; n < 2; n++)
        peer_end(&peers[n]);
}

IN_NEW_THREAD(common, a_small_block_of_it_is_a_whole_line, NULL)
{
    unsigned line_class = tide_class_of(TIDE_CACHE_LINE);

    make_many_heaps();
    for (size_t size = 1; size < TIDE_CACHE_LINE; size += TIDE_ALIGNMENT) {
        char *block = allocate(opaque(size));

        TIDE_REQUIRE(is_of_common_heap(block) && is_aligned(block, TIDE_CACHE_LINE));
        TIDE_REQUIRE(tide_usable_size(block) == TIDE_CACHE_LINE);
        memset(block, 1, opaque(TIDE_CACHE_LINE));
        tide_free_sized(block, size);
        TIDE_REQUIRE(list_of(own_heap(), line_class) == (struct block *)block);
    }
    tide_heap_check(own_heap());
}

IN_NEW_THREAD(common, with_checks_on_its_blocks_are_checked_as_any, "TIDEPOOL_CHECK=on")
{
    make_many_heaps();
    for (int n = 0; n < SMALL_BLOCKS; n++) {
        TIDE_REQUIRE(tide_arena_is_live(blocks[0][n] = allocate(1)));
        TIDE_REQUIRE(tide_arena_is_live(blocks[1][n] = allocate(LARGE)));
    }
    for (int n = 0; n < SMALL_BLOCKS; n++) {
        tide_free_sized(blocks[0][n], 1);
        tide_free_sized(blocks[1][n], LARGE);
        TIDE_REQUIRE(!tide_arena_is_live(blocks[0][n]) && !tide_arena_is_live(blocks[1][n]));
    }
}

IN_NEW_THREAD(common, what_is_returned_to_it_is_shared_again, NULL)
{
    void *returned;

    make_many_heaps();
    returned = allocate_shared(LARGE);
    while (list_of(common_heap(), tide_class_of(LARGE)))
        allocate_shared(LARGE);
    free_home(returned);
    TIDE_REQUIRE(tide_pool_returned_count(tide_pool_of(returned)) == 1);
    TIDE_REQUIRE(allocate_shared(LARGE) == returned);
    TIDE_REQUIRE(tide_pool_returned_count(tide_pool_of(returned)) == 0);
}

IN_NEW_THREAD(common, without_memory_there_is_no_share_and_all_is_well_after, NULL)
{
    struct block *all = NULL, *block;

    make_many_heaps();
    tide_os_fail_map_every(1);
    errno = 0;
    while ((block = tide_malloc(LARGE))) {
        block->next = all;
        all = block;
    }
    TIDE_REQUIRE(errno == ENOMEM && !tide_malloc(LARGE));
    tide_heap_check(common_heap());
    for (; all; all = block) {
        block = all->next;
        tide_free(all);
    }
    tide_os_fail_map_every(0);
    TIDE_REQUIRE(allocate(LARGE) && allocate(SIZE));
    tide_heap_check(common_heap());
}

enum { SHARED = 2048 };

static void *filled[MOST_BLOCKS];

static void take_shared(void *place)
{
    *(void **)place = allocate(SHARED);
}

/* Lets a thread, whose heap is taken, allocate while no arena can be used.  It has found
 * the common heap without a block, then. */
static void ask_without_arenas(struct peer *peer, void *place)
{
    uint64_t before = tide_relaxed(&tide_common_lock()->acquired);

    tide_arena_before_fork();
    peer_ask(peer, take_shared, place);
    while (tide_relaxed(&tide_common_lock()->acquired) == before)
        sched_yield();
}

/* The lock is given up while a pool is fetched, and others refill the list meanwhile. */
IN_NEW_THREAD(common, a_pool_that_is_fetched_makes_no_block_be_lost, NULL)
{
    unsigned c = tide_class_of(SHARED);
    uint32_t few = sixteenth_of(SHARED) + 1;
    struct heap *heap, *own = own_heap();
    struct peer peer;
    void *late, *next;

    peer_start(&peer);
    peer_do(&peer, get_heap, &heap);
    TIDE_REQUIRE(tide_heap_close(own) && tide_heap_close(heap));
    fill_pool(SHARED, filled);
    TIDE_REQUIRE(is_of_common_heap(filled[0]));
    while (list_of(common_heap(), c))
        allocate(SHARED);
    ask_without_arenas(&peer, &late);
    for (uint32_t n = 0; n < few; n++)
        tide_free(filled[n]);
    allocate(SHARED); /* makes a list of those */
    next = list_of(common_heap(), c);
    TIDE_REQUIRE(length_of(next) == few - 1);
    tide_arena_after_fork(false);
    peer_wait(&peer);
    TIDE_REQUIRE(late == next && length_of(list_of(common_heap(), c)) == few - 2);
    tide_heap_check(common_heap());
    tide_heap_open(own);
    tide_heap_open(heap);
    peer_end(&peer);
}

/* ---- Giving back --------------------------------------------------------- */

/* Takes large blocks of the common heap and sends them home again. */
static void use_and_return(void)
{
    enum { BLOCKS = 20 };

    for (int n = 0; n < BLOCKS; n++)
        blocks[0][n] = allocate_shared(LARGE);
    TIDE_REQUIRE(pools_of_size(LARGE) > 0);
    free_all(blocks[0], BLOCKS);
    tide_heap_send_all_foreign(own_heap());
    tide_heap_empty_depot(false);
    TIDE_REQUIRE(tide_relaxed(&common_heap()->inbox));
}

IN_NEW_THREAD(common, it_gives_back_all_that_can_go, NULL)
{
    make_many_heaps();
    use_and_return();
    give_back_all();
    TIDE_REQUIRE(is_bare(common_heap()) && pools_of_size(LARGE) == 0);
    tide_heap_check(common_heap());
    use_and_return();
    give_back_all();
    TIDE_REQUIRE(is_bare(common_heap()) && !has_moved(common_heap()));
}

IN_NEW_THREAD(common, what_is_in_use_stays, NULL)
{
    char *kept;

    make_many_heaps();
    kept = memset(allocate(SIZE), 1, SIZE);
    give_back_all();
    TIDE_REQUIRE(is_bare(common_heap()) && pools_of_size(SIZE) == 1);
    TIDE_REQUIRE(kept[0] + kept[SIZE - 1] == 2);
    TIDE_REQUIRE(is_in_used_list(common_heap(), tide_pool_of(kept)));
    tide_heap_check(common_heap());
}

IN_NEW_THREAD(common, it_gives_back_once_it_is_idle, NULL)
{
    make_many_heaps();
    use_and_return();
    look();
    TIDE_REQUIRE(has_moved(common_heap()) && !is_bare(common_heap()));
    TIDE_REQUIRE(!tide_relaxed(&common_heap()->inbox));
    use_and_return();
    look();
    TIDE_REQUIRE(has_moved(common_heap()) && !is_bare(common_heap()));
    look();
    TIDE_REQUIRE(!has_moved(common_heap()));
    TIDE_REQUIRE(is_bare(common_heap()) && pools_of_size(LARGE) == 0);
}

/* Then it has a current pool, though it took none from an arena. */
IN_NEW_THREAD(common, it_gives_back_again_after_it_used_a_pool_that_stayed, NULL)
{
    void *kept, *more;

    make_many_heaps();
    kept = allocate(SIZE);
    give_back_all();
    more = allocate(SIZE);
    TIDE_REQUIRE(tide_pool_of(more) == tide_pool_of(kept));
    tide_free(kept);
    tide_free(more);
    tide_heap_send_all_foreign(own_heap());
    look();
    TIDE_REQUIRE(has_moved(common_heap()) && pools_of_size(SIZE) == 1);
    look();
    TIDE_REQUIRE(!has_moved(common_heap()) && pools_of_size(SIZE) == 0);
}

/* ---- Threads past their destructors -------------------------------------- */

static void use_common_heap(void *argument)
{
    struct heap *heap = tide_api_enter(), **found = argument;

    TIDE_REQUIRE(heap && tide_heap_is_common(heap));
    tide_heap_leave(heap);
    *found = heap;
}

Test(common, threads_past_their_destructors_share_it)
{
    struct heap *first = NULL, *second = NULL;

    do_late(use_common_heap, &first);
    do_late(use_common_heap, &second);
    cr_assert(first && first == second);
    cr_assert(is_listed(first));
}

static void allocate_late(void *argument)
{
    static const size_t sizes[] = { 1, SIZE, TIDE_POOLED_MAX, TIDE_POOLED_MAX + 1,
                                    TIDE_ARENA_BYTES / 2 + 1 };
    void **kept = argument;

    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        void *block = allocate(sizes[n]);

        memset(block, 1, sizes[n]);
        tide_free(block);
    }
    *kept = allocate(SIZE);
    TIDE_REQUIRE(is_of_common_heap(*kept));
}

Test(common, allocating_and_freeing_go_on_past_the_destructors)
{
    void *kept = NULL;

    do_late(allocate_late, &kept);
    cr_assert(kept);
    memset(kept, 2, SIZE);
    free_home(kept);
    cr_assert_eq(tide_pool_returned_count(tide_pool_of(kept)), 1, "it goes home");
    do_late(allocate_late, &kept);
    cr_assert(kept);
    tide_free(kept);
}

static void free_late(void *argument)
{
    struct pool *pool = tide_pool_of(*(void **)argument);

    tide_free(*(void **)argument);
    TIDE_REQUIRE(tide_pool_returned_count(pool) == 1);
}

Test(common, a_late_free_goes_home_at_once)
{
    void *block = allocate(SIZE);
    struct heap *heap = own_heap();

    tide_heap_drain(heap, UINT_MAX);
    do_late(free_late, &block);
    tide_heap_drain(heap, UINT_MAX);
    cr_assert_eq(tide_pool_returned_count(tide_pool_of(block)), 0);
}

static void take_all_late(void *count)
{
    for (uint32_t n = 0; n < *(uint32_t *)count; n++)
        blocks[1][n] = allocate(SIZE);
}

IN_NEW_THREAD(common, past_its_destructors_a_thread_gets_the_depots_blocks, NULL)
{
    uint32_t count = 4;

    for (uint32_t n = 0; n < count; n++)
        blocks[0][n] = allocate(SIZE);
    TIDE_REQUIRE(tide_depot_put(0, size_class, batch_from(blocks[0], count)));
    do_late(take_all_late, &count);
    for (uint32_t n = 0; n < count; n++)
        TIDE_REQUIRE(blocks[1][n] == blocks[0][n]);
    TIDE_REQUIRE(stored_of(SIZE) == 0);
    tide_heap_check(common_heap());
    free_all(blocks[1], count); /* they are this thread's own */
}
