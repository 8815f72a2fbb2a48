/* heap/refill.h - where malloc's next blocks come from
 *
 * In this order: the surplus of foreign blocks, freed blocks of the current pool
 * and of another used one, what other threads left, untouched blocks of those
 * pools, an empty pool from the stock (or that another class's list leaves empty), a
 * new one.  So memory that was used before comes first.  For a class whose list is
 * empty; errno stays.
 */
#ifndef TIDE_HEAP_REFILL_H
#define TIDE_HEAP_REFILL_H

#include "heap/heap.h"

/* Blocks, linked, that were used before; NULL when there are none.  *is_own becomes
 * whether all are the current pool's. */
struct block *tide_heap_take_used(struct heap *heap, unsigned size_class, bool *is_own);

/* Untouched ones of the current pool; NULL when there is no memory. */
struct block *tide_heap_take_unused(struct heap *heap, unsigned size_class);

/* They become the class's list, but for the first, which is returned; NULL if there are
 * none. */
struct block *tide_heap_fill_list(struct heap *heap, unsigned size_class, struct block *blocks,
                                  bool is_own);

#endif
