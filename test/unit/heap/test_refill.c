/* test_refill.c - heap/refill.c: where malloc's next blocks come from, and
 * where pools go; what the common heap gives is in test_common.c */
#include "heap/slow.h"
#include "heaps.h"

#include <errno.h>

#include "arena/arena.h"
#include "heap/remote.h"
#include "os/map.h"

#define SIZE ((size_t)64)
#define OTHER ((size_t)96)
#define WIDE (TIDE_NARROW_MAX + 1)

static void *blocks[6][MOST_BLOCKS];

static struct heap *heap;

static void use_up_list(size_t size)
{
    while (list_of(heap, tide_class_of(size)))
        allocate(size);
}

/* Each used pool's prev is the one before it, the first's the last. */
static void expect_used(size_t size, uint32_t count)
{
    struct pool *first = heap->used[tide_class_of(size)], *last = first ? first->prev : NULL;

    for (struct pool *pool = first; pool; pool = pool->next, count--)
        TIDE_REQUIRE(pool->next ? pool->next->prev == pool : last == pool);
    TIDE_REQUIRE(count == 0);
    tide_heap_check(heap);
}

/* ---- The current pool --------------------------------------------------- */

IN_NEW_THREAD(refill, the_first_block_opens_a_pool, NULL)
{
    unsigned c = tide_class_of(SIZE);
    struct pool *pool = tide_pool_of(allocate(SIZE));

    heap = own_heap();
    TIDE_REQUIRE(heap->current[c] == pool && !heap->used[c]);
    TIDE_REQUIRE(tide_relaxed(&pool->owner) == heap && tide_relaxed(&pool->state) == POOL_USED);
    TIDE_REQUIRE(pool->size_class == c && heap->tenant.arena == tide_arena_of(pool));
    TIDE_REQUIRE(tide_relaxed(&pool->left) == tide_relaxed(&pool->carved));
    tide_heap_check(heap);
}

IN_NEW_THREAD(refill, refill_gives_a_block_and_a_list, NULL)
{
    unsigned c = tide_class_of(SIZE);
    struct block *block;

    heap = own_heap();
    block = tide_heap_refill(heap, c);
    TIDE_REQUIRE(block && list_of(heap, c));
    for (struct block *free = list_of(heap, c); free; free = free->next)
        TIDE_REQUIRE(free != block && tide_pool_of(free) == tide_pool_of(block));
    tide_heap_check(heap);
}

IN_NEW_THREAD(refill, freed_blocks_come_before_untouched_ones, NULL)
{
    void *first = allocate(SIZE), *second = allocate(SIZE);
    struct pool *pool = tide_pool_of(first);
    uint32_t carved;

    heap = own_heap();
    use_up_list(SIZE);
    carved = tide_relaxed(&pool->carved);
    tide_free(first);
    tide_free(second);
    TIDE_REQUIRE(allocate(SIZE) == second && allocate(SIZE) == first);
    TIDE_REQUIRE(tide_relaxed(&pool->carved) == carved);
    allocate(SIZE);
    TIDE_REQUIRE(tide_relaxed(&pool->carved) > carved || carved == pool->capacity);
    tide_heap_check(heap);
}

IN_NEW_THREAD(refill, the_current_pool_stays_when_it_is_empty, NULL)
{
    struct pool *pool = fill_pool(SIZE, blocks[0]);

    heap = own_heap();
    free_all(blocks[0], capacity_of(SIZE));
    TIDE_REQUIRE(heap->current[pool->size_class] == pool && heap->stock_count == 0);
    TIDE_REQUIRE(tide_relaxed(&pool->state) == POOL_USED && tide_relaxed(&pool->owner) == heap);
    tide_heap_check(heap);
    TIDE_REQUIRE(fill_pool(SIZE, blocks[0]) == pool);
}

IN_NEW_THREAD(refill, every_block_of_a_pool_is_given_once, NULL)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        uint32_t capacity = capacity_of(tide_class_bytes[c]);
        struct pool *pool = fill_pool(tide_class_bytes[c], blocks[0]);

        for (uint32_t n = 0; n < capacity; n++)
            *(uint32_t *)blocks[0][n] = n;
        for (uint32_t n = 0; n < capacity; n++)
            TIDE_REQUIRE(*(uint32_t *)blocks[0][n] == n && tide_pool_has_block(pool, blocks[0][n]));
        TIDE_REQUIRE(tide_pool_of(blocks[1][0] = allocate(tide_class_bytes[c])) != pool);
        TIDE_REQUIRE(tide_relaxed(&pool->state) == POOL_FULL);
        free_all(blocks[0], capacity);
        tide_free(blocks[1][0]);
    }
    tide_heap_check(own_heap());
}

/* ---- Used pools --------------------------------------------------------- */

IN_NEW_THREAD(refill, a_full_pool_is_used_again_after_a_sixteenth_came_back, NULL)
{
    struct pool *full = fill_pool(SIZE, blocks[0]);
    uint32_t enough = sixteenth_of(SIZE);

    heap = own_heap();
    fill_pool(SIZE, blocks[1]);
    TIDE_REQUIRE(tide_relaxed(&full->state) == POOL_FULL);
    TIDE_REQUIRE(enough > 1);
    free_all(blocks[0], enough - 1);
    TIDE_REQUIRE(tide_relaxed(&full->state) == POOL_FULL && !is_in_used_list(heap, full));
    tide_free(blocks[0][enough]);
    TIDE_REQUIRE(tide_relaxed(&full->state) == POOL_USED && is_in_used_list(heap, full));
    tide_heap_check(heap);
}

IN_NEW_THREAD(refill, a_used_pool_comes_before_a_new_one, NULL)
{
    struct pool *first = fill_pool(SIZE, blocks[0]), *second = fill_pool(SIZE, blocks[1]);
    unsigned free_slots;

    heap = own_heap();
    free_all(blocks[0], sixteenth_of(SIZE));
    free_slots = tide_arena_free_slots(heap->tenant.arena);
    TIDE_REQUIRE(tide_pool_of(allocate(SIZE)) == first);
    TIDE_REQUIRE(heap->current[first->size_class] == first && !is_in_used_list(heap, first));
    TIDE_REQUIRE(tide_relaxed(&second->state) == POOL_FULL);
    TIDE_REQUIRE(tide_arena_free_slots(heap->tenant.arena) == free_slots);
    tide_heap_check(heap);
}

IN_NEW_THREAD(refill, a_full_pool_that_is_hardly_free_is_left_alone, NULL)
{
    struct pool *first = fill_pool(SIZE, blocks[0]), *second = fill_pool(SIZE, blocks[1]);
    struct pool *next;

    heap = own_heap();
    free_all(blocks[0], sixteenth_of(SIZE) - 1);
    next = tide_pool_of(allocate(SIZE));
    TIDE_REQUIRE(next != first && next != second);
    tide_heap_check(heap);
}

IN_NEW_THREAD(refill, used_pools_leave_their_list_wherever_they_are, NULL)
{
    struct pool *pools[5];

    heap = own_heap();
    for (int n = 0; n < 5; n++)
        pools[n] = fill_pool(SIZE, blocks[n]);
    fill_pool(SIZE, blocks[5]);
    for (int n = 0; n < 5; n++)
        free_all(blocks[n], sixteenth_of(SIZE));
    for (int n = 0; n < 5; n++)
        TIDE_REQUIRE(is_in_used_list(heap, pools[n]));
    expect_used(SIZE, 5);
    for (int n = 0; n < 5; n++) {
        int which = (int[]){ 2, 0, 4, 3, 1 }[n]; /* the middle, an end, ... */

        free_all(blocks[which] + sixteenth_of(SIZE), capacity_of(SIZE) - sixteenth_of(SIZE));
        TIDE_REQUIRE(!is_in_used_list(heap, pools[which]));
        expect_used(SIZE, 4 - (uint32_t)n);
    }
}

IN_NEW_THREAD(refill, a_pool_that_comes_back_is_the_next_to_be_used, NULL)
{
    struct pool *pools[3];

    heap = own_heap();
    for (int n = 0; n < 3; n++)
        pools[n] = fill_pool(SIZE, blocks[n]);
    fill_pool(SIZE, blocks[3]);
    for (int n = 0; n < 3; n++) {
        free_all(blocks[n], sixteenth_of(SIZE));
        TIDE_REQUIRE(heap->used[pools[n]->size_class] == pools[n]);
        expect_used(SIZE, (uint32_t)n + 1);
    }
    for (int n = 3; n-- > 0;)
        for (uint32_t at = 0; at < sixteenth_of(SIZE); at++)
            TIDE_REQUIRE(tide_pool_of(allocate(SIZE)) == pools[n]);
    expect_used(SIZE, 0);
}

/* Pools of which a page at most is carved, when pages are small. */
#define PAGED (TIDE_SLOT_BYTES / 16)

IN_NEW_THREAD(refill, untouched_blocks_wait_behind_the_freed_ones_of_all_pools, NULL)
{
    struct pool *untouched, *freed[2];
    uint32_t carved;

    for (int n = 0; n < 2; n++)
        freed[n] = fill_pool(PAGED, blocks[n]);
    untouched = tide_pool_of(allocate(PAGED));
    heap = own_heap();
    use_up_list(PAGED);
    carved = tide_relaxed(&untouched->carved);
    if (carved == untouched->capacity)
        return; /* one page is all of a pool */
    for (int n = 0; n < 2; n++)
        put_all_back(blocks[n], 1);
    expect_used(PAGED, 2);
    TIDE_REQUIRE(allocate(PAGED) == blocks[1][0]);
    TIDE_REQUIRE(heap->used[untouched->size_class] == freed[0] && freed[0]->next == untouched);
    expect_used(PAGED, 2);
    TIDE_REQUIRE(allocate(PAGED) == blocks[0][0]);
    TIDE_REQUIRE(heap->used[untouched->size_class] == untouched);
    expect_used(PAGED, 1);
    TIDE_REQUIRE(tide_relaxed(&untouched->carved) == carved);
    TIDE_REQUIRE(tide_pool_of(allocate(PAGED)) == untouched);
    TIDE_REQUIRE(tide_relaxed(&untouched->carved) > carved);
    expect_used(PAGED, 0);
}

/* ---- Empty pools -------------------------------------------------------- */

IN_NEW_THREAD(refill, an_empty_pool_serves_another_class, NULL)
{
    struct pool *pool = fill_pool(SIZE, blocks[0]);

    heap = own_heap();
    allocate(SIZE); /* another becomes the current one */
    free_all(blocks[0], capacity_of(SIZE));
    TIDE_REQUIRE(tide_relaxed(&pool->state) == POOL_EMPTY && !tide_relaxed(&pool->owner));
    TIDE_REQUIRE(heap->stock == pool && heap->stock_count == 1);
    tide_heap_check(heap);
    TIDE_REQUIRE(tide_pool_of(allocate(OTHER)) == pool);
    TIDE_REQUIRE(pool->block_bytes == OTHER && tide_relaxed(&pool->owner) == heap);
    TIDE_REQUIRE(!heap->stock && heap->stock_count == 0);
    tide_heap_check(heap);
}

/* Empties five pools that are not current. */
static void empty_five(void)
{
    struct pool *pools[5];
    unsigned kept = 0, given_back = 0;

    heap = own_heap();
    for (int n = 0; n < 5; n++)
        pools[n] = fill_pool(SIZE, blocks[n]);
    allocate(SIZE);
    for (int n = 0; n < 5; n++)
        free_all(blocks[n], capacity_of(SIZE));
    for (int n = 0; n < 5; n++) {
        kept += tide_relaxed(&pools[n]->state) == POOL_EMPTY;
        given_back += tide_relaxed(&pools[n]->state) == POOL_FREE;
    }
    TIDE_REQUIRE(kept == heap->stock_count && kept + given_back == 5);
    tide_heap_check(heap);
}

IN_NEW_THREAD(refill, the_stock_is_bounded, "TIDEPOOL_POOL_STOCK=2")
{
    empty_five();
    TIDE_REQUIRE(heap->stock_count == 2);
}

IN_NEW_THREAD(refill, the_stock_can_be_larger, "TIDEPOOL_POOL_STOCK=100")
{
    empty_five();
    TIDE_REQUIRE(heap->stock_count == 5);
}

IN_NEW_THREAD(refill, without_a_stock_empty_pools_go_back, "TIDEPOOL_POOL_STOCK=0")
{
    empty_five();
    TIDE_REQUIRE(heap->stock_count == 0 && !heap->stock);
}

IN_NEW_THREAD(refill, one_pool_of_several_slots_is_stocked, NULL)
{
    static void *more[MOST_BLOCKS];
    struct pool *pool = fill_pool(WIDE, blocks[0]), *other = fill_pool(WIDE, more);

    heap = own_heap();
    TIDE_REQUIRE(tide_relaxed(&pool->slots) == TIDE_WIDE_SLOTS);
    allocate(WIDE);
    put_all_back(blocks[0], capacity_of(WIDE));
    TIDE_REQUIRE(heap->wide == pool && tide_relaxed(&pool->state) == POOL_EMPTY);
    put_all_back(more, capacity_of(WIDE));
    TIDE_REQUIRE(heap->wide == pool && tide_relaxed(&other->state) == POOL_FREE);
    TIDE_REQUIRE(heap->stock_count == 0);
    tide_heap_check(heap);
    while (heap->wide)
        allocate(WIDE);
    TIDE_REQUIRE(heap->current[tide_class_of(WIDE)] == pool);
    tide_heap_check(heap);
}

/* ---- From other threads ------------------------------------------------- */

static void fill_two(void *unused)
{
    (void)unused;
    heap = own_heap();
    fill_pool(SIZE, blocks[0]);
    fill_pool(SIZE, blocks[1]);
}

static void free_some(void *count)
{
    free_all(blocks[0], *(size_t *)count);
    send_foreign_home();
}

static void expect_first_pool(void *unused)
{
    struct pool *first = tide_pool_of(blocks[0][0]);

    (void)unused;
    TIDE_REQUIRE(tide_relaxed(&heap->inbox) == first);
    TIDE_REQUIRE(tide_pool_of(allocate(SIZE)) == first);
    TIDE_REQUIRE(!tide_relaxed(&heap->inbox) && tide_pool_returned_count(first) == 0);
    tide_heap_check(heap);
}

PROGRAM(returned_blocks)
{
    struct peer owner, other;
    size_t enough = sixteenth_of(SIZE);

    peer_start(&owner);
    peer_start(&other);
    peer_do(&owner, fill_two, NULL);
    peer_do(&other, free_some, &enough);
    peer_do(&owner, expect_first_pool, NULL);
    peer_end(&other);
    peer_end(&owner);
}

Test(refill, returned_blocks_come_before_a_new_pool)
{
    assert_ended_well(run_program("returned_blocks", NULL, NULL));
}

static void expect_foreign(void *unused)
{
    unsigned c = tide_class_of(SIZE);

    (void)unused;
    heap = own_heap();
    allocate(SIZE);
    use_up_list(SIZE); /* with untouched blocks left */
    tide_free(blocks[0][1]);
    tide_free(blocks[0][0]);
    TIDE_REQUIRE(heap->foreign[c] == 2);
    TIDE_REQUIRE(allocate(SIZE) == blocks[0][0] && allocate(SIZE) == blocks[0][1]);
    TIDE_REQUIRE(tide_pool_of(allocate(SIZE)) == heap->current[c] && heap->foreign[c] == 0);
    tide_heap_check(heap);
}

PROGRAM(foreign_blocks)
{
    struct peer owner, other;

    peer_start(&owner);
    peer_start(&other);
    peer_do(&owner, fill_two, NULL);
    peer_do(&other, expect_foreign, NULL);
    peer_end(&other);
    peer_end(&owner);
}

Test(refill, foreign_blocks_come_first)
{
    assert_ended_well(run_program("foreign_blocks", NULL, NULL));
}

/* In the order in which they should be given: of two threads' blocks, two each
 * in the surplus, free in the owner's pools, and in the depot; then untouched
 * ones. */
static void expect_order(void *unused)
{
    unsigned c = tide_class_of(SIZE);
    void *own[3];

    (void)unused;
    heap = own_heap();
    for (uint32_t n = 0; n < capacity_of(SIZE); n++)
        blocks[2][n] = allocate(SIZE);
    own[0] = blocks[2][0];
    own[1] = allocate(SIZE); /* in another pool, with untouched blocks left */
    use_up_list(SIZE);
    free_all(blocks[2], sixteenth_of(SIZE));
    heap->surplus[c] = batch_from(blocks[0], 2);
    TIDE_REQUIRE(tide_depot_put(0, c, batch_from(blocks[1], 2)));

    TIDE_REQUIRE(allocate(SIZE) == blocks[0][0] && heap->foreign[c] > 0);
    tide_heap_check(heap);
    TIDE_REQUIRE(allocate(SIZE) == blocks[0][1] && !heap->surplus[c].first);
    TIDE_REQUIRE(allocate(SIZE) == own[0] && heap->foreign[c] == 0 && stored_of(SIZE) == 1);
    use_up_list(SIZE);
    TIDE_REQUIRE(allocate(SIZE) == blocks[1][0] && heap->foreign[c] > 0);
    tide_heap_check(heap);
    TIDE_REQUIRE(allocate(SIZE) == blocks[1][1] && stored_of(SIZE) == 0);
    own[2] = allocate(SIZE);
    TIDE_REQUIRE(heap->foreign[c] == 0 && tide_relaxed(&tide_pool_of(own[2])->owner) == heap);
    tide_heap_check(heap);
}

PROGRAM(order)
{
    struct peer owner, other;

    peer_start(&owner);
    peer_start(&other);
    peer_do(&owner, fill_two, NULL);
    peer_do(&other, expect_order, NULL);
    peer_end(&other);
    peer_end(&owner);
}

Test(refill, blocks_come_from_the_surplus_own_pools_the_depot_and_untouched_memory)
{
    assert_ended_well(run_program("order", NULL, NULL));
}

static void return_everything(void *unused)
{
    (void)unused;
    free_all(blocks[0], capacity_of(SIZE));
    free_all(blocks[1], capacity_of(SIZE));
    send_foreign_home();
}

static void drain(void *unused)
{
    struct pool *current = heap->current[tide_class_of(SIZE)];

    (void)unused;
    tide_heap_drain(heap, UINT_MAX);
    TIDE_REQUIRE(current == tide_pool_of(blocks[1][0]) && tide_relaxed(&current->left) == 0);
    TIDE_REQUIRE(tide_relaxed(&tide_pool_of(blocks[0][0])->state) == POOL_EMPTY);
    TIDE_REQUIRE(heap->stock_count == 1 && !heap->used[tide_class_of(SIZE)]);
    tide_heap_check(heap);
}

PROGRAM(drained_pools)
{
    struct peer owner, other;

    peer_start(&owner);
    peer_start(&other);
    peer_do(&owner, fill_two, NULL);
    peer_do(&other, return_everything, NULL);
    peer_do(&owner, drain, NULL);
    peer_end(&other);
    peer_end(&owner);
}

Test(refill, draining_the_inbox_places_its_pools)
{
    assert_ended_well(run_program("drained_pools", NULL, NULL));
}

/* ---- Nothing left ------------------------------------------------------- */

IN_NEW_THREAD(refill, without_memory_there_is_no_block_and_all_is_well_after, NULL)
{
    struct block *all = NULL, *block;

    heap = own_heap();
    tide_os_fail_map_every(1);
    errno = 0;
    while ((block = tide_malloc(SIZE))) {
        block->next = all;
        all = block;
    }
    TIDE_REQUIRE(errno == ENOMEM && !tide_malloc(SIZE));
    tide_heap_check(heap);
    for (; all; all = block) {
        block = all->next;
        tide_free(all);
    }
    tide_heap_check(heap);
    tide_os_fail_map_every(0);
    TIDE_REQUIRE(allocate(SIZE) && allocate(OTHER));
    tide_heap_check(heap);
}
