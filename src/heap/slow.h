/* heap/slow.h - a block of a class whose list is empty, or may be */
#ifndef TIDE_HEAP_SLOW_H
#define TIDE_HEAP_SLOW_H

#include "heap/heap.h"

/* A block for the class, and a new list if there is none.  NULL when there is no memory;
 * errno stays.  In a section, or with the common heap locked. */
struct block *tide_heap_take(struct heap *heap, unsigned size_class);

/* The same when the list is empty, for a heap that is not the common one. */
struct block *tide_heap_refill(struct heap *heap, unsigned size_class);

#endif
