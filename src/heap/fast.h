/* heap/fast.h - a block off and onto a heap's lists when nothing special happens
 *
 * Both are sections (heap.h): the heap is marked as in use, its door is looked at,
 * the mark is taken off.  A heap that someone has taken has tide_heap_none behind
 * its door, whose lists are empty and which owns nothing, so that the call misses.
 */
#ifndef TIDE_HEAP_FAST_H
#define TIDE_HEAP_FAST_H

#include "heap/heap.h"

/* The first block of a list, which is the nth word of a heap; NULL when it is
 * empty. */
static inline void *tide_heap_pop(unsigned nth)
{
    struct heap *heap = tide_heap_fast;
    struct block **list = (struct block **)tide_heap_begin(heap)->list + nth;
    struct block *block = *list;

    if (TIDE_LIKELY(block != NULL))
        *list = block->next;
    tide_heap_end(heap);
    return block;
}

/* In a section: frees a block of the heap's pool.  A current pool's blocks go back to
 * malloc's list; what they count down there means nothing, but for a cached class.
 * Whether left has reached zero: then the caller sees to the pool (tide_pool_settle), or
 * to the list (tide_heap_cut_list), in the same section. */
static inline bool tide_heap_push(struct pool *pool, struct block *block)
{
    struct free_list *list = pool->frees_to;

    block->next = list->freed;
    list->freed = block;
    return tide_owner_drops_to_zero(&list->left);
}

#endif
