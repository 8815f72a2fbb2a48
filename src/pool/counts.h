/* pool/counts.h - what a pool's counts say; any thread, near */
#ifndef TIDE_POOL_COUNTS_H
#define TIDE_POOL_COUNTS_H

#include "arena/layout.h"

/* Blocks that are allocated, or came back and weren't collected. */
static inline uint32_t tide_pool_allocated(const struct pool *pool)
{
    return tide_relaxed(&pool->left) + tide_relaxed(&pool->held);
}

/* Blocks that were freed and not taken again. */
static inline uint32_t tide_pool_freed_count(const struct pool *pool)
{
    return (uint32_t)tide_relaxed(&pool->carved) - tide_relaxed(&pool->hollow) -
           tide_relaxed(&pool->left) - tide_relaxed(&pool->held);
}

/* The same and what is on hollow pages. */
static inline uint32_t tide_pool_free_count(const struct pool *pool)
{
    return tide_pool_freed_count(pool) + tide_relaxed(&pool->hollow);
}

/* Blocks that must be free for a full pool to be used again. */
static inline uint32_t tide_pool_blocks_needed(const struct pool *pool)
{
    return pool->capacity < 16 ? 1 : pool->capacity / 16u;
}

/* Whether enough blocks are free or untouched for the pool to be used. */
static inline bool tide_pool_is_worth_using(const struct pool *pool)
{
    return tide_relaxed(&pool->carved) < pool->capacity || tide_relaxed(&pool->hollow) > 0 ||
           tide_pool_freed_count(pool) >= tide_pool_blocks_needed(pool);
}

#endif
