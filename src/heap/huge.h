/* heap/huge.h - blocks too large for an arena, each in a mapping of its own
 *
 *   start (aligned to an arena's size)
 *   +---------------+----------------------------------+
 *   | record's page | block                            |
 *   +---------------+----------------------------------+
 *
 * An alignment above a page moves the block up, and one of an arena's size or
 * more makes it start on such a boundary, with its record in the page before.
 * Freed mappings wait in a cache bounded in bytes, the oldest going first.  One
 * that is too small for a request is made to fit, which keeps its pages; one
 * that is too large serves it as it is.  What live blocks have too much (more
 * than a quarter) counts as cached when that is decided.
 */
#ifndef TIDE_HEAP_HUGE_H
#define TIDE_HEAP_HUGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bits.h"

struct tide_lock;

struct huge {
    char *start;             /* of the mapping; constant while it is mapped */
    size_t bytes;            /* of the mapping; the block's owner */
    char *block;             /* constant while it is mapped */
    bool is_idle;            /* under the huge lock: cached at the last tide_huge_decay already */
    unsigned short node;     /* constant: the memory node that it was made for */
    bool is_cached;          /* under the huge lock, read by any thread with the block */
    size_t slack;            /* under the huge lock: bytes more than were asked for */
    struct huge *next, *prev; /* under the huge lock: all blocks, or the cache */
};

struct huge_totals {
    size_t blocks, bytes, slack_bytes, cached_blocks, cached_bytes;
};

/* Of the cache; likewise. */
extern TIDE_HIDDEN _Atomic size_t tide_huge_cached;

extern TIDE_HIDDEN _Atomic size_t tide_huge_mapped; /* bytes at the last malloc; any thread */

void tide_huge_start(void);

/* A block of size bytes.  NULL and ENOMEM when there is no memory.  *is_zero,
 * unless NULL, becomes whether all of it is zero.  Any thread. */
void *tide_huge_malloc(size_t size, size_t alignment, bool *is_zero);

/* Frees a live huge block. */
void tide_huge_free(void *block);

/* Resizes a live huge block, where it is or by moving its pages.  NULL when
 * neither is possible; then nothing has changed. */
void *tide_huge_resize(void *block, size_t size);

/* Whether address lies in a huge block, live or cached, or its record.  Any
 * address; takes time for each huge block. */
bool tide_huge_owns(const void *address);

/* The record of the huge block that address lies in or near; NULL: none.  Only
 * for addresses that nobody else is freeing. */
struct huge *tide_huge_at(const void *address);

static inline size_t tide_huge_usable(const struct huge *huge)
{
    return huge->bytes - (size_t)(huge->block - huge->start);
}

/* Unmaps cached mappings until at most keep bytes are cached.  Bytes returned. */
size_t tide_huge_trim(size_t keep);

/* Unmaps what was cached at the last call already.  Bytes that are left. */
size_t tide_huge_decay(void);

struct huge_totals tide_huge_totals(void);

/* Its own lock, for fork and for its counts. */
struct tide_lock *tide_huge_lock(void);

/* In a fork child that the lock was not taken for: lists all anew, as the address map
 * has them. */
void tide_huge_mend_in_child(void);

#endif
