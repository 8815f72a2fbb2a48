/* test_heap_orphans.c - heap/heap.h: how a thread with a heap ends; orphans,
 * visits and adoption */
#include "heap/heap.h"

#include <errno.h>

#include "heaps.h"
#include "heap/remote.h"
#include "os/records.h"

#define SIZE ((size_t)448)
static const unsigned size_class = SIZE / TIDE_ALIGNMENT;

static void *blocks[3][MOST_BLOCKS];

static void allocate_one(void *block)
{
    *(void **)block = allocate(SIZE);
}

Test(heap_orphans, a_heap_outlives_its_thread_and_is_adopted)
{
    struct heap *first, *second;

    run_thread(get_heap, &first);
    cr_assert_eq(tide_relaxed(&first->state), HEAP_ORPHAN);
    cr_assert(is_listed(first));
    run_thread(get_heap, &second);
    cr_assert_eq(first, second);
    cr_assert_eq(tide_relaxed(&first->state), HEAP_ORPHAN);
}

Test(heap_orphans, threads_one_after_another_share_one_heap)
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

Test(heap_orphans, orphans_are_each_adopted_by_one_thread)
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

Test(heap_orphans, an_adopted_heap_brings_its_pools_along)
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

static bool is_bare(const struct heap *heap)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        if (list_of(heap, c) || heap->current[c])
            return false;
    return !heap->stock && !heap->tenant.arena;
}

Test(heap_orphans, an_orphan_keeps_its_lists_and_pools)
{
    void *block, *next;
    struct heap *heap = make_orphan(&block);

    next = list_of(heap, size_class);
    cr_assert_eq(heap->current[size_class], tide_pool_of(block));
    cr_assert_not_null(next);
    run_thread(allocate_one, &block);
    cr_assert_eq(block, next);
    tide_api_check();
}

Test(heap_orphans, orphans_give_back_what_they_can_on_demand)
{
    void *block;
    struct heap *heap = make_orphan(&block);

    tide_heap_give_back_orphans();
    cr_assert(is_bare(heap));
    cr_assert(is_in_used_list(heap, tide_pool_of(block)));
    tide_heap_check(heap);
    tide_free(block);
    run_thread(get_heap, &heap);
    tide_api_check();
}

Test(heap_orphans, orphans_that_nobody_adopts_give_all_back)
{
    void *block;
    struct heap *heap = make_orphan(&block);

    cr_assert_eq(tide_heap_decay_orphans(), 1);
    cr_assert_not(is_bare(heap));
    cr_assert_eq(tide_heap_decay_orphans(), 0);
    cr_assert(is_bare(heap));
    run_thread(allocate_one, &block);
    cr_assert_eq(tide_relaxed(&tide_pool_of(block)->owner), heap);
    cr_assert_eq(tide_heap_decay_orphans(), 1);
    cr_assert_not(is_bare(heap), "it was adopted meanwhile");
    tide_api_check();
}

Test(heap_orphans, only_so_many_orphans_keep_their_pools)
{
    static struct peer peers[48];
    static void *kept[48];
    int bare = 0;

    for (int n = 0; n < 48; n++) {
        peer_start(&peers[n]);
        peer_do(&peers[n], allocate_one, &kept[n]);
    }
    for (int n = 0; n < 48; n++)
        peer_end(&peers[n]);
    for (int n = 0; n < 48; n++)
        bare += is_bare(tide_relaxed(&tide_pool_of(kept[n])->owner));
    cr_assert(0 < bare && bare < 48, "%d of 48 orphans are bare", bare);
    free_all(kept, 48);
    tide_api_check();
}

static void fill_three(void *unused)
{
    (void)unused;
    fill_pool(SIZE, blocks[0]);
    fill_pool(SIZE, blocks[1]);
    fill_pool(SIZE, blocks[2]);
}

static void check_frees_to_an_orphan(int64_t stash)
{
    size_t pools = pools_of_size(SIZE);

    tide_options.stash = stash;
    run_thread(fill_three, NULL);
    cr_assert_eq(pools_of_size(SIZE), pools + 3);
    for (int n = 0; n < 3; n++)
        free_all(blocks[n], capacity_of(SIZE));
    tide_heap_send_foreign(own_heap(), size_class, 0);
    cr_assert_eq(pools_of_size(SIZE), pools + 1); /* the current one, for who adopts the heap */
    tide_heap_give_back_orphans();
    cr_assert_eq(pools_of_size(SIZE), pools);
    tide_api_check();
}

Test(heap_orphans, an_orphans_pools_go_when_their_blocks_are_freed)
{
    check_frees_to_an_orphan(0);
}

Test(heap_orphans, an_orphans_pools_go_when_their_blocks_are_freed_in_chains)
{
    check_frees_to_an_orphan(1 << 20);
}

Test(heap_orphans, a_thread_that_ends_takes_in_what_was_returned_before)
{
    struct pool *pool;
    struct heap *heap;
    struct peer peer;

    peer_start(&peer);
    peer_do(&peer, fill_three, NULL);
    pool = tide_pool_of(blocks[0][0]);
    heap = tide_relaxed(&pool->owner);
    tide_options.stash = 0;
    tide_free(blocks[0][0]);
    cr_assert_eq(tide_relaxed(&heap->inbox), pool);
    cr_assert_eq(tide_pool_returned_count(pool), 1);
    peer_end(&peer);
    cr_assert_null(tide_relaxed(&heap->inbox));
    cr_assert_eq(tide_pool_returned_count(pool), 0);
    cr_assert_eq(tide_pool_freed_count(pool), 1);
    tide_heap_check(heap);
}

Test(heap_orphans, only_orphans_are_visited)
{
    struct pool *pool;
    struct heap *heap;
    struct peer peer;

    peer_start(&peer);
    peer_do(&peer, fill_three, NULL);
    pool = tide_pool_of(blocks[0][0]);
    heap = tide_relaxed(&pool->owner);
    tide_options.stash = 0;
    tide_free(blocks[0][0]);
    tide_heap_visit_orphan(heap);
    cr_assert_eq(tide_relaxed(&heap->inbox), pool);
    peer_end(&peer);
}

static void free_foreign(void *other)
{
    tide_free(other);
    TIDE_REQUIRE(own_heap()->foreign[size_class] == 1);
}

Test(heap_orphans, a_thread_that_ends_sends_foreign_blocks_home)
{
    void *block = allocate(SIZE);
    struct pool *pool = tide_pool_of(block);
    uint32_t before = tide_pool_returned_count(pool);

    run_thread(free_foreign, block);
    cr_assert_eq(tide_pool_returned_count(pool), before + 1);
    tide_heap_drain_inbox(own_heap());
    cr_assert_eq(tide_pool_returned_count(pool), 0);
}

static void end_with_errno(void *unused)
{
    (void)unused;
    allocate(SIZE);
    errno = ERANGE;
}

static pthread_key_t last_key;
static int errno_at_end;

static void get_errno(void *unused)
{
    (void)unused;
    errno_at_end = errno;
}

static void end_watched(void *unused)
{
    TIDE_REQUIRE(pthread_setspecific(last_key, &last_key) == 0);
    end_with_errno(unused);
}

Test(heap_orphans, the_end_of_a_thread_keeps_errno)
{
    cr_assert_eq(pthread_key_create(&last_key, get_errno), 0);
    run_thread(end_watched, NULL);
    cr_assert_eq(errno_at_end, ERANGE);
}
