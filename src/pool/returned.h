/* pool/returned.h - blocks of a pool that other threads freed
 *
 * One word holds the list of returned blocks, its length, and whether the pool
 * is in its owner's inbox.  A chain is pushed with one compare-and-swap; the
 * owner takes everything with one exchange and splices it without walking,
 * because the word has the list's tail as well as its head.
 */
#ifndef TIDE_POOL_RETURNED_H
#define TIDE_POOL_RETURNED_H

#include <stdbool.h>

#include "pool/pool.h"

/* Blocks of one pool, linked from first to last. */
struct chain {
    struct pool *pool;
    struct block *first, *last;
    uint32_t count;
};

/* Any thread.  Whether the caller must put the pool in its owner's inbox. */
bool tide_pool_return(const struct chain *chain);

/* Any thread: pages that were set aside have been purged.  Whether the caller must put
 * the pool among those with purged pages of its owner. */
bool tide_pool_return_pages(struct pool *pool, uint64_t pages);

/* Owner.  Takes these back; the pool is no longer among those. */
enum pool_change tide_pool_collect_pages(struct pool *pool);

/* Owner.  Takes back what was returned; the pool is no longer in the inbox. */
enum pool_change tide_pool_collect(struct pool *pool);

/* Any thread: blocks that were returned and not collected. */
uint32_t tide_pool_returned_count(const struct pool *pool);

#endif
