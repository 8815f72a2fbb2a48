/* pool/hollow.c - see hollow.h */
#include "pool/hollow.h"

#include "arena/huge_pages.h"
#include "base/fatal.h"
#include "os/map.h"

enum { PAGES = 64, LEAST_PAGE = 4096 };
_Static_assert(TIDE_WIDE_SLOTS * TIDE_SLOT_BYTES / LEAST_PAGE <= PAGES, "a bit for each page");

/* How many blocks that may be in use lie on each page of a pool. */
struct usage {
    uint16_t blocks[PAGES];
};
_Static_assert(LEAST_PAGE <= UINT16_MAX, "so many blocks lie on a page at most");

/* A range of a pool's blocks by number. */
struct range {
    uint32_t from, to;
};

static unsigned page_of(const struct pool *pool, uint32_t block)
{
    return (unsigned)((size_t)block * pool->block_bytes / tide_os_page_bytes);
}

static uint32_t number_of(const struct pool *pool, const struct block *block)
{
    return (uint32_t)((const char *)block - tide_pool_start(pool)) / pool->block_bytes;
}

/* The blocks that start before a page. */
static uint32_t blocks_before(const struct pool *pool, unsigned page)
{
    uint32_t bytes = pool->block_bytes, carved = tide_relaxed(&pool->carved);
    uint32_t before = (uint32_t)((page * tide_os_page_bytes + bytes - 1) / bytes);

    return before < carved ? before : carved;
}

/* The carved blocks that start in a page. */
static struct range blocks_in(const struct pool *pool, unsigned page)
{
    return (struct range){ blocks_before(pool, page), blocks_before(pool, page + 1) };
}

static bool is_in(uint64_t pages, unsigned page)
{
    return pages >> page & 1;
}

/* ---- Which pages are free ---------------------------------------------- */

static void cross_off(const struct pool *pool, struct usage *usage, uint32_t block)
{
    size_t first = (size_t)block * pool->block_bytes, last = first + pool->block_bytes - 1;

    for (size_t page = first / tide_os_page_bytes; page <= last / tide_os_page_bytes; page++)
        usage->blocks[page]--;
}

/* All carved blocks. */
static void enter_all(const struct pool *pool, struct usage *usage)
{
    size_t end = (size_t)tide_relaxed(&pool->carved) * pool->block_bytes;

    for (unsigned page = 0; page * tide_os_page_bytes < end; page++) {
        struct range range = blocks_in(pool, page);
        size_t start = page * tide_os_page_bytes;
        bool is_begun = (size_t)range.from * pool->block_bytes > start;

        usage->blocks[page] = (uint16_t)(range.to - range.from + is_begun);
    }
}

/* Pages on which no block is in use. */
static uint64_t free_pages(const struct pool *pool)
{
    struct usage usage = { .blocks = { 0 } };
    uint64_t free = 0;

    enter_all(pool, &usage);
    for (const struct block *block = pool->freed; block; block = block->next)
        cross_off(pool, &usage, number_of(pool, block));
    for (uint64_t rest = pool->hollow_pages; rest != 0; rest &= rest - 1) {
        struct range range = blocks_in(pool, tide_lowest_bit(rest));

        for (; range.from < range.to; range.from++)
            cross_off(pool, &usage, range.from);
    }
    for (unsigned page = 0; page < tide_pool_bytes(pool) / tide_os_page_bytes; page++)
        free |= (uint64_t)(usage.blocks[page] == 0) << page;
    return free;
}

/* ---- Giving them back -------------------------------------------------- */

/* The pages before a distance from the pool's start, up to which it is carved. */
static uint64_t pages_before(size_t distance)
{
    unsigned count = (unsigned)(distance / tide_os_page_bytes);

    return count == 0 ? 0 : tide_bit_run(0, count);
}

/* Takes the freed blocks that start in the pages out of the list. */
static void unlink_blocks(struct pool *pool, uint64_t pages)
{
    struct block **link = &pool->freed, *block;
    uint16_t count = 0;

    while ((block = *link)) {
        unsigned page = page_of(pool, number_of(pool, block));

        if (is_in(pages, page)) {
            *link = block->next;
            count++;
        } else {
            link = &block->next;
        }
    }
    tide_set_relaxed(&pool->hollow, (uint16_t)(tide_relaxed(&pool->hollow) + count));
}

size_t tide_pool_hollow(struct pool *pool)
{
    size_t end = (size_t)tide_relaxed(&pool->carved) * pool->block_bytes;
    uint64_t before = pool->hollow_pages, pages, whole;
    uint16_t free = (uint16_t)(tide_pool_freed_count(pool) + tide_relaxed(&pool->hollow));

    TIDE_ASSERT(tide_relaxed(&pool->state) == POOL_USED);
    if (free == pool->free_at_look || tide_pool_bytes(pool) == tide_os_page_bytes)
        return 0;
    pages = free_pages(pool);
    if (pages != 0 && !tide_arena_may_split(pool, tide_bit_count(pages) * tide_os_page_bytes))
        return 0;
    pool->free_at_look = free;
    if (pool->is_zero) /* the others were never in use */
        pages &= pages_before(tide_round_up(end, tide_os_page_bytes));
    /* The page in which the next untouched block starts holds no more than the end
     * of one before. */
    whole = pages & pages_before(tide_relaxed(&pool->carved) == pool->capacity
                                     ? tide_round_up(end, tide_os_page_bytes)
                                     : end);
    unlink_blocks(pool, whole);
    tide_os_purge_units(tide_pool_start(pool), tide_os_page_bytes, pages);
    pool->hollow_pages |= whole;
    pool->is_zero = true;
    return tide_bit_count(whole & ~before) * tide_os_page_bytes;
}

/* ---- Using them again -------------------------------------------------- */

struct block *tide_pool_carve_hollow(struct pool *pool)
{
    char *start = tide_pool_start(pool);
    struct block *first = NULL;
    struct range range;

    do { /* blocks larger than a page leave some without a start */
        range = blocks_in(pool, tide_lowest_bit(pool->hollow_pages));
        pool->hollow_pages &= pool->hollow_pages - 1;
    } while (range.from == range.to);
    for (uint32_t n = range.to; n-- > range.from;) {
        struct block *block = (struct block *)(start + (size_t)n * pool->block_bytes);

        block->next = first;
        first = block;
    }
    pool->free_at_look = 0;
    tide_set_relaxed(&pool->hollow,
                     (uint16_t)(tide_relaxed(&pool->hollow) - (range.to - range.from)));
    tide_count(&pool->left, range.to - range.from);
    return first;
}

void tide_pool_check_hollow(const struct pool *pool)
{
    uint32_t count = 0;

    for (uint64_t rest = pool->hollow_pages; rest != 0; rest &= rest - 1) {
        struct range range = blocks_in(pool, tide_lowest_bit(rest));

        count += range.to - range.from;
    }
    TIDE_REQUIRE(count == tide_relaxed(&pool->hollow));
    for (const struct block *block = pool->freed; block; block = block->next)
        TIDE_REQUIRE(!is_in(pool->hollow_pages, page_of(pool, number_of(pool, block))));
}
