/* test_orphans.c - heap/orphans.h: how a thread with a heap ends; orphans,
 * visits and adoption, also of heaps that could not become orphans */
#include "heap/heap.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>

#include "heaps.h"
#include "heap/remote.h"
#include "os/records.h"

#define SIZE ((size_t)240)
static const unsigned size_class = SIZE / TIDE_ALIGNMENT;

static void *blocks[3][MOST_BLOCKS];

static void allocate_one(void *block)
{
    *(void **)block = allocate(SIZE);
}

Test(orphans, a_heap_outlives_its_thread_and_is_adopted)
{
    struct heap *first, *second;

    run_thread(get_heap, &first);
    cr_assert_eq(tide_relaxed(&first->state), HEAP_ORPHAN);
    cr_assert(is_listed(first));
    run_thread(get_heap, &second);
    cr_assert_eq(first, second);
    cr_assert_eq(tide_relaxed(&first->state), HEAP_ORPHAN);
}

Test(orphans, threads_one_after_another_share_one_heap)
{
    struct heap *heap;
    size_t count, record_bytes;

    run_thread(get_heap, &heap);
    count = count_heaps();
    record_bytes = tide_os_record_bytes();
    for (int n = 0; n < 20; n++)
        run_thread(get_heap, &heap);
    cr_assert_eq(count_heaps(), count);
    cr_assert_eq(tide_os_record_bytes(), record_bytes);
}

Test(orphans, orphans_are_each_adopted_by_one_thread)
{
    struct peer peers[3];
    struct heap *before[3], *after[3];

    for (int n = 0; n < 3; n++)
        peer_start(&peers[n]);
    for (int n = 0; n < 3; n++)
        peer_do(&peers[n], get_heap, &before[n]);
    for (int n = 0; n < 3; n++)
        peer_end(&peers[n]);
    for (int n = 0; n < 3; n++)
        peer_start(&peers[n]);
    for (int n = 0; n < 3; n++)
        peer_do(&peers[n], get_heap, &after[n]);
    for (int n = 0; n < 3; n++) {
        int found = 0;

        for (int at = 0; at < 3; at++)
            found += after[at] == before[n];
        cr_assert_eq(found, 1);
        peer_end(&peers[n]);
    }
}

static void allocate_with_a_different_owner(void *argument)
{
    void *block = allocate(SIZE), *inherited = *(void **)argument;

    TIDE_REQUIRE(tide_pool_of(block) == tide_pool_of(inherited));
    TIDE_REQUIRE(tide_relaxed(&tide_pool_of(inherited)->owner) == own_heap());
    tide_free(inherited);
    TIDE_REQUIRE(own_heap()->foreign[size_class] == 0);
    tide_free(block);
}

Test(orphans, an_adopted_heap_brings_its_pools_along)
{
    void *block;

    run_thread(allocate_one, &block);
    memset(block, 1, SIZE);
    run_thread(allocate_with_a_different_owner, &block);
}

/* Whose thread has left the block. */
static struct heap *make_orphan(void **block)
{
    run_thread(allocate_one, block);
    return tide_relaxed(&tide_pool_of(*block)->owner);
}

Test(orphans, an_orphan_keeps_its_lists_and_pools)
{
    void *block, *next;
    struct heap *heap = make_orphan(&block);

    next = list_of(heap, size_class);
    cr_assert_eq(heap->current[size_class], tide_pool_of(block));
    cr_assert_not_null(next);
    run_thread(allocate_one, &block);
    cr_assert_eq(block, next);
    tide_check_all();
}

Test(orphans, orphans_give_back_what_they_can_on_demand)
{
    void *block;
    struct heap *heap = make_orphan(&block);

    give_back_all();
    cr_assert(is_bare(heap));
    cr_assert(is_in_used_list(heap, tide_pool_of(block)));
    tide_heap_check(heap);
    tide_free(block);
    run_thread(get_heap, &heap);
    tide_check_all();
}

Test(orphans, orphans_that_nobody_adopts_give_all_back)
{
    void *block;
    struct heap *heap;

    leave_maintenance_out(); /* before it could see the orphan */
    heap = make_orphan(&block);
    look();
    cr_assert(has_moved(heap) && !is_bare(heap));
    look();
    cr_assert(is_bare(heap) && !heap->is_whole);
    while (has_moved(heap)) /* its pages came home */
        look();
    run_thread(allocate_one, &block);
    cr_assert_eq(tide_relaxed(&tide_pool_of(block)->owner), heap);
    look();
    cr_assert(has_moved(heap) && !is_bare(heap), "it was adopted meanwhile");
    tide_check_all();
}

/* Also of many heaps, for which the common one has the first blocks. */
static void allocate_own(void *block)
{
    do
        allocate_one(block);
    while (is_of_common_heap(*(void **)block));
}

Test(orphans, only_so_many_orphans_keep_their_pools)
{
    static struct peer peers[48];
    static void *kept[48];
    int bare = 0;

    for (int n = 0; n < 48; n++) {
        peer_start(&peers[n]);
        peer_do(&peers[n], allocate_own, &kept[n]);
    }
    for (int n = 0; n < 48; n++)
        peer_end(&peers[n]);
    for (int n = 0; n < 48; n++)
        bare += is_bare(tide_relaxed(&tide_pool_of(kept[n])->owner));
    cr_assert(0 < bare && bare < 48, "%d of 48 orphans are bare", bare);
    free_all(kept, 48);
    tide_check_all();
}

static void fill_three(void *unused)
{
    (void)unused;
    fill_pool(SIZE, blocks[0]);
    fill_pool(SIZE, blocks[1]);
    fill_pool(SIZE, blocks[2]);
}

static void check_frees_to_an_orphan(bool is_each_sent)
{
    size_t pools = pools_of_size(SIZE);

    own_heap(); /* or this thread would adopt the other's */
    run_thread(fill_three, NULL);
    cr_assert_eq(pools_of_size(SIZE), pools + 3);
    for (int n = 0; n < 3; n++)
        for (uint32_t k = 0; k < capacity_of(SIZE); k++)
            is_each_sent ? free_home(blocks[n][k]) : tide_free(blocks[n][k]);
    send_foreign_home();
    cr_assert_eq(pools_of_size(SIZE), pools + 1); /* the current one, for who adopts the heap */
    give_back_all();
    cr_assert_eq(pools_of_size(SIZE), pools);
    tide_check_all();
}

Test(orphans, an_orphans_pools_go_when_their_blocks_are_freed)
{
    check_frees_to_an_orphan(true);
}

Test(orphans, an_orphans_pools_go_when_their_blocks_are_freed_in_chains)
{
    check_frees_to_an_orphan(false);
}

Test(orphans, a_thread_that_ends_takes_in_what_was_returned_before)
{
    struct pool *pool;
    struct heap *heap;
    struct peer peer;

    peer_start(&peer);
    peer_do(&peer, fill_three, NULL);
    pool = tide_pool_of(blocks[0][0]);
    heap = tide_relaxed(&pool->owner);
    free_home(blocks[0][0]);
    cr_assert_eq(tide_relaxed(&heap->inbox), pool);
    cr_assert_eq(tide_pool_returned_count(pool), 1);
    peer_end(&peer);
    cr_assert_null(tide_relaxed(&heap->inbox));
    cr_assert_eq(tide_pool_returned_count(pool), 0);
    cr_assert_eq(tide_pool_freed_count(pool), 1);
    tide_heap_check(heap);
}

Test(orphans, only_orphans_are_visited)
{
    struct pool *pool;
    struct heap *heap;
    struct peer peer;

    peer_start(&peer);
    peer_do(&peer, fill_three, NULL);
    pool = tide_pool_of(blocks[0][0]);
    heap = tide_relaxed(&pool->owner);
    free_home(blocks[0][0]);
    tide_heap_visit_orphan(heap);
    cr_assert_eq(tide_relaxed(&heap->inbox), pool);
    peer_end(&peer);
}

/* Fills malloc's list, and the surplus in part. */
static void free_foreign(void *count)
{
    own_heap();
    set_batch(SIZE, *(uint32_t *)count - 2);
    free_all(blocks[0], *(uint32_t *)count);
    TIDE_REQUIRE(own_heap()->foreign[size_class] == batch_of(SIZE));
    TIDE_REQUIRE(own_heap()->surplus[size_class].count == *(uint32_t *)count - batch_of(SIZE));
}

Test(orphans, a_thread_that_ends_sends_foreign_blocks_home)
{
    struct peer owner;
    struct pool *pool;
    uint32_t count = 6;

    own_heap();
    peer_start(&owner);
    peer_do(&owner, fill_three, NULL);
    pool = tide_pool_of(blocks[0][0]);
    run_thread(free_foreign, &count);
    cr_assert_eq(tide_pool_returned_count(pool), count);
    cr_assert_eq(tide_relaxed(&tide_relaxed(&pool->owner)->inbox), pool);
    peer_end(&owner);
    cr_assert_eq(tide_pool_returned_count(pool), 0);
    tide_check_all();
}

static void end_with_errno(void *unused)
{
    (void)unused;
    allocate(SIZE);
    errno = ERANGE;
}

static int errno_at_end;

static void get_errno(void *unused)
{
    (void)unused;
    errno_at_end = errno;
}

static void end_watched(void *unused)
{
    TIDE_REQUIRE(pthread_setspecific(late_key, &late_key) == 0);
    end_with_errno(unused);
}

Test(orphans, the_end_of_a_thread_keeps_errno)
{
    cr_assert_eq(pthread_key_create(&late_key, get_errno), 0);
    run_thread(end_watched, NULL);
    cr_assert_eq(errno_at_end, ERANGE);
}

/* ---- Past the destructors ------------------------------------------------ */

static void *early;

static void free_early_block(void *unused)
{
    struct pool *pool = tide_pool_of(early);

    (void)unused;
    TIDE_REQUIRE(tide_relaxed(&tide_relaxed(&pool->owner)->state) == HEAP_ORPHAN);
    tide_free(early);
}

static void begin_with_block(void *unused)
{
    begin_late(&early);
    early = allocate(SIZE);
    (void)unused;
}

Test(orphans, a_late_free_of_the_threads_own_block_reaches_the_orphan)
{
    size_t pools = pools_of_size(SIZE);

    late_function = free_early_block;
    cr_assert_eq(pthread_key_create(&late_key, run_late), 0);
    run_thread(begin_with_block, NULL);
    cr_assert_eq(pools_of_size(SIZE), pools + 1);
    give_back_all();
    cr_assert_eq(pools_of_size(SIZE), pools, "it was the pool's only block");
    tide_check_all();
}

/* Runs in the last of the rounds in which destructors may ask for another, so
 * that nothing sees the end of a heap that is born there. */
static void be_born_last(void *argument)
{
    static int rounds;
    pid_t *thread = argument;

    if (++rounds < PTHREAD_DESTRUCTOR_ITERATIONS) {
        TIDE_REQUIRE(pthread_setspecific(late_key, argument) == 0);
        return;
    }
    *thread = gettid();
    own_heap();
}

static void begin_without_heap(void *argument)
{
    TIDE_REQUIRE(pthread_setspecific(late_key, argument) == 0);
}

PROGRAM(lost_heap)
{
    pid_t thread = 0;
    struct heap *heap;
    size_t count;

    own_heap();
    count = count_heaps();
    TIDE_REQUIRE(pthread_key_create(&late_key, be_born_last) == 0);
    run_thread(begin_without_heap, &thread);
    TIDE_REQUIRE(thread != 0 && count_heaps() == count + 1);
    while (tgkill(getpid(), thread, 0) == 0)
        sched_yield(); /* joined, and not yet quite gone */
    run_thread(get_heap, &heap);
    TIDE_REQUIRE(count_heaps() == count + 1 && heap != own_heap());
    run_thread(get_heap, &heap);
    TIDE_REQUIRE(count_heaps() == count + 1);
}

Test(orphans, a_heap_born_too_late_to_be_an_orphan_is_adopted_all_the_same)
{
    assert_ended_well(run_program("lost_heap", NULL, NULL));
}
