/* heap/pools.c - see pools.h */
#include "heap/pools.h"

#include <errno.h>
#include <limits.h>

#include "base/options.h"
#include "os/map.h"
#include "pool/guess.h"

enum { LEAST_WATCHED = 4 }; /* blocks that come back to a pool before it tells */

_Atomic size_t tide_bound_most, tide_bound_returned, tide_bound_taken;

/* loose is the sum of the used pools' likely. */
static void count_likely(struct heap *heap, struct pool *pool, uint32_t likely)
{
    size_t unit = tide_os_page_bytes / 16;

    tide_set_relaxed(&heap->loose,
                     tide_relaxed(&heap->loose) + likely * unit - pool->likely * unit);
    pool->likely = (uint16_t)likely;
}

/* ---- The used pools: the first's prev is the last ---------------------- */

/* Those with freed blocks come first, as these are taken before untouched ones. */
static void link_used(struct heap *heap, struct pool *pool)
{
    struct pool **first = &heap->used[pool->size_class], *next = *first;

    heap->used_slots += pool->slots;

    pool->prev = next ? next->prev : pool;
    pool->next = pool->freed ? next : NULL;
    if (next && !pool->freed)
        next->prev->next = pool;
    else
        *first = pool;
    if (next)
        next->prev = pool;
}

static void unlink_used(struct heap *heap, struct pool *pool)
{
    struct pool **first = &heap->used[pool->size_class];

    heap->used_slots -= pool->slots;
    count_likely(heap, pool, 0);
    if (heap->tidying.cursor == pool)
        heap->tidying.cursor = pool->next;
    if (*first == pool)
        *first = pool->next;
    else
        pool->prev->next = pool->next;
    if (pool->next)
        pool->next->prev = pool->prev;
    else if (*first)
        (*first)->prev = pool->prev;
    pool->next = pool->prev = NULL;
}

/* ---- How much is free in them -------------------------------------------- */

/* A quarter of what is allocated; where no thread looks at the heap, less. */
static uint32_t blocks_to_watch_for(const struct pool *pool)
{
    uint32_t quarter = tide_pool_allocated(pool) / 4, some = tide_pool_blocks_needed(pool);

    some = some > LEAST_WATCHED ? some : LEAST_WATCHED;
    return tide_upkeep_is_by_calls() && some < quarter ? some : quarter;
}

/* Those with freed blocks come first. */
bool tide_heap_set_pages_aside(struct heap *heap, struct pool *pool, struct tide_pages *pages)
{
    bool had_freed = pool->freed != NULL, is_found = tide_pool_set_aside(pool, pages);

    count_likely(heap, pool, 0);
    tide_pool_watch(pool, blocks_to_watch_for(pool));
    if (had_freed && !pool->freed) {
        unlink_used(heap, pool);
        link_used(heap, pool);
    }
    return is_found;
}

/* Without a thread that looks at the heap, used pools are watched from the first, if
 * they are so many that what comes back to them may be too much. */
static void watch_used(struct heap *heap, struct pool *pool)
{
    if (TIDE_UNLIKELY(tide_upkeep_is_by_calls()) &&
        (size_t)heap->used_slots * TIDE_SLOT_BYTES + tide_bound_kept() >
            tide_relaxed(&tide_bound_most)) {
        count_likely(heap, pool, tide_pool_guess(pool));
        tide_pool_watch(pool, blocks_to_watch_for(pool));
    }
}

/* ---- Where pools go ---------------------------------------------------- */

/* Who has taken the heap, or has the common one locked, sees to the pool later. */
static void drop_pool(struct heap *heap, struct pool *pool)
{
    tide_pool_close(pool);
    if (heap->aside) {
        pool->next = heap->aside->emptied;
        heap->aside->emptied = pool;
    } else if (pool->slots == 1 && heap->stock_count < tide_options.pool_stock) {
        pool->next = heap->stock;
        heap->stock = pool;
        heap->stock_count++;
    } else if (pool->slots > 1 && !heap->wide && tide_options.pool_stock > 0) {
        heap->wide = pool;
    } else {
        tide_arena_put_run(pool);
        tide_ring();
    }
}

void tide_heap_place(struct heap *heap, struct pool *pool, enum pool_change change)
{
    if (change == POOL_UNCHANGED || heap->current[pool->size_class] == pool)
        return; /* the current pool stays, even empty: malloc comes back to it */
    tide_owner_add(&heap->moves, 1);
    if (change == POOL_IS_USABLE)
        link_used(heap, pool);
    if (change != POOL_IS_EMPTY) {
        watch_used(heap, pool);
        return;
    }
    if (tide_relaxed(&pool->state) == POOL_USED)
        unlink_used(heap, pool);
    drop_pool(heap, pool);
}

struct pool *tide_heap_take_stocked(struct heap *heap, unsigned slots)
{
    struct pool *pool = slots == 1 ? heap->stock : heap->wide;

    if (!pool)
        return NULL;
    if (slots == 1) {
        heap->stock = pool->next;
        heap->stock_count--;
    } else {
        heap->wide = NULL;
    }
    return pool;
}

void tide_heap_put_pools(struct pool *pools)
{
    int saved_errno = errno;
    struct pool *next;

    for (; pools; pools = next) {
        next = pools->next;
        tide_arena_put_run(pools);
        tide_ring();
    }
    errno = saved_errno;
}

/* ---- The current pool --------------------------------------------------- */

void tide_heap_make_current(struct heap *heap, unsigned size_class, struct pool *pool)
{
    struct pool *before = heap->current[size_class];

    TIDE_ASSERT(!heap->list[size_class].freed);
    if (before && !tide_class_is_cached(size_class)) /* that one's blocks go on to the list */
        tide_pool_route(before, &before->own);
    if (pool) {
        tide_pool_route(pool, &heap->list[size_class]);
        pool->unused_since = 0;
    }
    heap->current[size_class] = pool;
}

/* What the list was filled from before is full, or waits behind the pools that
 * have freed blocks for its untouched ones to be needed. */
void tide_heap_set_current_aside(struct heap *heap, unsigned size_class)
{
    struct pool *pool = heap->current[size_class];

    if (!pool)
        return;
    if (TIDE_DEBUG)
        tide_pool_check(pool);
    tide_heap_make_current(heap, size_class, NULL);
    if (tide_pool_is_worth_using(pool)) {
        link_used(heap, pool);
        watch_used(heap, pool);
    } else {
        tide_pool_fill(pool);
    }
}

void tide_heap_use_first(struct heap *heap, unsigned size_class)
{
    struct pool *pool = heap->used[size_class];

    tide_heap_set_current_aside(heap, size_class);
    unlink_used(heap, pool);
    tide_heap_make_current(heap, size_class, pool);
}

/* ---- What came back ---------------------------------------------------- */

enum { RETURNED, PURGED }; /* indices of arrived */

static struct pool *take_all(struct pool *_Atomic *inbox)
{
    /* Pairs with the releases in home.c: each pool's link is seen. */
    return tide_relaxed(inbox) ? atomic_exchange_explicit(inbox, NULL, memory_order_acquire) : NULL;
}

/* Takes the next pool out of the list, as collecting lets others queue it again. */
static void collect_returned(struct heap *heap)
{
    struct pool *pool = heap->arrived[RETURNED];

    heap->arrived[RETURNED] = pool->next_inbox;
    atomic_fetch_sub_explicit(&tide_bound_returned, tide_pool_bytes(pool), memory_order_relaxed);
    tide_heap_place(heap, pool, tide_pool_collect(pool));
}

static void collect_purged(struct heap *heap)
{
    struct pool *pool = heap->arrived[PURGED];

    heap->arrived[PURGED] = pool->next_purged;
    tide_heap_place(heap, pool, tide_pool_collect_pages(pool));
}

bool tide_heap_drain(struct heap *heap, unsigned most)
{
    while (tide_heap_has_arrivals(heap)) {
        if (most-- == 0)
            return true;
        if (!heap->arrived[RETURNED])
            heap->arrived[RETURNED] = take_all(&heap->inbox);
        if (heap->arrived[RETURNED]) {
            collect_returned(heap);
            continue;
        }
        if (!heap->arrived[PURGED])
            heap->arrived[PURGED] = take_all(&heap->purged);
        if (heap->arrived[PURGED])
            collect_purged(heap);
    }
    return false;
}

/* Its thread was in its section when the state was set, so nobody is any more who
 * sees it left. */
void tide_heap_visit_orphan(struct heap *heap)
{
    struct aside aside = { .emptied = NULL };

    if (!tide_heap_close(heap))
        return; /* what came waits for who has taken it, or the next look */
    if (tide_acquire(&heap->state) == HEAP_ORPHAN && tide_heap_is_left(heap)) {
        heap->aside = &aside;
        tide_heap_drain(heap, UINT_MAX);
        tide_owner_add(&heap->moves, 1);
        heap->aside = NULL;
    }
    tide_heap_open(heap);
    tide_heap_put_pools(aside.emptied);
}
