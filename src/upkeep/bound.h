/* upkeep/bound.h - how much free memory stays resident in a program that calls no more
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
 * other heaps; not what heaps have in their lists (heap/lists.h).  A used pool tells now and
 * then that blocks came back to it, and is looked at then, if too much is kept.
 */
#ifndef TIDE_UPKEEP_BOUND_H
#define TIDE_UPKEEP_BOUND_H

#include <stddef.h>

#include "heap/pools.h"

void tide_bound_check_slow(size_t freed);

/* Learns from what was taken since the last call. */
void tide_bound_learn(void);

/* At the end of a free on its slow path: no locks, no section.  So many bytes of a large
 * block were freed. */
static inline void tide_bound_check(size_t freed)
{
    if (TIDE_UNLIKELY(tide_upkeep_is_by_calls()) &&
        tide_bound_kept() > tide_relaxed(&tide_bound_most))
        tide_bound_check_slow(freed);
}

bool tide_bound_set_pages_aside_slow(struct heap *heap, struct pool *pool,
                                     struct tide_pages *pages);

/* In a section, when a used pool has told that blocks came back: whether some of its
 * pages were set aside, to be purged at its end. */
static inline bool tide_bound_set_pages_aside(struct heap *heap, struct pool *pool,
                                              struct tide_pages *pages)
{
    return TIDE_UNLIKELY(tide_upkeep_is_by_calls()) &&
           tide_bound_kept() + tide_relaxed(&heap->loose) > tide_relaxed(&tide_bound_most) &&
           tide_bound_set_pages_aside_slow(heap, pool, pages);
}

/* The owner, outside a section. */
void tide_bound_purge(struct heap *heap, const struct tide_pages *pages);

/* The same when blocks were sent home. */
static inline void tide_bound_check_returned(void)
{
    if (TIDE_UNLIKELY(tide_upkeep_is_by_calls()) &&
        tide_relaxed(&tide_bound_returned) > tide_relaxed(&tide_bound_most) / 4)
        tide_bound_check_slow(0);
}

#endif
