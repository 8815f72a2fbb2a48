/* heap/child.c - see child.h */
#include "heap/child.h"

#include "heap/common.h"
#include "heap/orphans.h"
#include "heap/pools.h"

/* The parent's other threads may have been anywhere in their heaps, and fork
 * does not copy all pages at one moment: what the child sees of those heaps
 * can't be trusted, so nothing is ever taken from them again.  Frees of their
 * blocks still go to their pools' returned lists.  Orphans were at rest
 * if all locks were taken and their doors are open.  What such a thread held on to
 * for good: its tenancies, slots that it was purging, and a pool of this thread's
 * that it was about to put in the inbox. */
static void retire_others(bool are_orphans)
{
    for (struct heap *heap = tide_heap_next(NULL); heap; heap = tide_heap_next(heap))
        if (heap != tide_heap_own() && !tide_heap_is_common(heap) &&
            (are_orphans || tide_relaxed(&heap->state) == HEAP_OWNED))
            tide_set_relaxed(&heap->state, HEAP_RETIRED);
}

static size_t bytes_arriving(const struct heap *heap)
{
    size_t bytes = 0;

    for (const struct pool *pool = tide_relaxed(&heap->inbox); pool; pool = pool->next_inbox)
        bytes += tide_pool_bytes(pool);
    for (const struct pool *pool = heap->arrived[0]; pool; pool = pool->next_inbox)
        bytes += tide_pool_bytes(pool);
    return bytes;
}

/* What waits for heaps that were retired waits for good. */
static void count_returned(void)
{
    size_t bytes = 0;

    for (struct heap *heap = tide_heap_next(NULL); heap; heap = tide_heap_next(heap))
        if (tide_relaxed(&heap->state) != HEAP_RETIRED)
            bytes += bytes_arriving(heap);
    tide_set_relaxed(&tide_bound_returned, bytes);
}

/* The one thread of a child has the process's number. */
static void settle(void)
{
    count_returned();
    tide_heap_note_first();
    tide_heap_note_owner();
}

/* Nobody but a thread that looked for a lost heap can have closed the door. */
void tide_heap_after_fork_in_child(void)
{
    struct heap *own = tide_heap_own();

    retire_others(false);
    tide_heap_drop_orphans_in_child(false, own != NULL);
    if (own)
        tide_heap_open(own);
    settle();
}

/* Who had taken this thread's heap may have been anywhere in it. */
void tide_heap_mend_in_child(void)
{
    struct heap *own = tide_heap_own();

    if (own && tide_relaxed(&own->door) != own) {
        tide_heap_lose_own();
        own = NULL;
    }
    retire_others(true);
    tide_common_replace();
    tide_heap_drop_orphans_in_child(true, own != NULL);
    if (own)
        own->tenant.arena = NULL;
    settle();
}
