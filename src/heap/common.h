/* heap/common.h - the one heap that threads share, under its lock */
#ifndef TIDE_HEAP_COMMON_H
#define TIDE_HEAP_COMMON_H

#include "heap/heap.h"

/* Before any other use. */
void tide_common_start(void);

/* The heap itself, to be looked at under its lock. */
struct heap *tide_common_heap(void);

/* In a fork child: a new one, as the old one can't be trusted. */
void tide_common_replace(void);

/* Locks it, for a thread that has no other heap to use just now. */
struct heap *tide_common_enter(void);
void tide_common_leave(void);

/* Under the lock, which it may give up meanwhile: a block; NULL when there is no
 * memory. */
struct block *tide_common_take(unsigned size_class);

/* Blocks of at least the class for a heap that has none left, linked; NULL when
 * it should take them from its own pools, or there is no memory. */
struct block *tide_common_share(struct heap *heap, unsigned size_class);

/* For fork. */
struct tide_lock *tide_common_lock(void);

#endif
