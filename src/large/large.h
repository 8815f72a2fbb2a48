/* large/large.h - blocks that are too large for pools: each a range of the store
 *
 * They are whole pages, with sizes spaced 8 per doubling, so that one that was freed
 * suits others of about its size.
 */
#ifndef TIDE_LARGE_LARGE_H
#define TIDE_LARGE_LARGE_H

#include <stdbool.h>
#include <stddef.h>

struct tide_range;

/* The bytes of a block of at least size bytes, up to PTRDIFF_MAX. */
size_t tide_large_good_size(size_t size);

/* A block; *fresh becomes how many of its bytes have no pages: if all, it is zero, which
 * it rather is if that is wanted.  NULL and ENOMEM when there is no memory.  Any thread. */
void *tide_large_malloc(size_t size, size_t alignment, bool is_zero_wanted, size_t *fresh);

/* Of a live block. */
void tide_large_free(struct tide_range *block);

/* Resizes a live block, where it is or by moving its pages.  NULL when neither is
 * possible; then nothing has changed. */
void *tide_large_resize(struct tide_range *block, size_t size);

/* Makes all of a live block zero. */
void tide_large_clear(const struct tide_range *block);

#endif
