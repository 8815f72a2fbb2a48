/* heap/pools.h - a heap's pools: which list each is in, and what came back to them
 *
 * For a heap's owner in a section, who has taken it, or has the common one locked.
 */
#ifndef TIDE_HEAP_POOLS_H
#define TIDE_HEAP_POOLS_H

#include "base/due.h"
#include "heap/heap.h"
#include "pool/hollow.h"
#include "store/store.h"

/* Moves a pool to where its change of state puts it. */
void tide_heap_place(struct heap *heap, struct pool *pool, enum pool_change change);

/* Makes a pool (NULL: none) the current one, for a class whose list is empty. */
void tide_heap_make_current(struct heap *heap, unsigned size_class, struct pool *pool);

/* Makes the first used pool of the class the current one. */
void tide_heap_use_first(struct heap *heap, unsigned size_class);

/* What the class's list was filled from before becomes an ordinary pool. */
void tide_heap_set_current_aside(struct heap *heap, unsigned size_class);

/* An empty pool that the heap keeps, or NULL. */
struct pool *tide_heap_take_stocked(struct heap *heap, unsigned slots);

/* Empty pools that nobody owns, linked by next, go to their arenas.  No locks, outside
 * sections; keeps errno. */
void tide_heap_put_pools(struct pool *pools);

/* ---- What came back ---------------------------------------------------- */

/* Collects pools from the inboxes, so many at most.  Whether there may be more. */
bool tide_heap_drain(struct heap *heap, unsigned most);

static inline bool tide_heap_has_arrivals(const struct heap *heap)
{
    return tide_relaxed(&heap->inbox) || tide_relaxed(&heap->purged) || heap->arrived[0] ||
           heap->arrived[1];
}

/* Lets an orphan's returned blocks go, so that memory comes back though no
 * thread adopts it.  By any thread, outside sections of that heap. */
void tide_heap_visit_orphan(struct heap *heap);

/* ---- Where no thread sees to what is idle ------------------------------- */

/* Facts for upkeep/bound.h, and what it has found: the most that may be kept, when it
 * was last looked at (0: it is to be). */
extern TIDE_HIDDEN _Atomic size_t tide_bound_most;
extern TIDE_HIDDEN _Atomic size_t tide_bound_returned; /* bytes of pools that wait in inboxes */
extern TIDE_HIDDEN _Atomic size_t tide_bound_taken;    /* bytes taken that had no pages */

/* Bytes of slots and of the store's. */
static inline size_t tide_bound_kept(void)
{
    return (tide_relaxed(&tide_arena_idle_slots) << TIDE_SLOT_SHIFT) +
           tide_relaxed(&tide_store_dirty);
}

/* So many bytes are taken that have no pages.  Any locks. */
static inline void tide_bound_note_taken(size_t bytes)
{
    if (TIDE_UNLIKELY(tide_upkeep_is_by_calls()))
        atomic_fetch_add_explicit(&tide_bound_taken, bytes, memory_order_relaxed);
}

/* Sets the free pages of a used pool aside, which tells from now on when some of its
 * blocks came back.  False when there is no page that wasn't hollow before. */
bool tide_heap_set_pages_aside(struct heap *heap, struct pool *pool, struct tide_pages *pages);

#endif
