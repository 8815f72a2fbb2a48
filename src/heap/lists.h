/* heap/lists.h - how many blocks a list of a gathered class has
 *
 * Blocks of a gathered class go to their heap's list when their owner frees them,
 * whatever pool they are of: such pools have few, and would change their state at every
 * second free.  The list's left counts frees down; at zero the list is measured, and
 * what is too much goes back to its pools, the oldest blocks first.
 *
 * A list may have few blocks at first.  One that is too long though it was filled from
 * pools since the last cut is let grow: its program needs as many time and again.
 *
 * As for pools.h.
 */
#ifndef TIDE_HEAP_LISTS_H
#define TIDE_HEAP_LISTS_H

#include "heap/heap.h"
#include "pool/pool.h"

enum { TIDE_LIST_LEAST = 4 }; /* blocks that a list may always have */

static inline uint32_t tide_list_most(const struct heap *heap, unsigned size_class)
{
    return TIDE_LIST_LEAST * (heap->depth[size_class] + 1u);
}

/* Whether the list of its class may have blocks of that pool without counting them as
 * foreign. */
static inline bool tide_heap_is_listed(const struct heap *heap, const struct pool *pool)
{
    unsigned size_class = tide_relaxed(&pool->size_class);

    return tide_class_is_gathered(size_class) ? tide_relaxed(&pool->owner) == heap
                                              : pool == heap->current[size_class];
}

/* The list, which was empty, is filled. */
static inline void tide_heap_allow(struct heap *heap, unsigned size_class)
{
    if (tide_class_is_gathered(size_class)) {
        tide_set_relaxed(&heap->list[size_class].left, tide_list_most(heap, size_class));
        heap->ran_dry[size_class] = true;
    }
}

/* Linked blocks that count as allocated go back to their pool, which is the heap's.  What
 * became of it; it may be nobody's then. */
enum pool_change tide_heap_put_back(struct heap *heap, struct pool *pool, struct block *first,
                                    struct block *last, uint32_t count);

/* The list's left is zero.  A used pool that has more free blocks by what went back, or
 * NULL. */
struct pool *tide_heap_cut_list(struct heap *heap, unsigned size_class);

/* Puts the blocks of one class's list back, each time another's, but not this one's: the
 * heap needs memory, and their pools may be empty then. */
void tide_heap_cut_other_list(struct heap *heap, unsigned size_class);

/* From now on the class's list is as short as at first. */
void tide_heap_make_shallow(struct heap *heap, unsigned size_class);

#endif
