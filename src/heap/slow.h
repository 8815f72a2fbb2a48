/* heap/slow.h - malloc and free when the fast paths miss, and their variants */
#ifndef TIDE_HEAP_SLOW_H
#define TIDE_HEAP_SLOW_H

#include <stdbool.h>
#include <stddef.h>

#include "base/due.h"

/* As tide_malloc, for any size; *is_zero becomes whether the block is known to
 * be zero. */
void *tide_heap_malloc_any(size_t size, bool *is_zero);

/* As tide_aligned_alloc for a power of two. */
void *tide_heap_malloc_aligned(size_t size, size_t alignment);

/* As tide_free of a block that is not NULL, with every check that is switched
 * on; a mistake is reported as call's. */
void tide_heap_free_checked(void *address, const char *call);

void tide_heap_do_all_due(void);

/* Does what was left to a thread that holds no lock and uses no heap.  May call
 * malloc and the program's function.  Keeps errno. */
static inline void tide_heap_do_due(void)
{
    if (TIDE_UNLIKELY(tide_relaxed(&tide_something_is_due)))
        tide_heap_do_all_due();
}

/* Bytes that tide_malloc(size) would give; size when that is too much. */
size_t tide_heap_good_size(size_t size);

#endif
