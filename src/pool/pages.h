/* pool/pages.h - where blocks lie among a pool's pages */
#ifndef TIDE_POOL_PAGES_H
#define TIDE_POOL_PAGES_H

#include "arena/layout.h"
#include "os/map.h"

static inline unsigned tide_pages_of_pool(const struct pool *pool)
{
    return (unsigned)(tide_pool_bytes(pool) >> tide_os_page_shift);
}

/* A bit for each page that some of so many bytes at a distance from the pool's
 * start lie on. */
static inline uint64_t tide_pages_at(size_t distance, size_t bytes)
{
    unsigned first = (unsigned)(distance >> tide_os_page_shift);
    unsigned last = (unsigned)((distance + bytes - 1) >> tide_os_page_shift);

    return tide_bit_run(first, last - first + 1);
}

static inline uint64_t tide_pages_of(const struct pool *pool, const struct block *block)
{
    return tide_pages_at((size_t)((const char *)block - tide_pool_start(pool)), pool->block_bytes);
}

#endif
