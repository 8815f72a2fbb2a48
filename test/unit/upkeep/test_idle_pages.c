/* test_idle_pages.c - upkeep/idle.h: free pages of pools in use
 */
#include "upkeep/idle.h"

#include "upkeep/tidy.h"
#include "../heap/sleepers.h"

enum { PAGED = 1024 }; /* a size whose pools have several pages in each geometry, full of blocks */

/* ---- Free pages of used pools ------------------------------------------ */

enum { POOLS = 4 };

static void *paged[POOLS][MOST_BLOCKS];

/* Pools that have one block each; all but the last are used, the last one first. */
static void make_thin_pools(void *unused)
{
    (void)unused;
    for (int n = 0; n < POOLS; n++) {
        fill_pool(PAGED, paged[n]);
        memset(paged[n][0], n + 1, PAGED);
    }
    for (int n = 0; n < POOLS; n++)
        free_all(paged[n] + 1, capacity_of(PAGED) - 1);
}

/* Of pages but the first, on which a block is allocated. */
static bool is_whole(int pool)
{
    return is_resident(paged[pool][capacity_of(PAGED) - 1]);
}

/* Such as touch their pages. */
static void touch_thin_pools(void *unused)
{
    for (int n = 0; n < POOLS; n++)
        for (uint32_t k = 0; k < capacity_of(PAGED); k++)
            TIDE_REQUIRE(is_resident(paged[n][k]));
    (void)unused;
}

static void check_thin_pools(void *unused)
{
    (void)unused;
    for (int n = 0; n < POOLS; n++)
        for (int k = 0; k < PAGED; k++)
            TIDE_REQUIRE(((char *)paged[n][0])[k] == n + 1);
}

/* Takes all that the current pool and the next used one have, and one of the one
 * after; then the next one has free blocks again. */
static void use_next_pool(void *unused)
{
    static void *taken[2 * MOST_BLOCKS];
    uint32_t free = capacity_of(PAGED) - 1;

    (void)unused;
    for (uint32_t n = 0; n < 2 * free + 1; n++)
        taken[n] = allocate(PAGED);
    for (uint32_t n = free; n < 2 * free; n++)
        TIDE_REQUIRE(tide_pool_of(taken[n]) == tide_pool_of(paged[POOLS - 2][0]));
    put_all_back(taken + free, free);
}

SCENARIO(idle_pages, a_busy_thread_keeps_pages_of_pools_it_takes_from, NULL)
{
    static struct sleeper sleeper;

    leave_maintenance_out();
    start_sleeper(&sleeper);
    wake_for(&sleeper, make_thin_pools, NULL);
    wake_for(&sleeper, touch_thin_pools, NULL);
    look();
    TIDE_REQUIRE(is_whole(0) && is_whole(1) && is_whole(2) && is_whole(3));
    wake_for(&sleeper, use_next_pool, NULL);
    look();
    TIDE_REQUIRE(!is_whole(0) && is_whole(1) && is_whole(2) && is_whole(3));
    TIDE_REQUIRE(sleeper.heap->current[tide_class_of(PAGED)] == tide_pool_of(paged[1][0]));
    wake_for(&sleeper, use_another_class, NULL);
    look();
    TIDE_REQUIRE(!is_whole(0) && is_whole(1) && !is_whole(2) && is_whole(3));
    tide_check_all();
    wake_for(&sleeper, check_thin_pools, NULL);
}

SCENARIO(idle_pages, an_idle_one_gives_back_all_free_pages, NULL)
{
    static struct sleeper sleeper;

    leave_maintenance_out();
    start_sleeper(&sleeper);
    wake_for(&sleeper, make_thin_pools, NULL);
    TIDE_REQUIRE(give_back_all() >= POOLS * (capacity_of(PAGED) * PAGED - tide_os_page_bytes));
    TIDE_REQUIRE(!is_whole(0) && !is_whole(1) && !is_whole(2) && !is_whole(3));
    TIDE_REQUIRE(give_back_all() == 0);
    tide_check_all();
    for (int round = 0; round < 3; round++) {
        wake_for(&sleeper, check_thin_pools, NULL);
        for (int n = 0; n < POOLS; n++)
            wake_for(&sleeper, use_another_class, NULL);
        give_back_all();
        tide_check_all();
    }
}

/* Of each pool, the blocks of all numbers with this remainder when divided by four. */
static void free_quarter(void *remainder)
{
    for (int n = 0; n < POOLS; n++)
        for (uint32_t k = *(uint32_t *)remainder; k < capacity_of(PAGED); k += 4)
            if (k != 0)
                tide_free(paged[n][k]);
}

static void make_full_pools(void *unused)
{
    (void)unused;
    for (int n = 0; n < POOLS; n++)
        fill_pool(PAGED, paged[n]);
    for (int n = 0; n < POOLS; n++)
        memset(paged[n][0], n + 1, PAGED);
}

/* Its last pool is the current one until the first look gives it back. */
SCENARIO(idle_pages, one_that_only_frees_is_looked_at_again, NULL)
{
    static struct sleeper sleeper;
    uint32_t remainder = 3;

    leave_maintenance_out();
    start_sleeper(&sleeper);
    wake_for(&sleeper, make_full_pools, NULL);
    wake_for(&sleeper, free_quarter, &remainder);
    while (look() > 0)
        ;
    for (remainder = 0; remainder < 3; remainder++)
        wake_for(&sleeper, free_quarter, &remainder);
    TIDE_REQUIRE(is_whole(0) && is_whole(1) && is_whole(2) && is_whole(3));
    TIDE_REQUIRE(look() > 0);
    while (look() > 0)
        ;
    TIDE_REQUIRE(!is_whole(0) && !is_whole(1) && !is_whole(2) && !is_whole(3));
    tide_check_all();
    wake_for(&sleeper, check_thin_pools, NULL);
}

/* What was only to give back its idle pools, and is in use no more, begins anew. */
SCENARIO(idle_pages, a_pass_that_left_pools_out_is_not_gone_on_with, NULL)
{
    static struct sleeper sleeper;
    struct tidying *tidying;

    leave_maintenance_out();
    start_sleeper(&sleeper);
    wake_for(&sleeper, make_thin_pools, NULL);
    look(); /* the pools may be in use: they are only noted */
    tidying = &sleeper.heap->tidying;
    TIDE_REQUIRE(tidying->is_only_idle && tidying->step == TIDY_DONE);
    tidying->step = TIDY_POOLS; /* as if it had been stopped at the end */
    look();
    TIDE_REQUIRE(!is_whole(0) && !is_whole(1) && !is_whole(2) && !is_whole(3));
    tide_check_all();
}

enum { THIN = 440 }; /* two looks have slices for them, if none is looked at twice */

static void *many_thin[THIN][MOST_BLOCKS];

static void make_many_thin_pools(void *unused)
{
    (void)unused;
    for (int n = 0; n < THIN; n++)
        fill_pool(PAGED, many_thin[n]);
    for (int n = 0; n < THIN; n++)
        free_all(many_thin[n] + 1, capacity_of(PAGED) - 1);
}

static int count_whole(void)
{
    int count = 0;

    for (int n = 0; n < THIN; n++)
        count += is_resident(many_thin[n][capacity_of(PAGED) - 1]);
    return count;
}

/* Of a heap that is in use a look tidies a part; the next one goes on behind it. */
SCENARIO(idle_pages, a_look_at_a_busy_heap_goes_on_where_the_last_stopped, NULL)
{
    static struct sleeper sleeper;
    int looks = 0;

    if (TIDE_SLOT_BYTES / tide_os_page_bytes < 4)
        return; /* a look is enough for all that are so small */
    leave_maintenance_out();
    start_sleeper(&sleeper);
    wake_for(&sleeper, make_many_thin_pools, NULL);
    while (count_whole() > 1) { /* the current one */
        wake_for(&sleeper, use_another_class, NULL);
        look();
        TIDE_REQUIRE(looks < 1 || count_whole() < THIN);
        looks++;
    }
    TIDE_REQUIRE(looks == 3); /* at the first they might be in use */
    tide_check_all();
}

SCENARIO(idle_pages, orphans_give_back_free_pages, NULL)
{
    leave_maintenance_out();
    own_heap();
    run_thread(make_thin_pools, NULL);
    look_twice();
    TIDE_REQUIRE(!is_whole(0) && !is_whole(1) && !is_whole(2) && !is_whole(3));
    check_thin_pools(NULL);
    tide_check_all();
}

enum { SHARED = 2048, SHARED_COUNT = 200, SHARED_STEP = 4 };

/* Whether of the pages of shared blocks those are resident that have some. */
static bool has_only_used_pages(void *const *shared)
{
    for (int n = 0; n < SHARED_COUNT; n++) {
        uintptr_t page = tide_round_down((uintptr_t)shared[n], tide_os_page_bytes);
        bool is_used = false;

        for (int k = 0; k < SHARED_COUNT; k += SHARED_STEP)
            is_used |= tide_round_down((uintptr_t)shared[k], tide_os_page_bytes) == page;
        if (is_resident(shared[n]) != is_used)
            return false;
    }
    return true;
}

SCENARIO(idle_pages, the_common_heap_gives_back_free_pages, NULL)
{
    static void *shared[SHARED_COUNT];

    leave_maintenance_out();
    make_many_heaps();
    for (int n = 0; n < SHARED_COUNT; n++)
        memset(shared[n] = allocate_shared(SHARED), 1, SHARED);
    for (int n = 0; n < SHARED_COUNT; n++)
        if (n % SHARED_STEP != 0)
            tide_free(shared[n]);
    send_foreign_home();
    TIDE_REQUIRE(!has_only_used_pages(shared));
    look_twice();
    TIDE_REQUIRE(has_only_used_pages(shared));
    tide_check_all();
}

/* ---- What comes next ------------------------------------------------------- */

/* Those with freed blocks come first; a pool's may all go with its pages. */
IN_NEW_THREAD(idle_pages, pools_whose_freed_blocks_went_come_last, NULL)
{
    unsigned c = tide_class_of(PAGED), in_page = (unsigned)tide_os_page_bytes / PAGED;
    struct heap *heap = own_heap();
    struct pool *some, *whole;

    some = fill_pool(PAGED, paged[0]);
    whole = fill_pool(PAGED, paged[1]);
    fill_pool(PAGED, paged[2]);
    for (unsigned page = 0; page < 4; page++)
        put_back(paged[0][page * in_page]);
    put_all_back(paged[1], in_page);
    TIDE_REQUIRE(heap->used[c] == whole && whole->next == some);
    TIDE_REQUIRE(tide_thread_idle() == tide_os_page_bytes);
    TIDE_REQUIRE(heap->used[c] == some && some->next == whole && !whole->freed);
    TIDE_REQUIRE(!is_resident(paged[1][0]) && is_resident(paged[0][0]));
    tide_heap_check(heap);
}
