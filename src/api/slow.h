/* api/slow.h - malloc and free when the fast paths miss, and their variants */
#ifndef TIDE_API_SLOW_H
#define TIDE_API_SLOW_H

#include <stdbool.h>
#include <stddef.h>

/* As tide_malloc, for any size; *is_zero becomes whether the block is known to
 * be zero. */
void *tide_api_malloc_any(size_t size, bool *is_zero);

/* As tide_aligned_alloc for a power of two. */
void *tide_api_malloc_aligned(size_t size, size_t alignment);

/* As tide_free of a block that is not NULL, with every check that is switched
 * on; a mistake is reported as call's. */
void tide_api_free_checked(void *address, const char *call);

/* Bytes that tide_malloc(size) would give; size when that is too much. */
size_t tide_api_good_size(size_t size);

#endif
