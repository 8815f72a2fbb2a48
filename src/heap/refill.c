/* heap/refill.c - see refill.h */
#include "heap/refill.h"

#include <errno.h>

#include "heap/lists.h"
#include "heap/pools.h"
#include "os/map.h"

enum { MOST_DRAINED = 64 }; /* pools from the inboxes at a refill */

static struct block *take_freed(struct heap *heap, unsigned size_class)
{
    struct pool *pool = heap->current[size_class], *used = heap->used[size_class];

    if (!pool || !pool->freed || !tide_pool_is_worth_using(pool)) {
        if (!used || !used->freed)
            return NULL;
        tide_heap_use_first(heap, size_class);
        pool = used;
    }
    return tide_pool_take_freed(pool);
}

/* Hollow pages have to be faulted in again. */
static struct block *carve(struct pool *pool)
{
    if (tide_relaxed(&pool->hollow) > 0)
        tide_bound_note_taken(tide_os_page_bytes);
    return tide_pool_carve(pool);
}

static struct block *take_untouched(struct heap *heap, unsigned size_class)
{
    struct pool *pool = heap->current[size_class];
    struct block *blocks = pool ? carve(pool) : NULL;

    if (blocks || !heap->used[size_class])
        return blocks;
    tide_heap_use_first(heap, size_class);
    return carve(heap->current[size_class]);
}

/* Whoever uses another's heap, or the common one, makes no system call. */
static struct pool *take_fetched(struct aside *aside, unsigned slots)
{
    struct pool *pool = aside->fetched;

    if (!pool || pool->slots != slots)
        return NULL;
    aside->fetched = NULL;
    return pool;
}

static struct pool *take_run(struct heap *heap, unsigned slots)
{
    int saved_errno = errno;
    struct pool *pool = tide_arena_take_run(&heap->tenant, slots);

    errno = saved_errno;
    return pool;
}

static struct block *take_new(struct heap *heap, unsigned size_class)
{
    unsigned slots = tide_class_slots(size_class);
    struct pool *pool = tide_heap_take_stocked(heap, slots);

    if (!pool && !heap->aside) {
        tide_heap_give_list_back(heap, size_class);
        pool = tide_heap_take_stocked(heap, slots);
    }
    if (!pool)
        pool = heap->aside ? take_fetched(heap->aside, slots) : take_run(heap, slots);
    if (!pool)
        return NULL;
    if (pool->fresh > 0)
        tide_bound_note_taken((size_t)pool->fresh << TIDE_SLOT_SHIFT);
    tide_pool_open(pool, size_class, heap);
    tide_heap_set_current_aside(heap, size_class);
    tide_heap_make_current(heap, size_class, pool);
    return tide_pool_carve(pool);
}

struct block *tide_heap_take_used(struct heap *heap, unsigned size_class, bool *is_own)
{
    struct block *blocks = tide_heap_take_surplus(heap, size_class);

    TIDE_ASSERT(!heap->list[size_class].freed);
    tide_owner_add(&heap->moves, 1);
    *is_own = false;
    if (TIDE_UNLIKELY(tide_heap_has_arrivals(heap)))
        tide_heap_drain(heap, MOST_DRAINED);
    if (blocks)
        return blocks;
    blocks = take_freed(heap, size_class);
    *is_own = blocks != NULL;
    return blocks ? blocks : tide_depot_take(heap->tenant.shard, size_class);
}

struct block *tide_heap_take_unused(struct heap *heap, unsigned size_class)
{
    struct block *blocks = take_untouched(heap, size_class);

    return blocks ? blocks : take_new(heap, size_class);
}

/* What they are of is to be looked at when it is idle. */
struct block *tide_heap_fill_list(struct heap *heap, unsigned size_class, struct block *blocks,
                                  bool is_own)
{
    tide_ring();
    tide_heap_note_refill(heap, size_class);
    heap->foreign[size_class] = !is_own;
    if (blocks)
        heap->list[size_class].freed = blocks->next;
    return blocks;
}
