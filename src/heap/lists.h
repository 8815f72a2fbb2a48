/* heap/lists.h - how many blocks the list of a cached class has
 *
 * Blocks of a cached class go to their heap's list when their owner frees them, whatever
 * pool they are of: such pools have few, and would change their state every few frees.
 * The list's left counts frees down; at zero the list is measured, and when it is too long
 * all but its newest blocks go back to their pools.
 *
 * When the list gets too long twice without a refill, the program frees more than it
 * allocates: pools that are met then get their own lists, until they are current again.
 *
 * A list may have few blocks at first, and more each time it is too long though it was
 * refilled since: its program needs as many time and again.
 *
 * For a heap's owner in a section, or who has taken it.
 */
#ifndef TIDE_HEAP_LISTS_H
#define TIDE_HEAP_LISTS_H

#include "heap/heap.h"
#include "pool/pool.h"

enum { TIDE_LIST_LEAST = 4 }; /* blocks that a list may always have */

static inline uint32_t tide_heap_list_most(const struct heap *heap, unsigned size_class)
{
    return TIDE_LIST_LEAST * (heap->depth[size_class] + 1u);
}

/* Whether blocks of that pool are no foreign ones in the list of their class. */
static inline bool tide_heap_may_list(const struct heap *heap, const struct pool *pool)
{
    unsigned size_class = tide_relaxed(&pool->size_class);

    return tide_class_is_cached(size_class) ? tide_relaxed(&pool->owner) == heap
                                            : pool == heap->current[size_class];
}

/* The list was empty, and gets what there is. */
static inline void tide_heap_note_refill(struct heap *heap, unsigned size_class)
{
    if (tide_class_is_cached(size_class)) {
        tide_set_relaxed(&heap->list[size_class].left, tide_heap_list_most(heap, size_class));
        heap->ran_dry[size_class] = true;
    }
}

/* Of linked blocks the first ones that are of one pool, so many at most: the last of them;
 * *count becomes how many. */
struct block *tide_heap_last_of_run(struct block *first, uint32_t most, uint32_t *count);

/* Linked blocks that count as allocated go back to their pool, which is the heap's.  What
 * became of it; it may be nobody's then. */
enum pool_change tide_heap_put_back(struct heap *heap, struct pool *pool, struct block *first,
                                    struct block *last, uint32_t count);

/* A block of the pool was freed, and its class's list has left at zero.  A used pool that
 * has more free blocks by what went back, or NULL. */
struct pool *tide_heap_cut_list(struct heap *heap, struct pool *pool);

/* Owner: the heap needs memory for a class.  The blocks of another one's list go back, each
 * time the next one's, as their pools may be empty then. */
void tide_heap_give_list_back(struct heap *heap, unsigned size_class);

/* The class's list is empty, and as short as at first from now on. */
void tide_heap_make_shallow(struct heap *heap, unsigned size_class);

#endif
