/* heap/refill.c - where malloc's next blocks come from
 *
 * In this order: the list's rest, the current pool, another used pool, an empty
 * pool from the stock, a new one.
 */
#include <errno.h>

#include "base/fatal.h"
#include "base/options.h"
#include "heap/heap.h"
#include "heap/maintenance.h"
#include "pool/returned.h"

static void link_used(struct heap *heap, struct pool *pool)
{
    struct pool **first = &heap->used[pool->size_class];

    pool->prev = NULL;
    pool->next = *first;
    if (pool->next)
        pool->next->prev = pool;
    *first = pool;
}

static void unlink_used(struct heap *heap, struct pool *pool)
{
    if (pool->next)
        pool->next->prev = pool->prev;
    if (pool->prev)
        pool->prev->next = pool->next;
    else
        heap->used[pool->size_class] = pool->next;
    pool->next = pool->prev = NULL;
}

static void drop_pool(struct heap *heap, struct pool *pool)
{
    tide_pool_close(pool);
    if (pool->slots == 1 && heap->stock_count < tide_options.pool_stock &&
        tide_relaxed(&heap->state) == HEAP_OWNED) {
        pool->next = heap->stock;
        heap->stock = pool;
        heap->stock_count++;
    } else {
        tide_arena_put_run(pool);
        tide_maintenance_note();
    }
}

void tide_heap_place(struct heap *heap, struct pool *pool, enum pool_change change)
{
    if (change == POOL_UNCHANGED || heap->current[pool->size_class] == pool)
        return; /* the current pool stays, even empty: malloc comes back to it */
    if (change == POOL_IS_USABLE) {
        link_used(heap, pool);
        return;
    }
    if (tide_relaxed(&pool->state) == POOL_USED)
        unlink_used(heap, pool);
    drop_pool(heap, pool);
}

void tide_heap_drain_inbox(struct heap *heap)
{
    struct pool *pool, *next;

    if (!tide_relaxed(&heap->inbox))
        return;
    /* Pairs with the release in remote.c: each pool's next_inbox is seen. */
    pool = atomic_exchange_explicit(&heap->inbox, NULL, memory_order_acquire);
    for (; pool; pool = next) {
        next = pool->next_inbox; /* collecting lets others queue the pool again */
        tide_heap_place(heap, pool, tide_pool_collect(pool));
    }
}

void tide_heap_make_current(struct heap *heap, unsigned size_class, struct pool *pool)
{
    struct pool *before = heap->current[size_class];

    TIDE_ASSERT(!heap->list[size_class].freed && !heap->rest[size_class]);
    if (before)
        tide_pool_route(before, &before->own);
    if (pool)
        tide_pool_route(pool, &heap->list[size_class]);
    heap->current[size_class] = pool;
}

static struct block *take_rest(struct heap *heap, unsigned size_class)
{
    struct block *rest = heap->rest[size_class];

    heap->rest[size_class] = NULL;
    return rest;
}

/* Freed blocks of the current pool, else untouched ones.  A pool without
 * enough of either is full and no longer current. */
static struct block *take_current(struct heap *heap, unsigned size_class)
{
    struct pool *pool = heap->current[size_class];
    struct block *blocks;

    if (!pool)
        return NULL;
    if (TIDE_DEBUG)
        tide_pool_check(pool);
    if (!tide_pool_is_worth_using(pool)) {
        tide_pool_fill(pool);
        tide_heap_make_current(heap, size_class, NULL);
        return NULL;
    }
    blocks = tide_pool_take_freed(pool);
    return blocks ? blocks : tide_pool_carve(pool);
}

static struct block *take_used(struct heap *heap, unsigned size_class)
{
    struct pool *pool = heap->used[size_class];

    if (!pool)
        return NULL;
    unlink_used(heap, pool);
    tide_heap_make_current(heap, size_class, pool);
    return take_current(heap, size_class);
}

static struct block *take_new(struct heap *heap, unsigned size_class)
{
    unsigned slots = tide_class_slots(size_class);
    struct pool *pool = heap->stock;
    int saved_errno;

    if (slots == 1 && pool) {
        heap->stock = pool->next;
        heap->stock_count--;
    } else {
        saved_errno = errno;
        pool = tide_arena_take_run(&heap->tenant, slots, 1);
        errno = saved_errno;
        if (!pool)
            return NULL;
    }
    tide_pool_open(pool, size_class, heap);
    tide_heap_make_current(heap, size_class, pool);
    return tide_pool_carve(pool);
}

void *tide_heap_refill(struct heap *heap, unsigned size_class)
{
    struct block *blocks;

    TIDE_ASSERT(!heap->list[size_class].freed);
    heap->foreign[size_class] = 0;
    tide_heap_drain_inbox(heap);
    blocks = take_rest(heap, size_class);
    if (!blocks)
        blocks = take_current(heap, size_class);
    if (!blocks)
        blocks = take_used(heap, size_class);
    if (!blocks)
        blocks = take_new(heap, size_class);
    if (blocks)
        heap->list[size_class].freed = blocks->next;
    return blocks;
}
