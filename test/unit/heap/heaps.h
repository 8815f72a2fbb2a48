/* test/unit/heap/heaps.h - for the tests of heap/: a heap that nobody else uses
 *
 * IN_NEW_THREAD(suite, name, setting) is a test that runs on a new thread of a
 * new process (started with the setting, or NULL): its heap is as it was made, and
 * stays so when pools are counted, as no liburcu is loaded, which allocates.
 */
#ifndef TIDE_TEST_HEAPS_H
#define TIDE_TEST_HEAPS_H

#include <limits.h>
#include <sched.h>
#include <tidepool/malloc.h>

#include "../unit.h"
#include "api/enter.h"
#include "api/fork.h"
#include "base/options.h"
#include "check/invariants.h"
#include "heap/check.h"
#include "heap/common.h"
#include "heap/fast.h"
#include "heap/home.h"
#include "heap/lists.h"
#include "heap/orphans.h"
#include "heap/pools.h"
#include "heap/remote.h"
#include "observe/stats.h"
#include "pool/returned.h"
#include "upkeep/idle.h"
#include "upkeep/look.h"
#include "upkeep/thread.h"

#define IN_NEW_THREAD(suite, name, setting)                                                   \
    static void thread_##name(void *unused);                                                  \
    PROGRAM(name)                                                                             \
    {                                                                                         \
        run_thread(thread_##name, NULL);                                                      \
        tide_check_all();                                                                     \
    }                                                                                         \
    Test(suite, name)                                                                         \
    {                                                                                         \
        assert_ended_well(run_program(#name, "TIDEPOOL_RCU=off", setting));                   \
    }                                                                                         \
    static void thread_##name(MAY_BE_UNUSED void *unused)

/* For tests that count what is allocated: no thread starts meanwhile. */
MAY_BE_UNUSED static void leave_maintenance_out(void)
{
    atomic_store(&tide_upkeep_state, TIDE_UPKEEP_SETTLED);
}

/* The calling thread's heap, which is not the common one. */
MAY_BE_UNUSED static struct heap *own_heap(void)
{
    struct heap *heap;

    tide_fork_check();
    heap = tide_api_enter();
    TIDE_REQUIRE(heap && !tide_heap_is_common(heap));
    tide_heap_leave(heap);
    return heap;
}

/* As a thread's job: its heap, which is its own. */
MAY_BE_UNUSED static void get_heap(void *heap)
{
    *(struct heap **)heap = own_heap();
    TIDE_REQUIRE(tide_relaxed(&(*(struct heap **)heap)->state) == HEAP_OWNED);
}

MAY_BE_UNUSED static size_t count_heaps(void)
{
    size_t count = 0;

    for (struct heap *heap = tide_heap_next(NULL); heap; heap = tide_heap_next(heap))
        count++;
    return count;
}

MAY_BE_UNUSED static bool is_listed(const struct heap *wanted)
{
    for (struct heap *heap = tide_heap_next(NULL); heap; heap = tide_heap_next(heap))
        if (heap == wanted)
            return true;
    return false;
}

/* Lets so many blocks of a size be a batch. */
MAY_BE_UNUSED static void set_batch(size_t size, uint8_t count)
{
    tide_set_relaxed(&tide_depot_batch[tide_class_of(size)], count);
}

/* What the thread freed for others, and what is in the depot, goes home. */
MAY_BE_UNUSED static void send_foreign_home(void)
{
    tide_heap_send_all_foreign(own_heap());
    tide_heap_empty_depot(false);
}

MAY_BE_UNUSED static void free_home(void *block)
{
    tide_free(block);
    send_foreign_home();
}

/* Makes so many heaps that the common one serves all.  Their threads live on. */
MAY_BE_UNUSED static void make_many_heaps(void)
{
    enum { MANY = 9 };
    static struct peer peers[MANY];
    struct heap *heap;

    for (int n = 0; n < MANY; n++) {
        peer_start(&peers[n]);
        peer_do(&peers[n], get_heap, &heap);
    }
}

MAY_BE_UNUSED static struct heap *common_heap(void)
{
    struct heap *heap = tide_heap_next(NULL);

    while (!tide_heap_is_common(heap))
        heap = tide_heap_next(heap);
    return heap;
}

MAY_BE_UNUSED static bool is_of_common_heap(const void *block)
{
    return tide_heap_is_common(tide_relaxed(&tide_pool_of(block)->owner));
}

/* A block of the common heap, whichever size. */
MAY_BE_UNUSED static void *allocate_shared(size_t size)
{
    void *block;

    tide_common_enter();
    block = tide_common_take(tide_class_of(size));
    tide_common_leave();
    TIDE_REQUIRE(block && is_of_common_heap(block));
    return block;
}

/* The blocks that malloc takes from. */
MAY_BE_UNUSED static struct block *list_of(const struct heap *heap, unsigned size_class)
{
    return heap->list[size_class].freed;
}

MAY_BE_UNUSED static uint32_t length_of(const struct block *block)
{
    uint32_t length = 0;

    for (; block; block = block->next)
        length++;
    return length;
}

MAY_BE_UNUSED static void *allocate(size_t size)
{
    void *block = tide_malloc(size);

    TIDE_REQUIRE(block);
    return block;
}

MAY_BE_UNUSED static uint32_t capacity_of(size_t size)
{
    unsigned c = tide_class_of(size);

    return (uint32_t)((tide_class_slots(c) << TIDE_SLOT_SHIFT) / tide_class_bytes[c]);
}

/* Frees after which a full pool is worth using. */
MAY_BE_UNUSED static uint32_t sixteenth_of(size_t size)
{
    return capacity_of(size) < 16 ? 1 : capacity_of(size) / 16;
}

/* Frees that go to malloc's list, or fill the surplus. */
MAY_BE_UNUSED static uint32_t batch_of(size_t size)
{
    return tide_relaxed(&tide_depot_batch[tide_class_of(size)]);
}

/* Allocated blocks of a pool, with those in heaps' lists. */
MAY_BE_UNUSED static uint32_t allocated_in(const struct pool *pool)
{
    return tide_relaxed(&pool->left) + tide_relaxed(&pool->held);
}

/* Batches of the size in the depot. */
MAY_BE_UNUSED static uint32_t stored_of(size_t size)
{
    return tide_relaxed(&tide_depot_stored[tide_class_of(size)]);
}

/* Fills a new pool with blocks of a size whose lists are empty. */
MAY_BE_UNUSED static struct pool *fill_pool(size_t size, void **blocks)
{
    uint32_t capacity = capacity_of(size);

    for (uint32_t n = 0; n < capacity; n++)
        blocks[n] = allocate(size);
    for (uint32_t n = 1; n < capacity; n++)
        TIDE_REQUIRE(tide_pool_of(blocks[n]) == tide_pool_of(blocks[0]));
    return tide_pool_of(blocks[0]);
}

MAY_BE_UNUSED static void free_all(void **blocks, size_t count)
{
    while (count > 0)
        tide_free(blocks[--count]);
}

/* To its pool, past the list that blocks of more than SMALL_MAX are cached in. */
MAY_BE_UNUSED static void put_back(void *block)
{
    tide_heap_put_back(own_heap(), tide_pool_of(block), block, block, 1);
}

MAY_BE_UNUSED static void put_all_back(void **blocks, size_t count)
{
    while (count > 0)
        put_back(blocks[--count]);
}

MAY_BE_UNUSED static bool is_in_used_list(const struct heap *heap, const struct pool *pool)
{
    for (const struct pool *used = heap->used[pool->size_class]; used; used = used->next)
        if (used == pool)
            return true;
    return false;
}

/* A batch of blocks that are nobody's meanwhile. */
MAY_BE_UNUSED static struct batch batch_from(void **blocks, uint32_t count)
{
    struct batch batch = { .count = count };

    while (count-- > 0) {
        struct block *block = blocks[count];

        block->next = batch.first;
        batch.first = block;
    }
    return batch;
}

/* Whether it has given back all that can go. */
MAY_BE_UNUSED static bool is_bare(const struct heap *heap)
{
    for (unsigned c = 0; c < TIDE_CLASSES; c++)
        if (list_of(heap, c) || heap->current[c])
            return false;
    return !heap->stock && !heap->wide && !heap->tenant.arena;
}

/* What the heaps keep whose threads are outside them goes, and what the calling one's
 * does.  Bytes of free pages of used pools. */
MAY_BE_UNUSED static size_t give_back_all(void)
{
    size_t returned;

    tide_lock(tide_upkeep_lock());
    returned = tide_idle_give_back_all(false);
    tide_unlock(tide_upkeep_lock());
    return returned;
}

/* How many heaps wait for the next look. */
MAY_BE_UNUSED static size_t look(void)
{
    size_t left;

    tide_lock(tide_upkeep_lock());
    left = tide_idle_look();
    tide_unlock(tide_upkeep_lock());
    return left;
}

/* The first look sees that it moves no more, the second gives all back. */
MAY_BE_UNUSED static void look_twice(void)
{
    look();
    look();
}

/* Whether it may have something to give back. */
MAY_BE_UNUSED static bool has_moved(const struct heap *heap)
{
    return tide_relaxed(&heap->moves) != tide_relaxed(&heap->moves_rested);
}

/* Pools of the size in the whole program, and allocated blocks in them. */
MAY_BE_UNUSED static size_t pools_of_size(size_t size)
{
    static struct stats stats;

    tide_stats_gather(&stats);
    return stats.classes[tide_class_of(size)].pools;
}

enum { MOST_BLOCKS = TIDE_SLOT_BYTES / TIDE_WORD_BYTES }; /* in one pool */

/* ---- Threads past their destructors ------------------------------------- */

/* The allocator's own key is older than this, so its destructor has run before. */
MAY_BE_UNUSED static pthread_key_t late_key;
static void (*late_function)(void *);

MAY_BE_UNUSED static void run_late(void *argument)
{
    late_function(argument);
}

MAY_BE_UNUSED static void begin_late(void *argument)
{
    TIDE_REQUIRE(pthread_setspecific(late_key, argument) == 0);
    own_heap();
}

/* Runs function, which has an argument, past the destructors of a thread that has
 * had a heap. */
MAY_BE_UNUSED static void do_late(void (*function)(void *), void *argument)
{
    TIDE_REQUIRE(argument); /* or the key's destructor isn't called */
    late_function = function;
    TIDE_REQUIRE(pthread_key_create(&late_key, run_late) == 0);
    run_thread(begin_late, argument);
    tide_check_all();
}

#endif
