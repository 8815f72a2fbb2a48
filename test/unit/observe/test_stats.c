/* test_stats.c - observe/stats.h: sums over the pools' own counters */
#include "observe/stats.h"

#include "../heap/heaps.h"
#include "arena/huge_pages.h"
#include "os/records.h"

#define SIZE ((size_t)240)
static const unsigned size_class = SIZE / TIDE_ALIGNMENT;

static struct stats before, now;
static void *blocks[3][MOST_BLOCKS];

static void check_sums(const struct stats *stats)
{
    size_t pooled = 0, slots = 0;

    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        const struct class_stats *class_stats = &stats->classes[c];

        cr_assert_leq(class_stats->full_pools, class_stats->pools);
        cr_assert_leq(class_stats->allocated, class_stats->blocks);
        cr_assert_eq(class_stats->blocks, class_stats->pools * capacity_of(tide_class_bytes[c]));
        pooled += class_stats->allocated * tide_class_bytes[c];
        slots += class_stats->pools * tide_class_slots(c);
    }
    slots += stats->empty_pools + stats->free_slots;
    cr_assert_eq(stats->pooled_bytes, pooled);
    cr_assert_eq(slots,
                 stats->arena_bytes / TIDE_SLOT_BYTES - stats->arenas.arenas * TIDE_HEADER_SLOTS,
                 "every slot is something");
    cr_assert_eq(stats->arenas.arenas, stats->arenas.created - stats->arenas.released);
    cr_assert_leq(stats->orphans, stats->heaps);
}

static void gather_both(void)
{
    tide_stats_gather(&now);
    check_sums(&now);
}

static void gather_before(void)
{
    tide_stats_gather(&before);
    check_sums(&before);
}

Test(stats, every_slot_and_block_is_accounted_for)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        allocate(tide_class_bytes[c]);
        tide_free(allocate(tide_class_bytes[c]));
    }
    allocate(TIDE_POOLED_MAX + 1);
    gather_both();
}

Test(stats, blocks_are_counted_as_they_come_and_go)
{
    gather_before();
    for (int n = 0; n < 7; n++)
        blocks[0][n] = allocate(SIZE);
    gather_both();
    cr_assert_eq(now.classes[size_class].allocated, before.classes[size_class].allocated + 7);
    cr_assert_eq(now.pooled_bytes, before.pooled_bytes + 7 * SIZE);
    free_all(blocks[0], 3);
    gather_both();
    cr_assert_eq(now.classes[size_class].allocated, before.classes[size_class].allocated + 4);
}

static void fill_two(void *unused)
{
    (void)unused;
    fill_pool(SIZE, blocks[0]);
    fill_pool(SIZE, blocks[1]);
    blocks[2][0] = allocate(SIZE);
}

Test(stats, full_pools_are_counted)
{
    struct peer peer;

    peer_start(&peer);
    gather_before();
    peer_do(&peer, fill_two, NULL);
    gather_both();
    cr_assert_eq(now.classes[size_class].pools, before.classes[size_class].pools + 3);
    cr_assert_eq(now.classes[size_class].full_pools, before.classes[size_class].full_pools + 2);
    peer_end(&peer);
}

static void free_foreign(void)
{
    gather_before();
    tide_free(blocks[0][0]);
    tide_free(blocks[0][1]);
    gather_both();
    cr_assert_eq(now.classes[size_class].allocated, before.classes[size_class].allocated - 2);
}

Test(stats, foreign_blocks_in_the_list_are_free)
{
    own_heap(); /* or this thread would adopt the other's */
    run_thread(fill_two, NULL);
    free_foreign();
    cr_assert_eq(own_heap()->foreign[size_class], 2);
}

Test(stats, returned_blocks_are_free)
{
    struct peer peer;

    peer_start(&peer);
    peer_do(&peer, fill_two, NULL);
    free_foreign();
    send_foreign_home();
    gather_both();
    cr_assert_eq(now.classes[size_class].allocated, before.classes[size_class].allocated - 2);
    cr_assert_eq(tide_pool_returned_count(tide_pool_of(blocks[0][0])), 2);
    peer_end(&peer);
}

/* Fills malloc's list and a batch of the depot, and begins the surplus. */
static void free_two_batches(void)
{
    uint32_t count = 2 * batch_of(SIZE) + 3;

    gather_before();
    free_all(blocks[0], count);
    cr_assert_eq(stored_of(SIZE), 1);
    cr_assert_eq(own_heap()->surplus[size_class].count, 3);
    gather_both();
    cr_assert_eq(now.classes[size_class].allocated, before.classes[size_class].allocated - count);
}

Test(stats, foreign_blocks_in_the_surplus_and_the_depot_are_free)
{
    own_heap();
    set_batch(SIZE, 4);
    run_thread(fill_two, NULL);
    free_two_batches();
}

#define SMALL ((size_t)16)

static void allocate_small(void *block)
{
    *(void **)block = allocate(SMALL);
}

Test(stats, foreign_blocks_in_the_outbox_are_free)
{
    unsigned c = tide_class_of(SMALL);
    struct peer peer;

    peer_start(&peer);
    own_heap();
    for (int n = 0; n < 3; n++)
        peer_do(&peer, allocate_small, &blocks[0][n]);
    gather_before();
    free_all(blocks[0], 3);
    cr_assert_gt(own_heap()->outbox.bytes, 0);
    cr_assert_eq(tide_pool_returned_count(tide_pool_of(blocks[0][0])), 0);
    gather_both();
    cr_assert_eq(now.classes[c].allocated, before.classes[c].allocated - 3);
    peer_end(&peer);
}

/* Of which a program has no other blocks. */
#define RARE ((size_t)1500)

static void allocate_late(void *block)
{
    *(void **)block = allocate(RARE);
}

static void expect_one(void *stats)
{
    tide_stats_gather(stats);
    TIDE_REQUIRE(list_of(common_heap(), tide_class_of(RARE)));
    TIDE_REQUIRE(((struct stats *)stats)->classes[tide_class_of(RARE)].allocated == 1);
}

PROGRAM(common_list)
{
    do_late(allocate_late, &blocks[0][0]);
    expect_one(&now);
}

Test(stats, blocks_in_the_common_heaps_list_are_free)
{
    assert_ended_well(run_program("common_list", NULL, NULL));
}

PROGRAM(late_gathering)
{
    do_late(allocate_late, &blocks[0][0]);
    do_late(expect_one, &now);
}

Test(stats, past_its_destructors_a_thread_counts_them_the_same)
{
    assert_ended_well(run_program("late_gathering", NULL, NULL));
}

Test(stats, large_blocks_are_counted)
{
    static const size_t large[] = { TIDE_POOLED_MAX + 1, TIDE_ARENA_BYTES / 2,
                                    3 * TIDE_ARENA_BYTES + 1 };

    for (size_t n = 0; n < sizeof large / sizeof *large; n++) {
        size_t bytes = tide_good_size(large[n]);
        void *block;

        gather_before();
        block = allocate(large[n]);
        gather_both();
        cr_assert_eq(now.store.blocks, before.store.blocks + 1);
        cr_assert_eq(now.store.block_bytes, before.store.block_bytes + bytes);
        tide_free(block);
        gather_both();
        cr_assert_eq(now.store.blocks, before.store.blocks);
        cr_assert_eq(now.store.block_bytes, before.store.block_bytes);
    }
}

IN_NEW_THREAD(stats, freed_large_blocks_are_dirty_until_they_are_purged, NULL)
{
    void *block = allocate(3 * TIDE_ARENA_BYTES);

    leave_maintenance_out();
    tide_stats_gather(&before);
    tide_free(block);
    tide_stats_gather(&now);
    TIDE_REQUIRE(now.store.dirty_bytes == before.store.dirty_bytes + 3 * TIDE_ARENA_BYTES);
    TIDE_REQUIRE(now.returnable_bytes == before.returnable_bytes + 3 * TIDE_ARENA_BYTES);
    before = now;
    tide_malloc_trim(0);
    tide_stats_gather(&now);
    TIDE_REQUIRE(now.store.dirty_bytes == 0 && now.store.dirty_ranges == 0);
    TIDE_REQUIRE(now.store.purged_bytes >= before.store.purged_bytes + before.store.dirty_bytes);
    TIDE_REQUIRE(now.store.grown == before.store.grown);
}

Test(stats, heaps_and_orphans_are_counted)
{
    struct peer peer;
    struct heap *heap;

    own_heap();
    gather_before();
    peer_start(&peer);
    peer_do(&peer, get_heap, &heap);
    gather_both();
    cr_assert_eq(now.heaps, before.heaps + 1);
    cr_assert_eq(now.orphans, before.orphans);
    cr_assert_gt(now.record_bytes, before.record_bytes);
    cr_assert_eq(now.record_bytes, tide_os_record_bytes());
    peer_end(&peer);
    gather_both();
    cr_assert_eq(now.heaps, before.heaps + 1);
    cr_assert_eq(now.orphans, before.orphans + 1);
}

PROGRAM(little)
{
    size_t slots = 0;

    tide_free(allocate(100));
    tide_stats_gather(&now);
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        slots += now.classes[c].pools * tide_class_slots(c);
    slots += now.empty_pools + now.free_slots;
    TIDE_REQUIRE(now.arena_bytes == now.arenas.arenas * TIDE_ARENA_BYTES);
    TIDE_REQUIRE(slots + now.arenas.arenas * TIDE_HEADER_SLOTS ==
                 now.arena_bytes / TIDE_SLOT_BYTES);
}

Test(stats, every_slot_of_an_arena_is_counted)
{
    assert_ended_well(run_program("little", NULL, NULL));
}

Test(stats, every_kind_of_lock_has_a_name)
{
    for (int kind = 0; kind < LOCK_KINDS; kind++)
        for (int other = 0; other < kind; other++)
            cr_assert_str_neq(tide_stats_lock_name((enum lock_kind)kind),
                              tide_stats_lock_name((enum lock_kind)other));
}

PROGRAM(locks)
{
    bool is_global = tide_arena_global_lock != NULL;
    static void *several[40]; /* pools, of which some go back to their arena */

    tide_free(allocate(TIDE_POOLED_MAX + 1));
    for (int n = 0; n < 40; n++)
        several[n] = allocate(TIDE_POOLED_MAX);
    for (int n = 0; n < 40; n++)
        tide_free(several[n]);
    tide_stats_gather(&now);
    TIDE_REQUIRE((tide_relaxed(&now.locks[LOCK_GLOBAL].acquired) > 0) == is_global);
    TIDE_REQUIRE((tide_relaxed(&now.locks[LOCK_ARENA].acquired) > 0) == !is_global);
    TIDE_REQUIRE((tide_relaxed(&now.locks[LOCK_SHARD].acquired) > 0) == !is_global);
    TIDE_REQUIRE(tide_relaxed(&now.locks[LOCK_STORE].acquired) > 0);
    TIDE_REQUIRE(tide_relaxed(&now.locks[LOCK_COMMON].acquired) == 1); /* for its lists */
}

Test(stats, lock_counts_are_told_by_kind)
{
    assert_ended_well(run_program("locks", "TIDEPOOL_ARENA_LOCK=arena", NULL));
    assert_ended_well(run_program("locks", "TIDEPOOL_ARENA_LOCK=global", NULL));
}

/* ---- The check of everything -------------------------------------------- */

static void break_a_pool(void)
{
    tide_count(&tide_pool_of(blocks[0][0])->left, 1);
    tide_check_all();
}

static void break_a_heap(void)
{
    own_heap()->stock_count++;
    tide_check_all();
}

static void break_an_arena(void)
{
    tide_arena_of(blocks[0][0])->bucket ^= 1;
    tide_check_all();
}

Test(stats, check_walks_pools_heaps_and_arenas)
{
    run_thread(fill_two, NULL);
    own_heap();
    tide_check_all();
    assert_broken(run_apart(break_a_pool));
    assert_broken(run_apart(break_a_heap));
    assert_broken(run_apart(break_an_arena));
}
