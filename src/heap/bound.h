/* heap/bound.h - how much free memory stays resident in a program that calls no more
 *
 * The thread `tidepool` gives back what has waited for TIDEPOOL_DECAY_MS.  A program
 * without it may go quiet after any free, and keeps what it has then for good.  So
 * there the frees on the slow path see to it that this is never much: when more is free
 * and resident than the bound, they give back the surplus, a bounded step at a time.
 *
 * The bound is 1.5 MiB or a fortieth of the program's peak, if that is more, and less
 * than half of that part with several heaps; and what the program was seen to need again:
 * what is given back and taken anew within TIDEPOOL_DECAY_MS raises it, and what is not
 * used for ten times as long lowers it.
 *
 * Counted are free slots with pages and the store's dirty ranges; pages that are likely to
 * be free in the calling thread's used pools (heap->loose); and what is on its way home to
 * other heaps.  A used pool tells now and then that blocks came back to it, and is looked
 * at then, if too much is kept.
 */
#ifndef TIDE_HEAP_BOUND_H
#define TIDE_HEAP_BOUND_H

#include <stddef.h>

#include "heap/heap.h"
#include "heap/maintenance.h"

/* Bytes of blocks that others returned and no owner has collected. */
extern TIDE_HIDDEN _Atomic size_t tide_bound_returned;

/* The bound, when it was last looked at; 0: it is to be. */
extern TIDE_HIDDEN _Atomic size_t tide_bound_most;

void tide_bound_check_slow(size_t freed);
void tide_bound_note_taken_slow(size_t bytes);

/* Whether there is no thread that does it. */
static inline bool tide_bound_is_on(void)
{
    return tide_relaxed(&tide_maintenance_state) == TIDE_MAINTENANCE_DUE;
}

/* Bytes of slots and of the store's. */
static inline size_t tide_bound_kept(void)
{
    return (tide_relaxed(&tide_arena_idle_slots) << TIDE_SLOT_SHIFT) +
           tide_relaxed(&tide_store_dirty);
}

/* At the end of a free on its slow path: no locks, no section.  So many bytes of a large
 * block were freed. */
static inline void tide_bound_check(size_t freed)
{
    if (TIDE_UNLIKELY(tide_bound_is_on()) && tide_bound_kept() > tide_relaxed(&tide_bound_most))
        tide_bound_check_slow(freed);
}

bool tide_bound_set_pages_aside_slow(struct heap *heap, struct pool *pool,
                                     struct tide_pages *pages);

/* In a section, when a used pool has told that blocks came back: whether some of its
 * pages were set aside, to be purged at its end. */
static inline bool tide_bound_set_pages_aside(struct heap *heap, struct pool *pool,
                                              struct tide_pages *pages)
{
    return TIDE_UNLIKELY(tide_bound_is_on()) &&
           tide_bound_kept() + tide_relaxed(&heap->loose) > tide_relaxed(&tide_bound_most) &&
           tide_bound_set_pages_aside_slow(heap, pool, pages);
}

/* The owner, outside a section. */
void tide_bound_purge(struct heap *heap, const struct tide_pages *pages);

/* The same when blocks were sent home. */
static inline void tide_bound_check_returned(void)
{
    if (TIDE_UNLIKELY(tide_bound_is_on()) &&
        tide_relaxed(&tide_bound_returned) > tide_relaxed(&tide_bound_most) / 4)
        tide_bound_check_slow(0);
}

/* So many bytes are taken that have no pages.  Any locks. */
static inline void tide_bound_note_taken(size_t bytes)
{
    if (TIDE_UNLIKELY(tide_bound_is_on()))
        tide_bound_note_taken_slow(bytes);
}

#endif
