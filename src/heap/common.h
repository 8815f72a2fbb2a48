/* heap/common.h - the one heap that threads share, under its lock */
#ifndef TIDE_HEAP_COMMON_H
#define TIDE_HEAP_COMMON_H

#include "heap/heap.h"

/* Before any other use: the heap, to be listed. */
struct heap *tide_common_start(void);

/* The heap itself, to be looked at under its lock. */
struct heap *tide_common_heap(void);

/* For a thread past its destructors. */
struct heap *tide_common_enter(void);
void tide_common_leave(void);

/* Blocks of at least the class for a heap that has none left, linked; NULL when
 * it should take them from its own pools, or there is no memory. */
struct block *tide_common_share(struct heap *heap, unsigned size_class);

/* Lets it collect what was returned, and give back all that can go; the latter,
 * if is_only_idle, not when something was taken since the last such call: then
 * true, as it waits for the next. */
bool tide_common_tidy(bool is_only_idle);

/* For fork. */
struct tide_lock *tide_common_lock(void);

#endif
