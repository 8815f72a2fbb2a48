/* test_heap.c - heap/heap.h: birth, giving back, the check */
#include "heap/heap.h"

#include <errno.h>

#include "../machine/trees.h"
#include "arena/nodes.h"
#include "heaps.h"
#include "machine/cpu.h"
#include "os/map.h"
#include "os/records.h"

#define SIZE ((size_t)240)
static const unsigned size_class = SIZE / TIDE_ALIGNMENT;

static void *blocks[3][MOST_BLOCKS];

static void allocate_one(void *block)
{
    *(void **)block = allocate(SIZE);
}

/* ---- Birth -------------------------------------------------------------- */

Test(heap, the_allocator_has_started)
{
    cr_assert(tide_api_make_ready(NULL));
    cr_assert(tide_api_make_ready(environ));
}

Test(heap, a_thread_has_one_heap_of_its_own)
{
    struct heap *mine = own_heap(), *first, *again, *second;
    struct peer one, other;

    peer_start(&one);
    peer_start(&other);
    peer_do(&one, get_heap, &first);
    peer_do(&other, get_heap, &second);
    peer_do(&one, get_heap, &again);
    cr_assert(mine != first && first != second && second != mine);
    cr_assert_eq(first, again);
    cr_assert_eq(own_heap(), mine);
    cr_assert_eq(tide_relaxed(&first->state), HEAP_OWNED);
    cr_assert(is_listed(mine) && is_listed(first) && is_listed(second));
    peer_end(&one);
    peer_end(&other);
}

#define CPU_MAX "/sys/fs/cgroup/service/worker/cpu.max"

/* Of one CPU's shard, once a second thread has a heap. */
PROGRAM(shards_by_quota)
{
    struct heap *heap;

    begin_v2();
    own_heap();
    write_file(CPU_MAX, "70000 100000\n");
    TIDE_REQUIRE(tide_arena_shard_for_cpu(1) == 1 % tide_machine_cpu_count());
    run_thread(get_heap, &heap);
    TIDE_REQUIRE(heap->tenant.shard == 0);
    for (unsigned cpu = 0; cpu < 64; cpu++)
        TIDE_REQUIRE(tide_arena_shard_for_cpu(cpu) == 0);
    end_tree();
}

PROGRAM(shards_by_setting)
{
    struct heap *heap;

    begin_v2();
    own_heap();
    write_file(CPU_MAX, "70000 100000\n");
    run_thread(get_heap, &heap);
    for (unsigned cpu = 0; cpu < 64; cpu++)
        TIDE_REQUIRE(tide_arena_shard_for_cpu(cpu) == cpu % 4);
    end_tree();
}

Test(heap, shards_follow_the_cpu_quota_unless_they_are_set)
{
    assert_ended_well(run_program("shards_by_quota", NULL, NULL));
    assert_ended_well(run_program("shards_by_setting", "TIDEPOOL_SHARDS=4", NULL));
}

/* Counted are those that have a thread; the more, the smaller are batches. */
IN_NEW_THREAD(heap, the_depot_is_fitted_to_the_number_of_heaps, NULL)
{
    static struct peer peers[40];
    struct heap *heap = own_heap();
    unsigned before = tide_heap_count();

    TIDE_REQUIRE(before + 1 == count_heaps() && batch_of(SIZE) == 4096 / SIZE);
    for (int n = 0; n < 40; n++) {
        peer_start(&peers[n]);
        peer_do(&peers[n], get_heap, &heap);
    }
    TIDE_REQUIRE(tide_heap_count() == before + 40 && count_heaps() == before + 41);
    TIDE_REQUIRE(batch_of(SIZE) == 2048 / SIZE); /* of 32 heaps */
    for (int n = 0; n < 40; n++)
        peer_end(&peers[n]);
    run_thread(get_heap, &heap);
    TIDE_REQUIRE(tide_heap_count() == before && batch_of(SIZE) == 4096 / SIZE);
}

IN_NEW_THREAD(heap, a_new_heap_is_empty, NULL)
{
    struct heap *heap = own_heap();

    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        TIDE_REQUIRE(!list_of(heap, c) && !heap->current[c] && !heap->used[c]);
        TIDE_REQUIRE(heap->foreign[c] == 0 && heap->shares[c] == 0 && !heap->surplus[c].first);
    }
    TIDE_REQUIRE(heap->outbox.bytes == 0);
    TIDE_REQUIRE(!heap->stock && heap->stock_count == 0 && !heap->tenant.arena);
    TIDE_REQUIRE(!tide_relaxed(&heap->inbox) && tide_relaxed(&heap->state) == HEAP_OWNED);
    TIDE_REQUIRE(tide_heap_fast == heap);
    tide_heap_check(heap);
}

IN_NEW_THREAD(heap, with_checks_on_the_fast_path_has_no_heap, "TIDEPOOL_CHECK=on")
{
    struct heap *heap = own_heap();

    TIDE_REQUIRE(tide_heap_fast != heap);
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        TIDE_REQUIRE(!list_of(tide_heap_fast, c));
}

IN_NEW_THREAD(heap, without_memory_no_heap_is_born_until_there_is, NULL)
{
    TIDE_REQUIRE(tide_os_record(64 * 1024)); /* nothing is left of the chunk */
    tide_os_fail_map_every(1);
    errno = 0;
    TIDE_REQUIRE(!tide_api_enter() && errno == ENOMEM);
    errno = 0;
    TIDE_REQUIRE(!tide_malloc(SIZE) && errno == ENOMEM);
    tide_os_fail_map_every(0);
    TIDE_REQUIRE(allocate(SIZE) && own_heap());
}

/* ---- Giving back -------------------------------------------------------- */

IN_NEW_THREAD(heap, giving_back_leaves_nothing_but_pools_in_use, NULL)
{
    struct heap *heap = own_heap();
    static void *kept[TIDE_CLASSES];

    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        void *freed = allocate(tide_class_bytes[c]);

        kept[c] = c % 2 ? allocate(tide_class_bytes[c]) : NULL;
        tide_free(freed);
    }
    tide_idle_give_back_own();
    tide_heap_check(heap);
    TIDE_REQUIRE(!heap->stock && heap->stock_count == 0 && !heap->tenant.arena);
    for (unsigned c = 0; c < TIDE_CLASSES; c++) {
        TIDE_REQUIRE(!list_of(heap, c) && !heap->current[c]);
        TIDE_REQUIRE(!heap->used[c] == !kept[c]);
        tide_free(kept[c]);
    }
    tide_idle_give_back_own();
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        TIDE_REQUIRE(!list_of(heap, c) && !heap->used[c]);
    TIDE_REQUIRE(allocate(SIZE));
}

IN_NEW_THREAD(heap, giving_back_keeps_a_full_pool_full, NULL)
{
    struct pool *pool = fill_pool(SIZE, blocks[0]);
    struct heap *heap = own_heap();

    tide_idle_give_back_own();
    TIDE_REQUIRE(tide_relaxed(&pool->state) == POOL_FULL && !heap->used[size_class]);
    tide_heap_check(heap);
    free_all(blocks[0], sixteenth_of(SIZE));
    TIDE_REQUIRE(is_in_used_list(heap, pool));
    tide_heap_check(heap);
}

IN_NEW_THREAD(heap, giving_back_and_going_on_lose_no_block, NULL)
{
    size_t pools = pools_of_size(SIZE);

    for (int round = 0; round < 50; round++) {
        uint32_t count = (uint32_t)(round * 37) % (3 * capacity_of(SIZE)) + 1;

        for (uint32_t n = 0; n < count; n++)
            *(uint32_t *)(blocks[0][n] = allocate(SIZE)) = n;
        tide_idle_give_back_own();
        for (uint32_t n = 0; n < count; n++)
            TIDE_REQUIRE(*(uint32_t *)blocks[0][n] == n);
        free_all(blocks[0], count);
        tide_idle_give_back_own();
        TIDE_REQUIRE(pools_of_size(SIZE) == pools);
        tide_heap_check(own_heap());
    }
}

/* ---- The check itself --------------------------------------------------- */

static void check_wrong_count(void)
{
    struct heap *heap = own_heap();
    struct peer peer;
    void *block;

    peer_start(&peer);
    peer_do(&peer, allocate_one, &block);
    tide_free(block);
    heap->foreign[size_class] = 0;
    tide_heap_check(heap);
}

static void check_wrong_stock(void)
{
    struct heap *heap = own_heap();

    heap->stock_count++;
    tide_heap_check(heap);
}

static void check_used_current(void)
{
    struct heap *heap = own_heap();

    heap->used[size_class] = heap->current[size_class];
    tide_heap_check(heap);
}

/* A list may have larger blocks, not smaller ones. */
static void check_wrong_class(void)
{
    struct heap *heap = own_heap();

    heap->foreign[size_class + 1] = 1;
    heap->list[size_class + 1].freed = heap->list[size_class].freed;
    tide_heap_check(heap);
}

static void check_larger_blocks(void)
{
    struct heap *heap = own_heap();

    heap->foreign[size_class - 1] = 1;
    heap->list[size_class - 1].freed = heap->list[size_class].freed;
    tide_heap_check(heap);
}

static void check_stray_block(void)
{
    struct heap *heap = own_heap();

    heap->list[size_class].freed = (struct block *)((char *)blocks[0][0] + 16);
    tide_heap_check(heap);
}

static void check_full_in_used(void)
{
    struct heap *heap = own_heap();

    tide_set_relaxed(&heap->current[size_class]->state, POOL_FULL);
    tide_heap_check(heap);
}

Test(heap, check_sees_what_is_broken)
{
    blocks[0][0] = allocate(SIZE);
    tide_heap_check(own_heap());
    assert_broken(run_apart(check_wrong_count));
    assert_broken(run_apart(check_wrong_stock));
    assert_broken(run_apart(check_used_current));
    assert_broken(run_apart(check_stray_block));
    assert_broken(run_apart(check_full_in_used));
    if (list_of(own_heap(), size_class)) {
        assert_broken(run_apart(check_wrong_class));
        assert_ended_well(run_apart(check_larger_blocks));
    }
}
