/* pool/pool.h - blocks in a pool: carving, freeing, and changes of state
 *
 * Only the heap that owns a pool calls these, but where it says any thread.
 *
 * left counts down frees.  A used pool reaches zero when it is empty.  A full
 * one is used again only after a sixteenth of its blocks came back: until then
 * left holds that smaller count and held the rest.  So a free tests one thing.
 * A used pool that is watched likewise tells when some of its blocks came back.
 *
 * A heap takes blocks from a pool in bulk (a freed list whole, or a page of
 * untouched blocks) and from then on they count as allocated: malloc changes
 * nothing in a pool.  Nor does a free that goes to the heap's list, as it does while the
 * pool is the current one or, as a rule, of a cached class.
 */
#ifndef TIDE_POOL_POOL_H
#define TIDE_POOL_POOL_H

#include <stdbool.h>

#include "pool/counts.h"
#include "pool/size_class.h"

enum pool_change {
    POOL_UNCHANGED,
    POOL_IS_USABLE,  /* was full, is used */
    POOL_IS_EMPTIER, /* was watched, is so no more */
    POOL_IS_EMPTY,   /* no block is allocated */
};

static inline bool tide_pool_has_more_free(enum pool_change change)
{
    return change == POOL_IS_USABLE || change == POOL_IS_EMPTIER;
}

/* Makes a run an unused pool of the class. */
void tide_pool_open(struct pool *pool, unsigned size_class, struct heap *owner);

/* Makes a pool without allocated blocks nobody's; its slots can go back. */
void tide_pool_close(struct pool *pool);

/* Blocks of a hollow page, else untouched blocks up to the end of a page, at
 * least one, in a list in order of address; NULL when none is left. */
struct block *tide_pool_carve(struct pool *pool);

/* All freed blocks as a list, NULL when there are none. */
struct block *tide_pool_take_freed(struct pool *pool);

/* The pool has too few free blocks to be used: it is full until more came back. */
void tide_pool_fill(struct pool *pool);

/* From now on a used pool tells when so many blocks came back, or one; it has as many
 * allocated. */
void tide_pool_watch(struct pool *pool, uint32_t count);

/* Enters that count more blocks were freed.  With 0, just settles left having
 * reached zero. */
enum pool_change tide_pool_settle(struct pool *pool, uint32_t count);

/* A block of the pool starts there and has been carved.  The number of the
 * block is found without a division: inverse is 2^31 by the block's words. */
static inline bool tide_pool_has_block(const struct pool *pool, const void *block)
{
    uint32_t distance = (uint32_t)((const char *)block - tide_pool_start(pool));
    uint32_t number = (uint32_t)((uint64_t)(distance / TIDE_WORD_BYTES) * pool->inverse >> 31);

    return number * pool->block_bytes == distance && number < tide_relaxed(&pool->carved);
}

/* Frees go to list from now on: the pool's own, or its heap's. */
void tide_pool_route(struct pool *pool, struct free_list *list);

/* Walks the pool and asserts its invariants. */
void tide_pool_check(const struct pool *pool);

#endif
