/* heap/large.h - blocks of runs of slots: larger than pools hold, smaller than
 * half an arena */
#ifndef TIDE_HEAP_LARGE_H
#define TIDE_HEAP_LARGE_H

#include <stdbool.h>
#include <stddef.h>

struct tide_tenant;
struct pool;

/* Slots that a block of size bytes takes. */
unsigned tide_large_slots(size_t size);

/* A block of up to RUN_MAX bytes aligned to up to RUN_MAX, near where the
 * tenant takes its pools.  NULL and ENOMEM when there is no memory.  *is_zero, unless
 * NULL, becomes whether all of it is zero. */
void *tide_large_malloc(struct tide_tenant *tenant, size_t size, size_t alignment, bool *is_zero);

/* Resizes a live run where it is; false when that is not possible. */
bool tide_large_resize(struct pool *run, size_t size);

#endif
