/* pool/guess.c - see guess.h */
#include "pool/guess.h"

#include "pool/counts.h"
#include "pool/pages.h"

enum { RECENT = 3 }; /* blocks freed last that are looked at */

/* Whether these lie on hardly more pages than they must. */
static bool is_swept(const struct pool *pool)
{
    const struct block *block = pool->freed;
    uint64_t pages = 0;
    unsigned count = 0;

    for (; block && count < RECENT; block = block->next, count++)
        pages |= tide_pages_of(pool, block);
    return tide_bit_count(pages) <= 2 + count * (size_t)pool->block_bytes / tide_os_page_bytes;
}

/* With so many free blocks, a page is free if all of its blocks are. */
static uint32_t guess(const struct pool *pool, uint32_t free, unsigned blocks_of_page)
{
    uint64_t share = ((uint64_t)free << 16) / pool->capacity, all = (uint64_t)1 << 16;

    for (unsigned n = blocks_of_page; n != 0; n >>= 1) {
        if (n & 1)
            all = all * share >> 16;
        share = share * share >> 16;
    }
    return (uint32_t)(16 * tide_pages_of_pool(pool) * all >> 16);
}

uint32_t tide_pool_guess(const struct pool *pool)
{
    uint32_t now = tide_pool_free_count(pool), before = pool->free_at_look;
    unsigned blocks = (unsigned)(tide_os_page_bytes / pool->block_bytes);

    if (now <= before)
        return 0;
    if (blocks <= 1 || is_swept(pool))
        blocks = 1;
    return guess(pool, now, blocks) - guess(pool, before, blocks);
}
